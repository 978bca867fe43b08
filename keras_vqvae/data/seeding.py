"""Random numbers as pure functions of (seed, epoch, image): no state to save or to lose."""

from typing import Any

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64: a bijection of 64-bit words with good avalanche."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """A NumPy generator that is a function of `seed` and `epoch` alone.

    Example:
    >>> bool(epoch_generator(7, 3).random() == epoch_generator(7, 3).random())
    True
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64)))


def image_seeds(seed: int, epoch: int, indices: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """One 64-bit seed for each image, a function of `seed`, `epoch` and the image's index.

    Args:
        seed: A non-negative integer.
        epoch: A non-negative integer.
        indices: Indices of images in their source, shape `(n,)`.

    Returns:
        `uint64` array, shape `(n,)`. The seed of an image does not depend on the other indices.

    Example:
    >>> a = image_seeds(0, 1, [4, 5])
    >>> bool(a[1] == image_seeds(0, 1, [5])[0])
    True
    """
    words = np.asarray(indices).astype(np.uint64)
    with np.errstate(over="ignore"):
        key = _mix(np.array([seed], np.uint64) + _GOLDEN)
        key = _mix(key ^ (np.array([epoch], np.uint64) + np.uint64(1)) * _GOLDEN)
        return _mix(key + (words + np.uint64(1)) * _GOLDEN)


def uniforms(seeds: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.float64]:
    """`count` uniform numbers in [0, 1) for each seed.

    Args:
        seeds: `uint64` array, shape `(n,)`.
        count: How many numbers a seed gives.

    Returns:
        `float64` array, shape `(n, count)`. Column `j` does not depend on `count`.

    Example:
    >>> uniforms(image_seeds(0, 0, [1, 2, 3]), 2).shape
    (3, 2)
    """
    with np.errstate(over="ignore"):
        steps = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        words = _mix(seeds[:, None] + steps[None, :])
    numbers: npt.NDArray[Any] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers
