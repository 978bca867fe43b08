"""Models and optimizers out of a configuration."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_vqvae import models
from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import VectorQuantizer
from keras_vqvae.likelihoods import Gaussian
from keras_vqvae.runs.config import RunConfig, TrainingConfig


def build_vqvae(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    value_range: tuple[float, float],
    variance: float,
) -> models.VQVAE:
    """The VQ-VAE of a run, not compiled.

    Args:
        config: the run's.
        image_shape: `(height, width, channels)`.
        value_range: what black and white are.
        variance: of the training images on the [0, 1] scale.
    """
    settings = config.vqvae
    with dtype_policy(config.dtype_policy):
        return models.convolutional_vqvae(
            image_shape,
            embedding_dim=settings.embedding_dim,
            widths=settings.widths,
            residual_blocks=settings.residual_blocks,
            quantizer=VectorQuantizer(
                settings.num_embeddings,
                settings.embedding_dim,
                beta=settings.beta,
                update=EMAUpdate(settings.decay) if settings.update == "ema" else "gradient",
                embeddings_initializer=settings.embeddings_initializer,
                revival="replace_dead" if settings.revival else None,
            ),
            likelihood=(
                Gaussian.from_variance(variance)
                if settings.likelihood == "gaussian"
                else settings.likelihood
            ),
            value_range=value_range,
            name="vqvae",
        )


def build_prior(config: RunConfig, vqvae: models.VQVAE, num_classes: int | None) -> models.PixelCNN:
    """The prior of a run for the codes of its VQ-VAE, not compiled."""
    settings = config.prior
    code_shape = vqvae.code_shape
    assert len(code_shape) == 2  # one quantizer of one table
    with dtype_policy(config.dtype_policy):
        return models.PixelCNN(
            code_shape,
            vqvae.num_embeddings,
            num_classes=num_classes,
            filters=settings.filters,
            residual_blocks=settings.residual_blocks,
            embedding_dim=settings.embedding_dim,
            dropout=settings.dropout,
            codes_fingerprint=vqvae.fingerprint(),
            name="prior",
        )


def compile_model(
    model: Any, training: TrainingConfig, train_images: int, jit_compile: str
) -> None:
    """Compiles a model with Adam and the learning rate schedule of its training."""
    steps = training.epochs * math.ceil(train_images / training.batch_size)
    model.compile(
        keras.optimizers.Adam(learning_rate(training, steps), global_clipnorm=training.clip_norm),
        jit_compile={"auto": "auto", "on": True, "off": False}[jit_compile],
    )


def learning_rate(training: TrainingConfig, steps: int) -> Any:
    """A number, or a Keras schedule over so many steps.

    Example:
    >>> schedule = learning_rate(TrainingConfig(schedule="cosine", warmup_steps=10), steps=100)
    >>> [round(float(schedule(step)), 5) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """
    highest, warmup = training.learning_rate, training.warmup_steps
    schedules = keras.optimizers.schedules
    if training.schedule == "cosine":
        decay = max(steps - warmup, 1)
        if not warmup:
            return schedules.CosineDecay(highest, decay)
        return schedules.CosineDecay(0.0, decay, warmup_target=highest, warmup_steps=warmup)
    if warmup:
        # A "decay" upwards: from 0 to the highest, and there it stays.
        return schedules.PolynomialDecay(0.0, warmup, end_learning_rate=highest)
    return highest


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras's dtype policy for a while."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
