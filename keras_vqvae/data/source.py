"""What every collection of images can do, wherever its pixels lie."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.checks import checked_integer
from keras_vqvae.data.seeding import epoch_generator

# No epoch has this number: a split and a shuffle of the same seed have nothing in common.
_SPLIT_STREAM = 2**63


class ImageSource(ABC):
    """Images with random access: arrays, folders and archives all look like this.

    A source has a length, one `image_shape` for all its images, and `read(indices)`. Pixels are
    given as they are stored: `uint8` in 0..255, or `float32` for floating-point arrays. A
    subclass implements `__len__`, `image_shape`, `dtype`, `_read` and `_fingerprint`.

    Args:
        name: What to call it in reports.
        labels: Integer array, shape `(n,)`, or `None`.
        class_names: Names of the classes, in the order of their labels, or `None`.

    Example:
    >>> from keras_vqvae.data import ArraySource
    >>> source = ArraySource(np.zeros((10, 8, 8), "uint8"))
    >>> train, validation = source.split(0.2, seed=0)
    >>> len(train), len(validation), validation.image_shape
    (8, 2, (8, 8, 1))
    """

    def __init__(
        self,
        name: str,
        labels: npt.NDArray[np.int32] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.labels = labels
        self.class_names = None if class_names is None else tuple(class_names)
        self._cached_fingerprint: str | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`, the same for all images."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """`uint8` or `float32`: what `read` gives."""
        return np.dtype(np.uint8)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """`(path, reason)` of the files that were left out or replaced so far."""
        return []

    def read(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        """Reads images.

        Args:
            indices: Integers in `[0, len(source))`, shape `(n,)`; repeats are allowed.

        Returns:
            Array of shape `(n, height, width, channels)`, `uint8` or `float32`; the caller may
            write to it.

        Raises:
            IndexError: If an index is outside the source.
        """
        return self._read(checked_indices(indices, len(self)))

    @abstractmethod
    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """`read`, after `indices` have been checked."""

    def _read_among(
        self, indices: npt.NDArray[np.int64], among: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[Any]:
        """As `_read`; what stands in for an image that cannot be read is one of `among`."""
        return self._read(indices)

    def as_array(self) -> npt.NDArray[Any]:
        """All images at once, shape `(len(source), height, width, channels)`."""
        return self._read(np.arange(len(self)))

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) that changes when the images do.

        Arrays are hashed by their pixels; files by path, size and time of change, without
        opening them.
        """
        if self._cached_fingerprint is None:
            self._cached_fingerprint = self._fingerprint()
        return self._cached_fingerprint

    @abstractmethod
    def _fingerprint(self) -> str:
        """`fingerprint`, computed anew."""

    def subset(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], name: str | None = None
    ) -> "ImageSource":
        """The images at `indices` as a source, in that order. Nothing is copied or read.

        For an image that turns out to be damaged only another one of these stands in.

        Args:
            indices: Integers in `[0, len(source))`, shape `(n,)`.
            name: Name of the new source. Defaults to this one's.

        Raises:
            IndexError: If an index is outside the source.
            ValueError: If there is no index.
        """
        checked = checked_indices(indices, len(self))
        if not len(checked):
            raise ValueError("`indices` should name at least one image. Received an empty sequence")
        return _Subset(self, checked, name or self.name)

    def spread(self, count: int) -> "ImageSource":
        """At most `count` images, evenly spread over the source, so that all classes are there.

        For an image that turns out to be damaged any other one of the source stands in.

        Args:
            count: A positive integer.
        """
        if len(self) <= count:
            return self
        step = len(self) / count
        few = _Subset(self, np.array([math.floor(i * step) for i in range(count)]), self.name)
        few._among = self._among if isinstance(self, _Subset) else None
        return few

    def split(
        self, validation_fraction: float, seed: int = 0
    ) -> tuple["ImageSource", "ImageSource"]:
        """Two disjoint parts, drawn at random by `seed`, each in the original order.

        Args:
            validation_fraction: Share of the second part, in (0, 1).
            seed: A non-negative integer. The same seed gives the same parts.

        Returns:
            `(train, validation)`, each with at least one image.

        Raises:
            ValueError: If the fraction is outside (0, 1), or there is only one image.
        """
        if not 0.0 < validation_fraction < 1.0:
            raise ValueError(
                "`validation_fraction` should be between 0 and 1, both excluded. "
                f"Received: `validation_fraction={validation_fraction!r}`"
            )
        seed = checked_integer("seed", seed, 0)
        count = len(self)
        if count < 2:
            raise ValueError(
                f"Splitting needs at least 2 images; {self.name!r} has {count}. "
                "Pass validation images of their own"
            )
        held_out = min(max(round(count * validation_fraction), 1), count - 1)
        order = epoch_generator(seed, _SPLIT_STREAM).permutation(count)
        return (
            self.subset(np.sort(order[held_out:]), f"{self.name} (training part)"),
            self.subset(np.sort(order[:held_out]), f"{self.name} (validation part)"),
        )

    def __repr__(self) -> str:
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        height, width, channels = self.image_shape
        return (
            f"<{type(self).__name__.lstrip('_')} {self.name!r}: {len(self)} images "
            f"{height}x{width}x{channels} {self.dtype}{classes}>"
        )


class _Subset(ImageSource):
    """Some images of another source."""

    def __init__(self, base: ImageSource, indices: npt.NDArray[np.int64], name: str) -> None:
        labels = None if base.labels is None else base.labels[indices]
        super().__init__(name, labels, base.class_names)
        self._base: ImageSource = base
        self._indices: npt.NDArray[np.int64] = indices
        # A view of a view goes straight to the source, so that chains do not grow.
        if isinstance(base, _Subset):
            self._base, self._indices = base._base, base._indices[indices]
        # What may stand in for a damaged image: none of another part, which may be one to be
        # tested on.
        self._among: npt.NDArray[np.int64] | None = self._indices

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._base.image_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._base.dtype

    @property
    def skipped(self) -> list[tuple[str, str]]:
        return self._base.skipped

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self._base._read_among(self._indices[indices], self._among)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self._base.fingerprint().encode())
        digest.update(self._indices.astype("<i8").tobytes())
        return digest.hexdigest()


def checked_indices(indices: Any, length: int) -> npt.NDArray[np.int64]:
    """`indices` as an `int64` array, or an error that shows the bad one."""
    array = np.asarray(indices)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise TypeError(
            "`indices` should be a sequence of integers. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    array = array.astype(np.int64)
    bad = np.flatnonzero((array < 0) | (array >= length))
    if bad.size:
        raise IndexError(
            f"`indices` should be in [0, {length}). Received: {int(array[bad[0]])} "
            f"at position {int(bad[0])}"
        )
    return array
