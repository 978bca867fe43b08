"""keras_vqvae: discrete representation learning for Keras."""

import os as _os
import sys as _sys

from keras_vqvae._version import __version__ as __version__

__all__ = [
    "__version__",
    "callbacks",
    "codebooks",
    "data",
    "evaluation",
    "layers",
    "likelihoods",
    "metrics",
    "models",
    "ops",
    "runs",
    "sampling",
]

# Importing the package registers its classes for `keras.models.load_model`, and so loads Keras and
# its backend, which takes seconds. The console script answers `--help` first, and imports the rooms
# when a command needs them; so does `python -m keras_vqvae`, which is `-m` while it is looked up.
if _os.path.basename((getattr(_sys, "argv", None) or [""])[0]) not in (
    "keras-vqvae",
    "keras-vqvae.exe",
    "-m",
):
    from keras_vqvae import callbacks as callbacks
    from keras_vqvae import codebooks as codebooks
    from keras_vqvae import data as data
    from keras_vqvae import evaluation as evaluation
    from keras_vqvae import layers as layers
    from keras_vqvae import likelihoods as likelihoods
    from keras_vqvae import metrics as metrics
    from keras_vqvae import models as models
    from keras_vqvae import ops as ops
    from keras_vqvae import runs as runs
    from keras_vqvae import sampling as sampling
