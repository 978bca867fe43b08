"""VQ-VAEs of the recipe's network, the recipe's and ours, and their training in turns."""

import time
from typing import Any

import keras
import numpy as np
from keras_io_recipe import LATENT_DIM, NUM_EMBEDDINGS, RecipeVQVAE, make_decoder, make_encoder

from keras_vqvae import codebooks, layers, likelihoods, models

BATCH_SIZE = 128


def make_ours(data_variance: float) -> models.VQVAE:
    """The recipe's network in `VQVAE`, with the quantizer that our models have by default."""
    quantizer = layers.VectorQuantizer(
        NUM_EMBEDDINGS,
        LATENT_DIM,
        update=codebooks.EMAUpdate(0.99),
        embeddings_initializer="kmeans",
        revival="replace_dead",
    )
    model = models.VQVAE(
        make_encoder(),
        quantizer,
        make_decoder(),
        likelihood=likelihoods.Gaussian.from_variance(data_variance),
        value_range=(0, 1),
    )
    model.compile("adam")
    return model


def make_recipe(data_variance: float) -> RecipeVQVAE:
    model = RecipeVQVAE(data_variance)
    model.compile(keras.optimizers.Adam())
    return model


def make_both(data_variance: float, seed: int) -> tuple[models.VQVAE, RecipeVQVAE]:
    """Ours and the recipe's, which start from equal encoders and decoders."""
    keras.utils.set_random_seed(seed)
    recipe = make_recipe(data_variance)
    keras.utils.set_random_seed(seed)
    ours = make_ours(data_variance)
    ours.encoder.set_weights(recipe.encoder.get_weights())
    ours.decoder.set_weights(recipe.decoder.get_weights())
    return ours, recipe


class StepTimes(keras.callbacks.Callback):
    """Seconds from the end of one training step to the end of the next, within an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._last: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._last = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def train_in_turns(contestants: dict[str, Any], epochs: int, seed: int) -> dict[str, StepTimes]:
    """Trains all for `epochs`, one epoch after the other, in equal orders.

    Args:
        contestants: by name, a model and the images as it takes them.
        epochs: how many.
        seed: of the orders.
    """
    times = {name: StepTimes() for name in contestants}
    for epoch in range(epochs):
        for name, (model, images) in contestants.items():
            order = np.random.default_rng([seed, epoch]).permutation(len(images))
            print(f"{name}, epoch {epoch + 1} of {epochs}", flush=True)
            model.fit(
                images[order],
                batch_size=BATCH_SIZE,
                shuffle=False,
                callbacks=[times[name]],
                verbose=2,
            )
    return times
