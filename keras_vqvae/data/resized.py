"""Another source's images in another size or colour."""

import hashlib
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.checks import checked_choice, checked_size
from keras_vqvae.data.decoding import Color, Resize, convert_array
from keras_vqvae.data.source import ImageSource


class ResizedSource(ImageSource):
    """Images of another source, resized or turned to another colour when they are read.

    Args:
        source: Where the images come from, `uint8` with 1 or 3 channels.
        image_size: `None`, an integer for squares, or `(height, width)`.
        color: `None`, `"grayscale"` or `"rgb"`.
        resize: `"crop"`, `"stretch"` or `"pad"`. Defaults to `"crop"`.

    Raises:
        ValueError: If the images are floats, or have other than 1 or 3 channels.

    Example:
    >>> from keras_vqvae.data import ArraySource
    >>> source = ArraySource(np.zeros((2, 8, 8), "uint8"))
    >>> ResizedSource(source, image_size=(4, 6), color="rgb").read([0]).shape
    (1, 4, 6, 3)
    """

    def __init__(
        self,
        source: ImageSource,
        image_size: int | tuple[int, int] | None = None,
        color: Color | None = None,
        resize: Resize = "crop",
    ) -> None:
        super().__init__(source.name, source.labels, source.class_names)
        self._source = source
        self._size = checked_size(image_size)
        self._color = checked_choice("color", color, (None, *get_args(Color)))
        self._resize: Resize = checked_choice("resize", resize, get_args(Resize))
        height, width, channels = source.image_shape
        if source.dtype != np.uint8 or channels not in (1, 3):
            raise ValueError(
                "`image_size` and `color` change uint8 images with 1 or 3 channels only. Received: "
                f"images of shape {source.image_shape} and dtype {source.dtype}. Pass images that "
                "have the size and colour already"
            )
        if self._color is not None:
            channels = 1 if self._color == "grayscale" else 3
        self._shape = (*(self._size or (height, width)), channels)

    def __len__(self) -> int:
        return len(self._source)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return self._shape

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """What the source underneath has skipped."""
        return self._source.skipped

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        result = np.empty((len(indices), *self._shape), np.uint8)
        for position, pixels in enumerate(self._source.read(indices)):
            result[position] = convert_array(pixels, self._size, self._color, self._resize)
        return result

    def _fingerprint(self) -> str:
        text = f"{self._source.fingerprint()} {self._shape} {self._resize}"
        return hashlib.sha256(text.encode()).hexdigest()


def resized(
    source: ImageSource,
    image_size: int | tuple[int, int] | None,
    color: Color | None,
    resize: Resize,
) -> ImageSource:
    """`source` itself if it has that size and colour, else a `ResizedSource`."""
    height, width, channels = source.image_shape
    size = checked_size(image_size)
    channels_wanted = {None: channels, "grayscale": 1, "rgb": 3}.get(color)
    if size in (None, (height, width)) and channels_wanted == channels:
        return source
    return ResizedSource(source, size, color, resize)
