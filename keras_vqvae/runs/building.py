"""Models and optimizers out of a configuration."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_vqvae import models
from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import (
    BinarySphericalQuantizer,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    IndexBackpropQuantizer,
    LookupFreeQuantizer,
    Quantizer,
    SimVQ,
    VectorQuantizer,
)
from keras_vqvae.likelihoods import Gaussian
from keras_vqvae.runs.config import RunConfig, TrainingConfig, VQVAEConfig
from keras_vqvae.runs.parts import DataParts


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
    with dtype_policy(config.dtype_policy):
        return models.convolutional_vqvae(
            image_shape,
            quantizer=build_quantizer(config.vqvae),
            **_network(config.vqvae, variance),
            value_range=value_range,
            name="vqvae",
        )


def build_baseline(
    name: str,
    config: RunConfig,
    image_shape: tuple[int, int, int],
    value_range: tuple[float, float],
    variance: float,
) -> models.Autoencoder:
    """An `"autoencoder"` or a `"vae"` with the network of the run's VQ-VAE, not compiled."""
    make: Any = {
        "autoencoder": models.convolutional_autoencoder,
        "vae": models.convolutional_vae,
    }[name]
    seed = {"seed": config.seed} if name == "vae" else {}
    with dtype_policy(config.dtype_policy):
        model: models.Autoencoder = make(
            image_shape,
            **_network(config.vqvae, variance),
            value_range=value_range,
            name=name,
            **seed,
        )
    return model


def build_image_model(name: str, config: RunConfig, parts: DataParts) -> models.Autoencoder:
    """The run's `"vqvae"`, or the baseline of that name, for its images; not compiled."""
    images = parts.train.image_shape, parts.value_range(), parts.variance()
    return (
        build_vqvae(config, *images) if name == "vqvae" else build_baseline(name, config, *images)
    )


def build_quantizer(settings: VQVAEConfig) -> Quantizer:
    """The quantizer that the settings name, with K codes.

    Raises:
        ValueError: for one whose codes are powers of two, if K is none.

    Example:
    >>> build_quantizer(VQVAEConfig(num_embeddings=128, quantizer="finite_scalar")).levels
    (8, 4, 4)
    """
    size, dim, beta = settings.num_embeddings, settings.embedding_dim, settings.beta
    bits = size.bit_length() - 1
    if settings.quantizer in ("finite_scalar", "lookup_free", "binary_spherical") and size != (
        1 << bits
    ):
        raise ValueError(
            f"`num_embeddings` should be a power of two for the quantizer {settings.quantizer!r}. "
            f"Received: num_embeddings={size}"
        )
    makers: dict[str, Callable[[], Quantizer]] = {
        "vector": lambda: VectorQuantizer(
            size,
            dim,
            beta=beta,
            update=EMAUpdate(settings.decay) if settings.update == "ema" else "gradient",
            embeddings_initializer=settings.embeddings_initializer,
            revival="replace_dead" if settings.revival else None,
        ),
        "finite_scalar": lambda: _finite_scalar(bits),
        "lookup_free": lambda: LookupFreeQuantizer(bits, beta=beta),
        "binary_spherical": lambda: BinarySphericalQuantizer(bits, beta=beta),
        "sim_vq": lambda: SimVQ(size, dim, beta=beta),
        "index_backprop": lambda: IndexBackpropQuantizer(size, dim, beta=beta),
        "gumbel": lambda: GumbelQuantizer(size, dim),
    }
    return makers[settings.quantizer]()


def _finite_scalar(bits: int) -> FiniteScalarQuantizer:
    """With 2^bits codes and levels as equal as can be, at most 8.

    Of few levels each, the outputs of an encoder that has not learned lie within the middle one,
    whose code of zeros gives a decoder no gradient; the symmetric form has no such code.
    """
    dims = math.ceil(bits / 3)
    levels = tuple(1 << (bits // dims + (i < bits % dims)) for i in range(dims))
    return FiniteScalarQuantizer(levels, symmetric=max(levels) < 8)


def _network(settings: VQVAEConfig, variance: float) -> dict[str, Any]:
    gaussian = settings.likelihood == "gaussian"
    return {
        "embedding_dim": settings.embedding_dim,
        "widths": settings.widths,
        "residual_blocks": settings.residual_blocks,
        "likelihood": Gaussian.from_variance(variance) if gaussian else settings.likelihood,
    }


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
    model: Any,
    training: TrainingConfig,
    train_images: int,
    jit_compile: str,
    codebook_learning_rate: float | None = None,
) -> None:
    """Compiles a model with Adam and the learning rate schedule of its training.

    Args:
        model: an image model, or a prior.
        training: rate, schedule, epochs and batch size.
        train_images: how many images, or grids of codes, an epoch has: a schedule counts steps.
        jit_compile: XLA: `"auto"`, `"on"` or `"off"`.
        codebook_learning_rate: with it the codes of a VQ-VAE have an Adam of their own, and the
            same schedule from that rate. Defaults to `None`.
    """
    steps = training.epochs * math.ceil(train_images / training.batch_size)

    def adam(settings: TrainingConfig) -> Any:
        rate = learning_rate(settings, steps)
        return keras.optimizers.Adam(rate, global_clipnorm=settings.clip_norm)

    codes = {}
    if codebook_learning_rate is not None:
        own = dataclasses.replace(training, learning_rate=codebook_learning_rate)
        codes["codebook_optimizer"] = adam(own)
    model.compile(
        adam(training), jit_compile={"auto": "auto", "on": True, "off": False}[jit_compile], **codes
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
