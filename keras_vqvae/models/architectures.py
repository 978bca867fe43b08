"""Encoders and decoders, and models put together from them."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import Quantizer, VectorQuantizer
from keras_vqvae.models.vqvae import VQVAE

__all__ = [
    "convolutional_decoder",
    "convolutional_encoder",
    "convolutional_vqvae",
    "paper_cifar10",
]


def convolutional_encoder(
    image_shape: tuple[int, int, int],
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    name: str = "encoder",
) -> keras.Model:
    """Images to a grid that is `2**len(widths)` times smaller on each side.

    A 4×4 convolution of stride 2 for each width, residual blocks (3×3, then 1×1), and a 1×1
    convolution to `embedding_dim`.

    Args:
        image_shape: `(height, width, channels)`; the sides divisible by `2**len(widths)`.
        embedding_dim: D, channels of the output.
        widths: channels after each halving.
        residual_blocks: how many residual blocks follow. Defaults to `0`.
        residual_width: channels inside a block. By default half of the last width.
        name: the model's name.

    Returns:
        A functional model `(batch, height, width, channels)` to `(batch, h, w, D)`.

    Raises:
        ValueError: for sides that are not divisible.

    Example:
    >>> convolutional_encoder((28, 28, 1), embedding_dim=16).output_shape
    (None, 7, 7, 16)
    """
    _check_divisible(image_shape, widths)
    layers = keras.layers
    inputs = keras.Input(image_shape)
    x = inputs
    for i, width in enumerate(widths):
        last = i == len(widths) - 1 and residual_blocks > 0
        # Residual blocks begin with their own activation.
        activation = None if last else "relu"
        x = layers.Conv2D(width, 4, strides=2, padding="same", activation=activation)(x)
    x = _residual_stack(x, residual_blocks, residual_width or widths[-1] // 2)
    x = layers.Conv2D(embedding_dim, 1, name="to_embedding")(x)
    return keras.Model(inputs, x, name=name)


def convolutional_decoder(
    image_shape: tuple[int, int, int],
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    parameters_per_channel: int = 1,
    name: str = "decoder",
) -> keras.Model:
    """The mirror image of `convolutional_encoder`.

    A 3×3 convolution, residual blocks, and a transposed 4×4 convolution of stride 2 for each width,
    in reverse.

    Args:
        image_shape: `(height, width, channels)` of the images.
        embedding_dim: D, channels of the input.
        widths: as given to the encoder.
        residual_blocks: how many residual blocks. Defaults to `0`.
        residual_width: channels inside a block. By default half of the last width.
        parameters_per_channel: of the likelihood. Defaults to `1`.
        name: the model's name.

    Returns:
        A functional model `(batch, h, w, D)` to `(batch, height, width, channels × parameters)`.

    Example:
    >>> convolutional_decoder((28, 28, 1), embedding_dim=16).output_shape
    (None, 28, 28, 1)
    """
    _check_divisible(image_shape, widths)
    layers = keras.layers
    stride = 2 ** len(widths)
    height, width, channels = image_shape
    inputs = keras.Input((height // stride, width // stride, embedding_dim))
    activation = None if residual_blocks else "relu"
    x = layers.Conv2D(widths[-1], 3, padding="same", activation=activation)(inputs)
    x = _residual_stack(x, residual_blocks, residual_width or widths[-1] // 2)
    outputs = (channels * parameters_per_channel, *widths[:-1])
    for i in reversed(range(len(widths))):
        activation = "relu" if i else None
        x = layers.Conv2DTranspose(outputs[i], 4, strides=2, padding="same", activation=activation)(
            x
        )
    return keras.Model(inputs, x, name=name)


def convolutional_vqvae(
    image_shape: tuple[int, int, int],
    num_embeddings: int = 512,
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    quantizer: Quantizer | None = None,
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
        **kwargs: as for `VQVAE`: `likelihood`, `value_range`, `name`.

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
    elif quantizer.embedding_dim is not None:
        embedding_dim = quantizer.embedding_dim
    network: dict[str, Any] = {"residual_blocks": residual_blocks, "residual_width": residual_width}
    model = VQVAE(
        convolutional_encoder(image_shape, embedding_dim, widths, **network),
        quantizer,
        convolutional_decoder(image_shape, embedding_dim, widths, **network),
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


def _residual_stack(x: Any, blocks: int, width: int) -> Any:
    layers = keras.layers
    channels = x.shape[-1]
    for _ in range(blocks):
        h = layers.Conv2D(width, 3, padding="same", activation="relu")(layers.ReLU()(x))
        x = layers.Add()([x, layers.Conv2D(channels, 1)(h)])
    return layers.ReLU()(x) if blocks else x


def _check_divisible(image_shape: tuple[int, int, int], widths: Sequence[int]) -> None:
    if len(image_shape) != 3:
        raise ValueError(
            "`image_shape` should be (height, width, channels). "
            f"Received: image_shape={tuple(image_shape)}"
        )
    stride = 2 ** len(widths)
    if any(n is None or n % stride for n in image_shape[:2]):
        raise ValueError(
            f"`image_shape` should have sides divisible by {stride}, the stride of {len(widths)} "
            f"halvings. Received: image_shape={tuple(image_shape)}. Resize or crop the images, or "
            "give fewer `widths`."
        )
