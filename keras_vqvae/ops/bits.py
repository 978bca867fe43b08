"""Nats of an image as bits per dimension."""

import math
from typing import Any

__all__ = ["bits_per_dimension"]


def bits_per_dimension(log_prob: Any, image_shape: tuple[int, ...]) -> Any:
    """Log-probabilities of images in nats, as bits per dimension: `−log p / (log 2 · H W C)`.

    Args:
        log_prob: a number, an array or a tensor: of whole images.
        image_shape: `(height, width, channels)`.

    Returns:
        Of the same kind and shape.

    Example:
    >>> bits_per_dimension(-math.log(256.0) * 784, (28, 28, 1))
    8.0
    """
    return log_prob / (-math.log(2.0) * math.prod(image_shape))
