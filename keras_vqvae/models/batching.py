"""Arrays and data sets in batches, and compiled functions over batches of few sizes."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_vqvae.checks import check_count

__all__ = ["batch_sizes", "image_batches", "map_batches"]


def batch_sizes(count: int, batch_size: int) -> Iterator[tuple[int, int, int]]:
    """Splits `count` items into `(first, count, padded)`.

    Full batches have `batch_size` items. What is left is padded to the next power of two, so that
    compiled code meets few different shapes.

    Example:
    >>> list(batch_sizes(37, 16)), list(batch_sizes(10, 64))
    ([(0, 16, 16), (16, 16, 16), (32, 5, 8)], [(0, 10, 16)])
    """
    count, batch_size = int(count), check_count("batch_size", batch_size)
    for first in range(0, count, batch_size):
        here = min(batch_size, count - first)
        yield first, here, min(batch_size, 1 << (here - 1).bit_length())


def map_batches(
    function: Callable[..., Any], arrays: tuple[Any, ...], batch_size: int
) -> np.ndarray | None:
    """`function` of batches of the arrays, put together; `None` for no items.

    Args:
        function: takes tensors whose first axes are equal, returns one tensor with that axis.
        arrays: NumPy arrays, or `None` where there is nothing to pass.
        batch_size: items at one time.
    """
    count = len(arrays[0])
    results = []
    for first, here, padded in batch_sizes(count, batch_size):
        batch: list[Any] = []
        for array in arrays:
            if array is None:
                batch.append(None)
                continue
            part = array[first : first + here]
            padding = [(0, padded - here)] + [(0, 0)] * (part.ndim - 1)
            batch.append(keras.ops.convert_to_tensor(np.pad(part, padding)))
        results.append(keras.ops.convert_to_numpy(function(*batch))[:here])
    return np.concatenate(results) if results else None


def image_batches(images: Any, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The images of an array or a data set in order: batches, and the index of their first image.

    Args:
        images: array `(N, H, W, C)`; or a `PyDataset`, `tf.data` pipeline or other iterable of
            batches of images, or of tuples that begin with such. Its own batches are kept.
        batch_size: images at one time, for an array.
    """
    batch_size = check_count("batch_size", batch_size)
    if hasattr(images, "__array__"):
        array = np.asarray(images)
        batches: Any = (array[i : i + batch_size] for i in range(0, len(array), batch_size))
    elif hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        batches = (images[i] for i in range(len(images)))
    else:
        batches = images
    first = 0
    for batch in batches:
        batch = np.asarray(batch[0] if isinstance(batch, tuple | list) else batch)
        yield first, batch
        first += len(batch)
