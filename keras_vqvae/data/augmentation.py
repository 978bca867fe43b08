"""Random flips and crops, repeatable image by image."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.checks import checked_integer
from keras_vqvae.data.seeding import uniforms


class Augmentation:
    """Random horizontal flips and shifted crops of a batch of images, in NumPy.

    An image is flipped with probability ½, then shifted by up to `crop_padding` pixels in each
    direction; what comes in from outside is the image mirrored at its edge (the edge pixel itself
    is not repeated). What happens to an image depends on its own seed only: the result is the
    same however images are grouped into batches.

    Args:
        horizontal_flip: Whether to flip left and right at random. Defaults to `False`.
        crop_padding: Largest shift in pixels; smaller than the height and the width. Defaults
            to `0`, no shift.

    Call arguments:
        images: Array, shape `(n, height, width, channels)`, any dtype.
        seeds: What decides: a `uint64` array of shape `(n,)`, one seed an image, or a
            `numpy.random.Generator` that draws them.

    Returns:
        A new array with the shape and dtype of `images`.

    Raises:
        ValueError: If the padding is not smaller than the images, or shapes do not fit.

    Example:
    >>> images = np.arange(16, dtype="uint8").reshape(1, 4, 4, 1)
    >>> augment = Augmentation(horizontal_flip=True, crop_padding=1)
    >>> augment(images, np.random.default_rng(0)).shape
    (1, 4, 4, 1)
    """

    def __init__(self, horizontal_flip: bool = False, crop_padding: int = 0) -> None:
        if not isinstance(horizontal_flip, bool):
            raise TypeError(
                "`horizontal_flip` should be True or False. "
                f"Received: `horizontal_flip={horizontal_flip!r}`"
            )
        self.horizontal_flip = horizontal_flip
        self.crop_padding = checked_integer("crop_padding", crop_padding, 0)

    def __call__(
        self, images: npt.NDArray[Any], seeds: npt.NDArray[np.uint64] | np.random.Generator
    ) -> npt.NDArray[Any]:
        """Gives changed copies of the images."""
        if images.ndim != 4:
            raise ValueError(
                "`images` should have the shape (n, height, width, channels). "
                f"Received: `images.shape={images.shape}`"
            )
        count, height, width, _ = images.shape
        if isinstance(seeds, np.random.Generator):
            words: npt.NDArray[np.uint64] = seeds.integers(0, 2**63, count, np.uint64)
        else:
            words = np.asarray(seeds, np.uint64)
        if words.shape != (count,):
            raise ValueError(
                f"`seeds` should hold one seed for each of the {count} images. "
                f"Received: `seeds.shape={words.shape}`"
            )
        if self.crop_padding >= min(height, width):
            raise ValueError(
                "`crop_padding` should be smaller than the height and the width of the images. "
                f"Received: `crop_padding={self.crop_padding}` for images of {height}x{width}"
            )
        # All three columns are always drawn, so that one option does not change the other.
        draws = uniforms(words, 3)
        result = images.copy()
        if self.horizontal_flip:
            flipped = draws[:, 0] < 0.5
            result[flipped] = result[flipped, :, ::-1]
        if self.crop_padding:
            rows = _reflected(draws[:, 1], self.crop_padding, height)
            columns = _reflected(draws[:, 2], self.crop_padding, width)
            which = np.arange(count)[:, None, None]
            result = result[which, rows[:, :, None], columns[:, None, :]]
        return result

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as a dictionary."""
        return {"horizontal_flip": self.horizontal_flip, "crop_padding": self.crop_padding}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the object that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        return (
            f"Augmentation(horizontal_flip={self.horizontal_flip}, "
            f"crop_padding={self.crop_padding})"
        )


def _reflected(draws: npt.NDArray[np.float64], padding: int, size: int) -> npt.NDArray[np.int64]:
    """Coordinates `(n, size)` of shifted windows, mirrored back into `[0, size)`."""
    shifts = np.floor(draws * (2 * padding + 1)).astype(np.int64) - padding
    coordinates = np.abs(np.arange(size) + shifts[:, None])
    last = size - 1
    return last - np.abs(last - coordinates)
