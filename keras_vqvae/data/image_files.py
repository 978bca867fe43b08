"""Image files that are decoded when they are read: what folders and archives have in common."""

import itertools
import os
import threading
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.checks import checked_choice, checked_size
from keras_vqvae.data.decoding import (
    Color,
    Header,
    Resize,
    UnreadableImageError,
    decode,
    read_header,
)
from keras_vqvae.data.source import ImageSource

# Up to this many files, every header is looked at when the source is made.
VERIFIED_FILES = 20_000
_SAMPLE = 64
_THREADS = min(os.cpu_count() or 1, 8)
# Below this many images, starting threads costs more than they save.
_THREADED_FROM = 16

_WHERE_LISTED = "`skipped` of the source lists them, and a run's metrics.json"

_T = TypeVar("_T")


class SeveralSizesError(ValueError):
    """Images of several sizes, of which no size was asked for."""


class ImageFiles(ImageSource):
    """Base of sources whose images are files, decoded lazily.

    A subclass calls `_prepare` at the end of its constructor and implements `_open`.

    Args:
        name: What to call it in reports.
        files: Path of each file relative to the top, with `/`, sorted.
        image_size: `None`, an integer for squares, or `(height, width)`.
        color: `None`, `"grayscale"` or `"rgb"`.
        resize: `"crop"`, `"stretch"` or `"pad"`.
        strict: Whether an unreadable file is an error.
        class_names: Names of the classes by number, if they are not those of `files` alone.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[str],
        image_size: int | tuple[int, int] | None,
        color: Color | None,
        resize: Resize,
        strict: bool,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name)
        self._all_classes = class_names
        self._size = checked_size(image_size)
        self._color = checked_choice("color", color, (None, *get_args(Color)))
        self._resize: Resize = checked_choice("resize", resize, get_args(Resize))
        self._strict = strict
        self._files = list(files)
        # A colour file in a source that was taken for gray would lose its colours unseen.
        self._guessed_gray = False
        self._unreadable: dict[int, str] = {}
        self._left_out: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    @abstractmethod
    def _open(self, index: int) -> str | IO[bytes]:
        """The path of file `index`, or its content."""

    def _check_there(self) -> None:
        """Raises an error if not one file but all of them cannot be read any more."""

    def _path(self, index: int) -> str:
        """How file `index` is called in messages."""
        return self._files[index]

    def __len__(self) -> int:
        return len(self._files)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return self._shape

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """`(path, reason)` of files left out at the start, or replaced when read, so far."""
        with self._lock:
            replaced = [(self._path(i), reason) for i, reason in sorted(self._unreadable.items())]
        return self._left_out + replaced

    def _prepare(self) -> None:
        """Looks at headers: drops unreadable files, settles size, colour and labels."""
        headers = self._look_at_headers()
        first, *others = headers
        if self._size is None:
            for other in others:
                a, b = headers[first], headers[other]
                if (a.height, a.width) != (b.height, b.width):
                    raise SeveralSizesError(
                        _mixed_sizes(self._path(first), a, self._path(other), b)
                    )
            self._needed = (headers[first].height, headers[first].width)
        else:
            self._needed = self._size
        if self._color is None:
            gray = all(header.grayscale for header in headers.values())
            self._color = "grayscale" if gray else "rgb"
            self._guessed_gray = gray
        self._shape = (*self._needed, 1 if self._color == "grayscale" else 3)
        self.labels, self.class_names = class_labels(self._files, self._all_classes)

    def _look_at_headers(self) -> dict[int, Header]:
        """Headers of all files, or of some in a large source; the keys are indices."""
        everything = len(self._files) <= VERIFIED_FILES
        if everything:
            looked_at = list(range(len(self._files)))
        else:
            looked_at = np.linspace(0, len(self._files) - 1, _SAMPLE).astype(int).tolist()
        results = _in_threads(self._header_or_reason, looked_at)
        headers = {i: h for i, h in zip(looked_at, results, strict=True) if isinstance(h, Header)}
        reasons = {i: r for i, r in zip(looked_at, results, strict=True) if isinstance(r, str)}
        for index, reason in reasons.items():
            if self._strict:
                raise ValueError(_unreadable_text(self._path(index), reason))
        if not headers:
            index, reason = next(iter(reasons.items()))
            raise ValueError(
                f"None of the {len(looked_at)} image files of {self.name!r} that were looked at "
                f"can be read. The first is {self._path(index)!r}: {reason}"
            )
        if not everything:
            self._unreadable.update(reasons)
            return headers
        self._left_out += [(self._path(i), reason) for i, reason in reasons.items()]
        if reasons:
            kept = sorted(headers)
            self._keep(kept)
            headers = {new: headers[old] for new, old in enumerate(kept)}
        if self._left_out:
            warnings.warn(
                f"{_left_out_text(self.name, self._left_out)}. {_WHERE_LISTED}", stacklevel=4
            )
        return headers

    def _keep(self, indices: list[int]) -> None:
        """Forgets all files but these."""
        self._files = [self._files[i] for i in indices]

    def _header_or_reason(self, index: int) -> Header | str:
        try:
            return read_header(self._open(index))
        except UnreadableImageError as error:
            return str(error)

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self._read_among(indices, None)

    def _read_among(
        self, indices: npt.NDArray[np.int64], among: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[Any]:
        images = np.empty((len(indices), *self._shape), np.uint8)

        def fill(position: int) -> None:
            images[position] = self._read_one(int(indices[position]), among)

        _in_threads(fill, range(len(indices)))
        return images

    def _read_one(self, index: int, among: npt.NDArray[np.int64] | None) -> npt.NDArray[np.uint8]:
        assert self._color is not None  # settled by _prepare
        for candidate in self._stand_ins(index):
            if candidate in self._unreadable:
                continue
            if candidate != index and among is not None and candidate not in among:
                continue  # it is of another part, which may be one to be tested on
            try:
                pixels, gray = decode(self._open(candidate), self._size, self._color, self._resize)
            except UnreadableImageError as error:
                self._check_there()
                self._record(candidate, str(error))
                continue
            if self._guessed_gray and not gray:
                raise ValueError(
                    f"`color` should be given for images of several kinds: the others of "
                    f"{self.name!r} are grayscale, and {self._path(candidate)!r} has colours. "
                    'Pass `color="rgb"` or `color="grayscale"`'
                )
            if self.labels is not None and self.labels[candidate] != self.labels[index]:
                warnings.warn(
                    f"no other image of its class is left to replace {self._path(index)!r}: under "
                    f"its label {self._path(candidate)!r} is given. Remove the damaged file",
                    stacklevel=2,
                )
            if pixels.shape[:2] != self._needed:
                a, b = Header(*self._needed, gray), Header(pixels.shape[0], pixels.shape[1], gray)
                raise SeveralSizesError(_mixed_sizes(self._path(0), a, self._path(candidate), b))
            return pixels
        raise ValueError(
            f"No readable image is left to replace {self._path(index)!r}: {self._unreadable[index]}"
        )

    def _stand_ins(self, index: int) -> Iterator[int]:
        """The image itself, then the ones after it, around the end; those of its class first."""
        yield index
        others = [(index + step) % len(self) for step in range(1, len(self))]
        if self.labels is None:
            yield from others
            return
        alike = self.labels[others] == self.labels[index]
        yield from itertools.compress(others, alike)
        yield from itertools.compress(others, ~alike)

    def _record(self, index: int, reason: str) -> None:
        if self._strict:
            raise ValueError(_unreadable_text(self._path(index), reason))
        with self._lock:
            first = not self._unreadable
            self._unreadable[index] = reason
        if first:
            warnings.warn(
                f"{self._path(index)!r} cannot be decoded ({reason}); the next image, of its class "
                "if there is one, is given in its place. Further such files give no warning. "
                f"{_WHERE_LISTED}",
                stacklevel=2,
            )

    def _options(self) -> str:
        """What, beside the files, decides the pixels."""
        return f"{self._shape} {self._size} {self._resize}"


def class_labels(
    files: Sequence[str], class_names: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int32] | None, tuple[str, ...] | None]:
    """Labels from the first folder of each path; none when a file lies in no folder.

    Args:
        files: Paths, with `/`.
        class_names: Names of the classes by number. Defaults to the folders in order.

    Raises:
        ValueError: If `class_names` lacks a folder.

    Example:
    >>> class_labels(["cat/1.png", "cat/2.png", "dog/1.png"])
    (array([0, 0, 1], dtype=int32), ('cat', 'dog'))
    """
    tops = [path.partition("/")[0] if "/" in path else None for path in files]
    found = sorted({top for top in tops if top is not None})
    if None in tops or not found:
        return None, None
    names = found if class_names is None else list(class_names)
    numbers = dict(zip(names, itertools.count(), strict=False))
    lacking = [name for name in found if name not in numbers]
    if lacking:
        raise ValueError(
            "`class_names` should have a name for each folder of images. "
            f"Received: class_names={names}, without {', '.join(map(repr, lacking))}"
        )
    return np.array([numbers[top] for top in tops if top is not None], np.int32), tuple(names)


def _in_threads(function: Callable[[int], _T], items: Sequence[int]) -> list[_T]:
    if len(items) < _THREADED_FROM or _THREADS == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))


def _mixed_sizes(path: str, a: Header, other_path: str, b: Header) -> str:
    return (
        "`image_size` should be given for images of several sizes. Received: `image_size=None`, "
        f"and {path!r} has {a.height}x{a.width} pixels (height x width), "
        f"{other_path!r} has {b.height}x{b.width}. Pass `image_size=(height, width)`, on "
        "the command line `--image-size HEIGHT,WIDTH`"
    )


def _left_out_text(name: str, left_out: Sequence[tuple[str, str]]) -> str:
    path, reason = left_out[0]
    if len(left_out) == 1:
        return f"1 image file of {name!r} cannot be read and is left out, {path!r}: {reason}"
    return (
        f"{len(left_out)} image files of {name!r} cannot be read and are left out, the first is "
        f"{path!r}: {reason}"
    )


def _unreadable_text(path: str, reason: str) -> str:
    return (
        f"The image file {path!r} cannot be read: {reason}. Repair or remove it, or pass "
        "`strict=False` (`--no-strict`) to go on without it"
    )
