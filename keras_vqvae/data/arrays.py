"""Images that are already NumPy arrays."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.source import ImageSource

_CHUNK_BYTES = 1 << 24


class ArraySource(ImageSource):
    """Images from a NumPy array, in memory or memory-mapped.

    Checked once, here: shape, dtype, finite pixels, labels. The array is not copied.

    Args:
        images: Array, shape `(n, height, width)` or `(n, height, width, channels)`. `uint8`
            is kept; other integers are accepted when all lie in 0..255; floats are read as
            `float32`.
        labels: Integers, shape `(n,)` or `(n, 1)`, none negative; or `None`. Defaults to
            `None`.
        class_names: Name of each class, at least `max(labels) + 1` of them. Defaults to `None`.
        name: What to call it in reports. Defaults to `"array"`.

    Raises:
        TypeError: If a dtype is not one of those above.
        ValueError: If a shape does not fit, a pixel is NaN or infinite (the first such image is
            named), or labels and images do not match.

    Example:
    >>> source = ArraySource(np.zeros((5, 8, 8), "uint8"), labels=[0, 1, 0, 1, 0])
    >>> source.image_shape, source.read([0, 4]).shape
    ((8, 8, 1), (2, 8, 8, 1))
    """

    def __init__(
        self,
        images: npt.ArrayLike,
        labels: npt.ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        name: str = "array",
    ) -> None:
        array = _checked_shape(np.asanyarray(images))
        self._images = array
        self._dtype = _checked_pixels(array)
        checked = None if labels is None else _checked_labels(labels, len(array))
        if checked is not None and class_names is not None and checked.max() >= len(class_names):
            raise ValueError(
                "`class_names` should have a name for each label. Received: "
                f"{len(class_names)} names, and labels up to {int(checked.max())}"
            )
        super().__init__(name, checked, class_names)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        _, height, width, channels = self._images.shape
        return (height, width, channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """`uint8` or `float32`."""
        return self._dtype

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        # Indexing with an array copies, so the caller may write to what it gets.
        return np.asarray(self._images[indices]).astype(self._dtype, copy=False)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self._dtype}{self._images.shape}".encode())
        for start, stop in _chunks(self._images):
            part = np.asarray(self._images[start:stop]).astype(self._dtype, copy=False)
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def _chunks(images: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Row ranges of about 16 MiB, so that memory-mapped arrays are never in memory whole."""
    step = max(_CHUNK_BYTES // max(images[0].nbytes, 1), 1)
    return [(start, start + step) for start in range(0, len(images), step)]


def _checked_shape(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            "`images` should have the shape (n, height, width) or (n, height, width, channels), "
            f"and none of these zero. Received: `images.shape={images.shape}`"
        )
    if images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise ValueError(
            "`images` should have the channels last, and this shape looks like channels first. "
            f"Received: `images.shape={images.shape}`. Pass `np.moveaxis(images, 1, -1)`"
        )
    return images


def _checked_pixels(images: npt.NDArray[Any]) -> np.dtype[Any]:
    """The dtype that is given to the caller, after a look at every pixel where one is needed."""
    if images.dtype == np.uint8:
        return images.dtype
    if np.issubdtype(images.dtype, np.integer):
        low, high = int(images.min()), int(images.max())
        if low < 0 or high > 255:
            raise ValueError(
                "`images` of an integer dtype should hold pixels in 0..255. "
                f"Received: {images.dtype} pixels from {low} to {high}. Scale them, or pass floats"
            )
        return np.dtype(np.uint8)
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            "`images` should be an array of uint8, or of floats. "
            f"Received: `images.dtype={images.dtype}`"
        )
    for start, stop in _chunks(images):
        with np.errstate(over="ignore"):
            part = np.asarray(images[start:stop]).astype(np.float32, copy=False)
        finite = np.isfinite(part).all(axis=(1, 2, 3))
        if not finite.all():
            raise ValueError(
                "`images` should hold finite pixels only. Received: NaN or an infinity in image "
                f"{start + int(np.argmin(finite))}. Remove such images, or replace these pixels"
            )
    return np.dtype(np.float32)


def _checked_labels(labels: npt.ArrayLike, count: int) -> npt.NDArray[np.int32]:
    array = np.asarray(labels)
    if array.shape == (count, 1):
        array = array[:, 0]
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"`labels` should be integers. Received: `labels.dtype={array.dtype}`")
    if array.shape != (count,):
        hint = ". Pass `labels.argmax(-1)` for one-hot labels" if array.ndim == 2 else ""
        raise ValueError(
            f"`labels` should have the shape ({count},), one for each image. "
            f"Received: `labels.shape={array.shape}`{hint}"
        )
    if array.min() < 0 or array.max() > np.iinfo(np.int32).max:
        raise ValueError(
            "`labels` should be non-negative 32-bit integers. "
            f"Received: labels from {int(array.min())} to {int(array.max())}"
        )
    return array.astype(np.int32)
