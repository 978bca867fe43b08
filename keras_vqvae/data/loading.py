"""Whatever the user has, as an `ImageSource`."""

import os
import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.archives import ARCHIVE_SUFFIXES, ArchiveSource
from keras_vqvae.data.arrays import ArraySource
from keras_vqvae.data.checks import checked_choice, checked_size
from keras_vqvae.data.decoding import Color, Resize
from keras_vqvae.data.files import DAMAGE, RefusedFileError, check_archive
from keras_vqvae.data.folders import FolderSource, class_folders, is_image_name, is_passed_over
from keras_vqvae.data.named import CLASS_NAMES, load_named
from keras_vqvae.data.resized import resized
from keras_vqvae.data.source import ImageSource
from keras_vqvae.data.splits import PARTS, checked_split, no_such_part, part_folder

_IMAGE_KEYS = ("images", "x", "data", "arr_0")
_LABEL_KEYS = ("labels", "y")


def load_images(
    source: Any,
    split: str = "train",
    image_size: int | tuple[int, int] | None = None,
    color: Color | None = None,
    resize: Resize = "crop",
    strict: bool = False,
) -> ImageSource:
    """Makes an `ImageSource` of arrays, paths and names.

    | `source` | what is taken |
    |---|---|
    | an `ImageSource` | itself |
    | array `(n, height, width[, channels])`, or `(images, labels)` | an `ArraySource` |
    | a folder | its images, classes by subfolder; of `train`/`validation`/`test`, the `split` |
    | `.zip`, `.tar`, `.tar.gz`, … | the same, without unpacking it to the disk |
    | `.npz` | `x_train`/`y_train`, `x_test`/`y_test`; or `images`/`labels` or `x`/`y` |
    | `.npy` | images, memory-mapped |
    | `"fashion_mnist_mini"` | 10 000 + 2 000 images that come with this package |
    | `"fashion_mnist"`, `"mnist"`, `"cifar10"` | a local copy, or a download through Keras |

    A name goes before a folder of the same name; write `"./mnist"` for the folder. Images of one
    source have one size: `image_size` resizes them.

    Args:
        source: See above.
        split: Part to take: `"train"`, `"validation"` or `"test"`. A file or folder that is not
            divided is all `"train"`; arrays and sources are taken as they are. Defaults to
            `"train"`.
        image_size: An integer for squares, `(height, width)`, or `None` to keep the size.
            Defaults to `None`.
        color: `"grayscale"` or `"rgb"`, or `None` to keep the colour. Defaults to `None`.
        resize: `"crop"`, `"stretch"` or `"pad"`. Defaults to `"crop"`.
        strict: Whether an unreadable image file is an error and not skipped. Defaults to `False`.

    Returns:
        An `ImageSource`.

    Raises:
        FileNotFoundError: If a path or name is not known, or a data set cannot be downloaded.
        TypeError: If `source` is something else, for instance a `tf.data.Dataset`.
        ValueError: If what is there cannot be used, or has no such `split`, or `source` is empty.

    Example:
    >>> load_images("fashion_mnist_mini", split="test", image_size=32)
    <ResizedSource 'fashion_mnist_mini (test)': 2000 images 32x32x1 uint8, 10 classes>
    """
    checked_split(split)
    checked_size(image_size)
    checked_choice("color", color, (None, *get_args(Color)))
    checked_choice("resize", resize, get_args(Resize))
    if isinstance(source, (str, os.PathLike)):
        if source == "":
            raise ValueError(
                "`source` should be a path or a name; '.' is the current directory. "
                "Received: source=''"
            )
        if isinstance(source, str) and source in CLASS_NAMES:
            found: ImageSource = load_named(source, split)
        else:
            path = Path(source).expanduser()
            if path.is_dir():
                return _from_folder(path, split, image_size, color, resize, strict)
            if path.name.lower().endswith(ARCHIVE_SUFFIXES) and path.is_file():
                return ArchiveSource(path, split, image_size, color, resize, strict)
            found = _from_array_file(path, split)
    else:
        found = _from_object(source)
    return resized(found, image_size, color, resize)


def _from_object(source: Any) -> ImageSource:
    if isinstance(source, ImageSource):
        return source
    if isinstance(source, tuple) and len(source) == 2 and np.ndim(source[0]) >= 3:
        return ArraySource(source[0], source[1])
    if hasattr(source, "element_spec"):
        raise TypeError(
            "`source` should have random access, and a `tf.data.Dataset` has not. "
            "Pass it to the model's `fit` as it is"
        )
    if hasattr(source, "__array__"):
        return ArraySource(source)
    raise TypeError(
        "`source` should be a path, a name, an array, a pair (images, labels), or an ImageSource. "
        f"Received: an object of type {type(source).__name__}. Pass a list of arrays as "
        "`np.stack(images)`; pass what is read batch by batch to the model's `fit` as it is"
    )


def _from_folder(
    path: Path,
    split: str,
    image_size: int | tuple[int, int] | None,
    color: Color | None,
    resize: Resize,
    strict: bool,
) -> ImageSource:
    loose: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if is_passed_over(entry.name):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif is_image_name(entry.name):
                loose.append(entry.name)
    what = f"The folder {str(path)!r}"
    part = part_folder(folders, split, what, min(loose, default=None))
    if part is None:
        return FolderSource(path, image_size, color, resize, strict)
    name = f"{path.resolve().name} ({split})"
    # A class has the same number in all parts, also in one that lacks another class.
    classes = sorted({kind for folder in folders for kind in class_folders(path / folder)})
    return FolderSource(
        path / part, image_size, color, resize, strict, name=name, class_names=classes
    )


def _from_array_file(path: Path, split: str) -> ImageSource:
    if not path.exists():
        names = ", ".join(CLASS_NAMES)
        raise FileNotFoundError(
            "`source` should be an existing path or one of the names "
            f"{names}. Received: {str(path)!r}, which is no such name, and no such path exists"
        )
    if path.suffix.lower() == ".npz":
        images, labels = _read_npz(path, split)
    elif path.suffix.lower() == ".npy":
        if split != "train":
            raise no_such_part(split, f"The file {str(path)!r}")
        images, labels = _read_npy(path), None
    else:
        raise ValueError(
            "`source` should be a folder of images, or a file of type .npz, .npy, "
            f"{', '.join(ARCHIVE_SUFFIXES)}. Received: {str(path)!r}"
        )
    try:
        return ArraySource(images, labels, name=path.name)
    except (TypeError, ValueError) as error:
        raise type(error)(f"In the file {str(path)!r}: {error}") from error


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGE as error:
        raise _not_whole(path, error) from error


def _read_npz(path: Path, split: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    # Opened here: on a damaged file `np.load` leaves what it opened to the garbage collector.
    with path.open("rb") as file:
        try:
            if zipfile.is_zipfile(path):
                check_archive(path)
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is an .npy file")
        except RefusedFileError:
            raise
        except DAMAGE as error:
            raise _not_whole(path, error) from error
        image_key, label_key = _choose_keys(set(arrays.files), split, path)
        try:
            return arrays[image_key], None if label_key is None else arrays[label_key]
        except (OSError, *DAMAGE) as error:
            raise _not_whole(path, error) from error


def _choose_keys(keys: set[str], split: str, path: Path) -> tuple[str, str | None]:
    listed = ", ".join(sorted(keys)) or "none"
    divided = {part: _first(_part_keys(_IMAGE_KEYS, part), keys) for part in PARTS}
    image_key = _first(_IMAGE_KEYS, keys)
    if not any(divided.values()) and image_key is None:
        raise ValueError(
            "`source` should be an .npz file with images under `images`, `x`, or `x_train` and "
            f"`x_test`. Received: {str(path)!r}, with the keys {listed}"
        )
    if any(divided.values()):
        image_key = divided[split]
        label_key = _first(_part_keys(_LABEL_KEYS, split), keys)
    else:
        image_key = image_key if split == "train" else None
        label_key = _first(_LABEL_KEYS, keys)
    if image_key is None:
        raise no_such_part(split, f"The file {str(path)!r} (keys: {listed})", any(divided.values()))
    return image_key, label_key


def _not_whole(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"`source` should be a whole {path.suffix} file of numbers. "
        f"Received: {str(path)!r}: {error}"
    )


def _part_keys(stems: tuple[str, ...], part: str) -> tuple[str, ...]:
    names = [(stem, alias) for stem in stems for alias in PARTS[part]]
    return tuple(k for s, a in names for k in (f"{s}_{a}", f"{a}_{s}"))


def _first(wanted: tuple[str, ...], keys: set[str]) -> str | None:
    return next((key for key in wanted if key in keys), None)
