"""What a run was made with."""

import importlib
import os
import platform
import subprocess

import keras
import numpy as np

from keras_vqvae._version import __version__

# Variables that decide on figures or on the device.
_FLAGS = (
    *("CUDA_VISIBLE_DEVICES", "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS"),
    *("TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_XLA_FLAGS"),
    *("XLA_FLAGS", "JAX_ENABLE_X64", "OMP_NUM_THREADS"),
)


def environment() -> dict[str, str]:
    """Versions, device, flags, and the state of the working directory's repository."""
    backend = keras.backend.backend()
    return {
        "keras_vqvae": __version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.import_module(backend).__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": ", ".join(map(str, keras.distribution.list_devices())) or "cpu",
        "cpu_count": str(os.cpu_count()),
        "flags": " ".join(f"{name}={os.environ[name]}" for name in _FLAGS if name in os.environ)
        or "none",
        "git": _git(),
    }


def _git() -> str:
    """The commit of the working directory, with a `+` if something is changed; or `none`."""
    try:
        head, changes = (
            subprocess.run(
                ["git", *words], capture_output=True, text=True, check=True, timeout=5
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return "none"
    return head + ("+" if changes else "")
