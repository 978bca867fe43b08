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
# when a command needs them; so does `python -m keras_vqvae`.
_program = _os.path.basename((getattr(_sys, "argv", None) or [""])[0])
if _program == "-m":  # so it is called while the module is looked up, of any package
    _program = _sys.orig_argv[_sys.orig_argv.index("-m") + 1] if "-m" in _sys.orig_argv else ""
if _program not in ("keras-vqvae", "keras-vqvae.exe", "keras_vqvae", "keras_vqvae.cli"):
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
