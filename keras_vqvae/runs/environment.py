"""What a run was made with."""

import os
import platform

import keras
import numpy as np

from keras_vqvae._version import __version__


def environment() -> dict[str, str]:
    """Versions and device, for the record."""
    backend = keras.backend.backend()
    module = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}[backend]
    return {
        "keras_vqvae": __version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: str(getattr(__import__(module), "__version__", "unknown")),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": ", ".join(map(str, keras.distribution.list_devices())) or "cpu",
        "cpu_count": str(os.cpu_count()),
    }
