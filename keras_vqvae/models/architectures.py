"""Models for images, put together from encoders and decoders."""

from collections.abc import Sequence
from typing import Any

from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import Quantizer, VectorQuantizer
from keras_vqvae.models.autoencoder import Autoencoder
from keras_vqvae.models.convolutional_networks import (
    convolutional_decoder,
    convolutional_encoder,
)
from keras_vqvae.models.vae import VAE
from keras_vqvae.models.vqvae import VQVAE

__all__ = [
    "convolutional_autoencoder",
    "convolutional_vae",
    "convolutional_vqvae",
    "paper_cifar10",
]


def convolutional_autoencoder(
    image_shape: tuple[int, int, int],
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    likelihood: Any = "gaussian",
    **kwargs: Any,
) -> Autoencoder:
    """The encoder and decoder of `convolutional_vqvae` with nothing between them.

    Args:
        image_shape: `(height, width, channels)`; the sides divisible by `2**len(widths)`.
        embedding_dim: D, the length of a latent. Defaults to `16`.
        widths: channels after each halving. Defaults to `(32, 64)`.
        residual_blocks: residual blocks in encoder and in decoder. Defaults to `0`.
        residual_width: channels inside a block. By default half of the last width.
        likelihood: what the decoder's output means; it decides on the decoder's last width.
            Defaults to `"gaussian"`.
        **kwargs: as for `Autoencoder`: `value_range`, `name`.

    Returns:
        A built `Autoencoder`, not yet compiled.

    Example:
    >>> model = convolutional_autoencoder((28, 28, 1))
    >>> model.encoder_model().output_shape
    (None, 7, 7, 16)
    """
    network: dict[str, Any] = {"residual_blocks": residual_blocks, "residual_width": residual_width}
    model = Autoencoder(
        convolutional_encoder(image_shape, embedding_dim, widths, **network),
        convolutional_decoder(image_shape, embedding_dim, widths, likelihood=likelihood, **network),
        likelihood,
        **kwargs,
    )
    model.build((None, *image_shape))
    return model


def convolutional_vae(
    image_shape: tuple[int, int, int],
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    likelihood: Any = "gaussian",
    **kwargs: Any,
) -> VAE:
    """A VAE with the encoder and decoder of `convolutional_vqvae`.

    The encoder's last convolution is twice as wide: means and log-variances.

    Args:
        image_shape: `(height, width, channels)`; the sides divisible by `2**len(widths)`.
        embedding_dim: D, the length of a latent. Defaults to `16`.
        widths: channels after each halving. Defaults to `(32, 64)`.
        residual_blocks: residual blocks in encoder and in decoder. Defaults to `0`.
        residual_width: channels inside a block. By default half of the last width.
        likelihood: what the decoder's output means; it decides on the decoder's last width.
            Defaults to `"gaussian"`.
        **kwargs: as for `VAE`: `beta`, `value_range`, `seed`, `name`.

    Returns:
        A built `VAE`, not yet compiled.

    Example:
    >>> model = convolutional_vae((28, 28, 1), likelihood="discretized_logistic")
    >>> model.encoder_model().output_shape, model.decoder.output_shape
    ((None, 7, 7, 16), (None, 28, 28, 2))
    """
    network: dict[str, Any] = {"residual_blocks": residual_blocks, "residual_width": residual_width}
    model = VAE(
        convolutional_encoder(image_shape, 2 * embedding_dim, widths, **network),
        convolutional_decoder(image_shape, embedding_dim, widths, likelihood=likelihood, **network),
        likelihood,
        **kwargs,
    )
    model.build((None, *image_shape))
    return model


def convolutional_vqvae(
    image_shape: tuple[int, int, int],
    num_embeddings: int = 512,
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    quantizer: Quantizer | None = None,
    likelihood: Any = "gaussian",
    **kwargs: Any,
) -> VQVAE:
    """A VQ-VAE for images of any size divisible by the stride, with defaults that train well.

    The table follows moving averages, starts from the first batch by k-means, and dead codes are
    replaced: next to the paper's bare quantizer that means all codes in use, and a clearly smaller
    error for the same bits.

    Args:
        image_shape: `(height, width, channels)`; the sides divisible by `2**len(widths)`.
        num_embeddings: K, the number of codes. Defaults to `512`.
        embedding_dim: D, the length of a code. Defaults to `16`.
        widths: channels after each halving. Defaults to `(32, 64)`: codes on a quarter-size grid.
        residual_blocks: residual blocks in encoder and in decoder. Defaults to `0`.
        residual_width: channels inside a block. By default half of the last width.
        quantizer: another quantizer. It then decides on K, and on D if it was given its own.
        likelihood: what the decoder's output means; it decides on the decoder's last width.
            Defaults to `"gaussian"`.
        **kwargs: as for `VQVAE`: `value_range`, `name`.

    Returns:
        A built `VQVAE`, not yet compiled.

    Example:
    >>> model = convolutional_vqvae((28, 28, 1), num_embeddings=128)
    >>> model.code_shape, model.bits_per_image
    ((7, 7), 343.0)
    """
    if quantizer is None:
        quantizer = VectorQuantizer(
            num_embeddings,
            embedding_dim,
            update=EMAUpdate(decay=0.99),
            embeddings_initializer="kmeans",
            revival="replace_dead",
        )
    else:  # `VQVAE` refuses what is no quantizer
        embedding_dim = getattr(quantizer, "embedding_dim", None) or embedding_dim
    network: dict[str, Any] = {"residual_blocks": residual_blocks, "residual_width": residual_width}
    model = VQVAE(
        convolutional_encoder(image_shape, embedding_dim, widths, **network),
        quantizer,
        convolutional_decoder(image_shape, embedding_dim, widths, likelihood=likelihood, **network),
        likelihood,
        **kwargs,
    )
    model.build((None, *image_shape))
    return model


def paper_cifar10(
    image_shape: tuple[int, int, int] = (32, 32, 3),
    num_embeddings: int = 512,
    embedding_dim: int = 64,
    **kwargs: Any,
) -> VQVAE:
    """The network of the paper's CIFAR-10 experiments.

    Two strided 4×4 convolutions, two residual blocks of 3×3 and 1×1 convolutions, 256 units
    everywhere, and the mirror image as decoder: codes on an 8×8 grid, 576 bits at K = 512. The
    paper trains it for 250 000 steps of 128 images by Adam at 2e-4, which
    `examples/vqvae_paper_cifar10.py` does.

    Args:
        image_shape: `(height, width, channels)`, sides divisible by 4. Defaults to CIFAR-10's.
        num_embeddings: K. Defaults to `512`.
        embedding_dim: D. Defaults to `64`; the paper does not give its value.
        **kwargs: as for `VQVAE`.

    Returns:
        A built `VQVAE`, not yet compiled.

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §4.1
    """
    return convolutional_vqvae(
        image_shape,
        num_embeddings,
        embedding_dim,
        widths=(256, 256),
        residual_blocks=2,
        residual_width=256,
        **kwargs,
    )
