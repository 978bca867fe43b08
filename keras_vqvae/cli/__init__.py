"""`keras-vqvae`: the command line."""

from keras_vqvae.cli.application import main as main

__all__ = ["main"]
