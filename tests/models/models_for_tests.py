"""Small models that the model tests share."""

import keras
import numpy as np

from keras_vqvae import layers, models
from keras_vqvae.codebooks import EMAUpdate


def encoder(side=8, channels=1, dim=3, **kwargs):
    """One convolution: 8×8 images to 2×2 vectors."""
    return keras.Sequential(
        [
            keras.Input((side, side, channels)),
            keras.layers.Conv2D(dim, 4, 4, name="down", **kwargs),
        ],
        name="encoder",
    )


def decoder(side=8, channels=1, dim=3):
    """The transposed convolution."""
    return keras.Sequential(
        [
            keras.Input((*(2 * (side and side // 4,)), dim)),
            keras.layers.Conv2DTranspose(channels, 4, 4, name="up"),
        ],
        name="decoder",
    )


def any_size(kind=models.VQVAE, *bottleneck):
    """A model of grey images of any size that 4 divides."""
    return kind(encoder(None), *bottleneck, decoder(None))


def autoencoder(optimizer="adam", **kwargs):
    """A compiled, eager autoencoder."""
    model = models.Autoencoder(encoder(), decoder(), **kwargs)
    model.compile(optimizer, run_eagerly=True)
    return model


def vqvae(quantizer=None, compile_args=None, regularizer=None, **kwargs):
    """A compiled, eager VQ-VAE; by default the paper's, whose table learns by gradient."""
    quantizer = quantizer or layers.VectorQuantizer(5, embeddings_initializer="random_normal")
    model = models.VQVAE(encoder(kernel_regularizer=regularizer), quantizer, decoder(), **kwargs)
    model.compile(**{"optimizer": "adam", "run_eagerly": True, **(compile_args or {})})
    return model


class Pairs(keras.utils.PyDataset):
    """Images and labels in batches of two."""

    def __init__(self, images, labels=True):
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images) // 2

    def __getitem__(self, index):
        batch = self.images[2 * index : 2 * index + 2]
        return (batch, np.arange(len(batch))) if self.labels else (batch,)


def fit(model, images, **kwargs):
    return model.fit(images, **{"verbose": 0, "shuffle": False, "batch_size": 4, **kwargs}).history


def ema_quantizer(**options):
    options = {"embeddings_initializer": "kmeans", "revival": "replace_dead", **options}
    return layers.VectorQuantizer(5, update=EMAUpdate(0.9), seed=1, **options)


def with_rates(rate, codebook_rate):
    sgd = keras.optimizers.SGD
    return {"optimizer": sgd(rate), "codebook_optimizer": sgd(codebook_rate)}
