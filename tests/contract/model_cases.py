"""Models for the contract suite."""

from typing import Any

import keras
import numpy as np
from case_types import (
    Case,
    ModelCase,
)
from support import grey_images

from keras_vqvae import layers, models


def _encoder() -> Any:
    return models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,))


def _decoder() -> Any:
    return models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,))


def _autoencoder(**kwargs: Any) -> Any:
    return models.Autoencoder(_encoder(), _decoder(), likelihood="bernoulli", **kwargs)


def _vqvae(**kwargs: Any) -> Any:
    # The paper's: a table that learns by gradient. The defaults of `models` are the next case.
    return models.VQVAE(_encoder(), layers.VectorQuantizer(5), _decoder(), **kwargs)


def _convolutional_vqvae(**kwargs: Any) -> Any:
    return models.convolutional_vqvae((8, 8, 1), 5, embedding_dim=3, widths=(4,), **kwargs)


def _vae(**kwargs: Any) -> Any:
    beta = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    return models.convolutional_vae(
        (8, 8, 1), 3, (4,), likelihood="discretized_logistic", beta=beta, seed=3, **kwargs
    )


def _images(count: int, seed: int) -> np.ndarray:
    return grey_images(count, 8, 1, seed)


def _codes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (count, 3, 3)).astype("int32")


def _pixelcnn(**kwargs: Any) -> Any:
    sizes = {"filters": 4, "residual_blocks": 1, "embedding_dim": 2, "kernel_size": 3}
    return models.PixelCNN((3, 3), 5, **sizes, **kwargs)


def _gated_pixelcnn(**kwargs: Any) -> Any:
    return models.GatedPixelCNN((3, 3), 5, filters=4, blocks=1, embedding_dim=2, **kwargs)


def _pixelsnail(**kwargs: Any) -> Any:
    return models.PixelSNAIL((3, 3), 5, filters=4, blocks=1, embedding_dim=2, **kwargs)


def _transformer_prior(**kwargs: Any) -> Any:
    return models.TransformerPrior((3, 3), 5, hidden_dim=4, blocks=1, num_heads=2, **kwargs)


_PRIOR = ("loss", "bits_per_code")
_RECONSTRUCTION = ("loss", "reconstruction_loss")
MODELS = [
    ModelCase("autoencoder", (models.Autoencoder,), _autoencoder, _images, _RECONSTRUCTION),
    ModelCase("vae", (models.VAE,), _vae, _images, (*_RECONSTRUCTION, "kl_loss")),
    ModelCase(
        "vqvae_gradient",
        (models.VQVAE,),
        _vqvae,
        _images,
        (*_RECONSTRUCTION, "codebook_loss", "commitment_loss", "perplexity", "codebook_usage"),
    ),
    ModelCase(
        "vqvae_ema",
        (models.VQVAE,),
        _convolutional_vqvae,
        _images,
        (*_RECONSTRUCTION, "commitment_loss", "perplexity", "codebook_usage"),
    ),
    ModelCase("pixelcnn", (models.PixelCNN,), _pixelcnn, _codes, _PRIOR),
    ModelCase("gated_pixelcnn", (models.GatedPixelCNN,), _gated_pixelcnn, _codes, _PRIOR),
    ModelCase("pixelsnail", (models.PixelSNAIL,), _pixelsnail, _codes, _PRIOR),
    ModelCase("transformer_prior", (models.TransformerPrior,), _transformer_prior, _codes, _PRIOR),
]


def _two_stage() -> Any:
    vqvae = models.VQVAE(_encoder(), layers.VectorQuantizer(5), _decoder())
    prior = models.PixelCNN(vqvae.code_shape, 5, filters=4, residual_blocks=1, embedding_dim=2)
    return models.TwoStage(vqvae, prior)


# Made of models, and no Keras model itself.
COMPOSITES = [Case("two_stage", (models.TwoStage,), _two_stage)]
