"""Encoders and decoders of convolutions."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vqvae.likelihoods import get as get_likelihood

__all__ = ["convolutional_decoder", "convolutional_encoder"]

# Whatever `keras.config.image_data_format()` is: images and latents have their channels last.
_SAME = {"padding": "same", "data_format": "channels_last"}


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
        ValueError: for sides that are not divisible, or no `widths`.

    Example:
    >>> convolutional_encoder((28, 28, 1), embedding_dim=16).output_shape
    (None, 7, 7, 16)
    """
    _check_sizes(image_shape, widths)
    layers = keras.layers
    inputs = keras.Input(image_shape)
    x = inputs
    for i, width in enumerate(widths):
        last = i == len(widths) - 1 and residual_blocks > 0
        # Residual blocks begin with their own activation.
        activation = None if last else "relu"
        x = layers.Conv2D(width, 4, strides=2, activation=activation, **_SAME)(x)
    x = _residual_stack(x, residual_blocks, residual_width or max(widths[-1] // 2, 1))
    x = layers.Conv2D(embedding_dim, 1, name="to_embedding", **_SAME)(x)
    return keras.Model(inputs, x, name=name)


def convolutional_decoder(
    image_shape: tuple[int, int, int],
    embedding_dim: int = 16,
    widths: Sequence[int] = (32, 64),
    residual_blocks: int = 0,
    residual_width: int | None = None,
    likelihood: Any = "gaussian",
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
        likelihood: name or `likelihoods.Likelihood` whose parameters it gives. Defaults to
            `"gaussian"`: one number for each channel.
        name: the model's name.

    Returns:
        A functional model `(batch, h, w, D)` to `(batch, height, width, parameters)`.

    Example:
    >>> convolutional_decoder((28, 28, 1), embedding_dim=16).output_shape
    (None, 28, 28, 1)
    """
    _check_sizes(image_shape, widths)
    layers = keras.layers
    stride = 2 ** len(widths)
    height, width, channels = image_shape
    inputs = keras.Input((height // stride, width // stride, embedding_dim))
    activation = None if residual_blocks else "relu"
    x = layers.Conv2D(widths[-1], 3, activation=activation, **_SAME)(inputs)
    x = _residual_stack(x, residual_blocks, residual_width or max(widths[-1] // 2, 1))
    outputs = (get_likelihood(likelihood).num_parameters(channels), *widths[:-1])
    for i in reversed(range(len(widths))):
        activation = "relu" if i else None
        x = layers.Conv2DTranspose(outputs[i], 4, strides=2, activation=activation, **_SAME)(x)
    return keras.Model(inputs, x, name=name)


def _residual_stack(x: Any, blocks: int, width: int) -> Any:
    layers = keras.layers
    channels = x.shape[-1]
    for _ in range(blocks):
        h = layers.Conv2D(width, 3, activation="relu", **_SAME)(layers.ReLU()(x))
        x = layers.Add()([x, layers.Conv2D(channels, 1, **_SAME)(h)])
    return layers.ReLU()(x) if blocks else x


def _check_sizes(image_shape: tuple[int, int, int], widths: Sequence[int]) -> None:
    if len(image_shape) != 3:
        raise ValueError(
            "`image_shape` should be (height, width, channels). "
            f"Received: image_shape={tuple(image_shape)}"
        )
    if len(widths) < 1:
        raise ValueError(
            "`widths` should have at least one number of channels, one for each halving. "
            f"Received: widths={widths!r}"
        )
    stride = 2 ** len(widths)
    if any(n is None or n % stride for n in image_shape[:2]):
        raise ValueError(
            f"`image_shape` should have sides divisible by {stride}, the stride of {len(widths)} "
            f"halvings. Received: image_shape={tuple(image_shape)}. Resize or crop the images, or "
            "give fewer `widths`."
        )
