"""A run small enough for tests, and interruptions."""

import dataclasses

import keras
import numpy as np
from PIL import Image

from keras_vqvae.runs import DataConfig, PriorConfig, RunConfig, TrainingConfig, VQVAEConfig


def write_images(folder, count=12, side=8, channels=1, classes=("a", "b")):
    """PNG files, in one folder a class."""
    rng = np.random.default_rng(0)
    for i in range(count):
        place = folder / classes[i % len(classes)] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        shape = (side, side) if channels == 1 else (side, side, channels)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(place / f"{i:02}.png")
    return folder


def tiny_config(source, epochs=(1, 1), **changes):
    config = RunConfig(
        data=DataConfig(str(source), validation_fraction=0.25),
        vqvae=VQVAEConfig(num_embeddings=4, embedding_dim=2, widths=(4,)),
        vqvae_training=TrainingConfig(epochs=epochs[0], batch_size=4, schedule="cosine"),
        prior=PriorConfig(filters=4, residual_blocks=1, embedding_dim=4, dropout=0.1),
        prior_training=TrainingConfig(epochs=epochs[1], batch_size=4),
        seed=3,
    )
    return dataclasses.replace(config, **changes)


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch, counted from 0."""

    def __init__(self, epoch, batch=1, stage="vqvae"):
        super().__init__()
        self.epoch, self.batch, self.stage = epoch, batch, stage

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch, self.model.name) == (self.epoch, self.batch, self.stage):
            raise KeyboardInterrupt
