"""One VQ-VAE for each quantizer that is compared: its training, and how its table is used."""

from typing import Any

import keras
import numpy as np

from keras_vqvae import layers, models, ops
from keras_vqvae.likelihoods import Gaussian

STEPS = 1_000
BATCH_SIZE = 64
RATE = 1e-3
DIM = 16

# FSQ's levels, with a product that is the size of the table.
LEVELS = {
    16: (4, 4),
    64: (4, 4, 4),
    512: (8, 8, 8),
    4_096: (8, 8, 8, 8),
    65_536: (8, 8, 8, 8, 4, 4),
}

FROM_DATA: dict[str, Any] = {"embeddings_initializer": "kmeans", "revival": "replace_dead"}
# Of names whose codes learn at ten times the rate of the networks.
FASTER = ", 10 × rate"
UNITS = {"MSE": "[0, 1] scale", "usage": "% of codes", "perplexity": "codes"}


def train(
    quantizer: layers.Quantizer,
    images: np.ndarray,
    steps: int,
    seed: int,
    codebook_rate: float = RATE,
) -> models.VQVAE:
    """A VQ-VAE around the quantizer; the images of a step depend on the seed alone."""
    model = models.convolutional_vqvae(
        images.shape[1:],
        embedding_dim=DIM,
        quantizer=quantizer,
        likelihood=Gaussian.from_variance(float(images.var())),
        value_range=(0, 1),
    )
    own = None if codebook_rate == RATE else keras.optimizers.Adam(codebook_rate)
    model.compile(keras.optimizers.Adam(RATE), codebook_optimizer=own)
    rows = np.random.default_rng(seed).integers(len(images), size=steps * BATCH_SIZE)
    model.fit(images[rows], batch_size=BATCH_SIZE, epochs=1, shuffle=False, verbose=0)
    return model


def evaluate(model: models.VQVAE, images: np.ndarray, size: int) -> dict[str, float]:
    """Error, usage and perplexity over all images at once."""
    codes = model.encode(images)
    error = np.clip(model.decode(codes), 0.0, 1.0) - images
    counts = np.bincount(codes.ravel(), minlength=size).astype("float32")
    return {
        "MSE": float(np.square(error).mean()),
        "usage": 100.0 * float((counts > 0).mean()),
        "perplexity": float(ops.perplexity(counts)),
    }
