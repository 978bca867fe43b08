"""Files of codes: what one model made of many images."""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.data.checks import checked_integer
from keras_vqvae.data.files import (
    DAMAGE,
    RefusedFileError,
    atomic_write,
    check_archive,
    unpacks_to_too_much,
)
from keras_vqvae.data.loading import load_images
from keras_vqvae.data.source import ImageSource

_FORMAT = "keras_vqvae.codes"
VERSION = 1


class Encoder(Protocol):
    """What `encode_to_file` needs of a model."""

    @property
    def num_embeddings(self) -> int | tuple[int, ...]:
        """Size of the table: codes are in `[0, num_embeddings)`. Or one for each depth."""

    def encode(self, images: Any) -> Any:
        """Images `(n, height, width, channels)` to integers as `save_codes` takes them."""

    def fingerprint(self) -> str:
        """A text that differs between models."""


@dataclass(frozen=True)
class CodeFile:
    """Codes of many images, and which model they belong to.

    Args:
        codes: `int32` array, shape `(n, h, w)`, `(n, h, w, q)` for `q` codes a position, or
            `(n, length)` for a sequence.
        num_embeddings: Size of the table: codes are in `[0, num_embeddings)`. A tuple where the
            tables of the `q` codes differ in size.
        fingerprint: Fingerprint of the model that made them.
        labels: `int32` array, shape `(n,)`, or `None`.
        version: Version of the file format.
    """

    codes: npt.NDArray[np.int32]
    num_embeddings: int | tuple[int, ...]
    fingerprint: str
    labels: npt.NDArray[np.int32] | None = None
    version: int = VERSION


def save_codes(
    path: str | os.PathLike[str],
    codes: npt.ArrayLike,
    *,
    num_embeddings: int | Sequence[int],
    model_fingerprint: str,
    labels: npt.ArrayLike | None = None,
) -> None:
    """Writes codes to a compressed `.npz` file, whole or not at all.

    They are stored in the smallest unsigned dtype that holds the largest code there may be; more
    than 1 GiB of them that would shrink to less than a hundredth, which no file is read from,
    without compression.

    Args:
        path: File to write, with any suffix; an existing one is replaced.
        codes: Integers in `[0, num_embeddings)`, shape `(n, h, w)`, `(n, h, w, q)` for `q` codes a
            position, or `(n, length)` for a sequence, such as the codes of all scales.
        num_embeddings: Size of the table that the codes index; or one for each of the `q` codes,
            where their tables differ.
        model_fingerprint: Fingerprint of the model that made them.
        labels: Integers, shape `(n,)`, or `None`. Defaults to `None`.

    Raises:
        TypeError: If codes or labels are not integers.
        ValueError: If a shape does not fit, or a code is out of range.
        OSError: If the file cannot be written; nothing half-written is left.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "codes.npz")
    >>> save_codes(path, [[[0, 1], [2, 3]]], num_embeddings=4, model_fingerprint="ab12")
    >>> load_codes(path, model_fingerprint="ab12").codes
    array([[[0, 1], [2, 3]]], dtype=int32)
    """
    sizes = _table_sizes(num_embeddings)
    array = np.asarray(codes)
    _check_codes(array, sizes)
    members = {"codes": array.astype(np.min_scalar_type(int(np.max(sizes)) - 1))}
    if labels is not None:
        checked = np.asarray(labels)
        _check_labels(checked, len(array))
        members["labels"] = checked.astype(np.int32)
    about = {
        "format": _FORMAT,
        "version": VERSION,
        "num_embeddings": sizes,
        "model_fingerprint": model_fingerprint,
    }
    members = {"about": np.array(json.dumps(about)), **members}
    with atomic_write(path) as temporary:
        for save in (np.savez_compressed, np.savez):
            with temporary.open("wb") as file:
                save(file, **members)  # type: ignore[arg-type]
            if not unpacks_to_too_much(temporary):
                break


def save_code_file(path: str | os.PathLike[str], file: CodeFile) -> None:
    """`save_codes` of what belongs together."""
    save_codes(
        path,
        file.codes,
        num_embeddings=file.num_embeddings,
        model_fingerprint=file.fingerprint,
        labels=file.labels,
    )


def load_codes(path: str | os.PathLike[str], *, model_fingerprint: str | None = None) -> CodeFile:
    """Reads what `save_codes` wrote.

    Args:
        path: File to read.
        model_fingerprint: Fingerprint of the model that is going to use the codes; the file's
            must be the same. Defaults to `None`, no check.

    Returns:
        A `CodeFile`, its codes and labels as `int32`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is another kind of file, damaged, of another version, of another model,
            or has codes out of range.
    """
    shown = f"`path={os.fspath(path)!r}`"
    about, codes, labels = _read(path, shown)
    if about.get("version") != VERSION:
        raise ValueError(
            f"`path` should be a code file of version {VERSION}. Received: {shown} of version "
            f"{about.get('version')!r}. Encode the images anew, or use the package that wrote it"
        )
    num_embeddings, fingerprint = about.get("num_embeddings"), about.get("model_fingerprint")
    has_sizes = isinstance(num_embeddings, int | list)
    if not has_sizes or not isinstance(fingerprint, str) or codes is None:
        raise ValueError(f"`path` should be a whole code file. Received: {shown}, which lacks data")
    if model_fingerprint is not None and fingerprint != model_fingerprint:
        raise ValueError(
            f"The codes in {os.fspath(path)!r} were made by another model: they have the "
            f"fingerprint {fingerprint[:12]}, and the model has {model_fingerprint[:12]}. "
            "Encode the images with this model"
        )
    try:
        sizes = _table_sizes(num_embeddings)
        _check_codes(codes, sizes)
        if labels is not None:
            _check_labels(labels, len(codes))
    except (TypeError, ValueError) as error:
        raise ValueError(f"The code file {os.fspath(path)!r} is damaged: {error}") from error
    return CodeFile(
        codes.astype(np.int32),
        sizes,
        fingerprint,
        None if labels is None else labels.astype(np.int32),
    )


def is_code_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a file that `save_codes` wrote, of any version; only its start is read.

    Example:
    >>> is_code_file(__file__)
    False
    """
    try:
        with open(path, "rb") as file:
            return _about(np.load(file, allow_pickle=False)).get("format") == _FORMAT
    except Exception:
        return False


def encode_to_file(
    model: Encoder,
    source: Any,
    path: str | os.PathLike[str],
    batch_size: int = 128,
    verbose: int = 0,
) -> CodeFile:
    """Encodes all images of a source and writes the codes, with the source's labels.

    Args:
        model: A `models.VQVAE`, or what else has `encode(images)`, `fingerprint()` and
            `num_embeddings`.
        source: The images, as `load_images` takes them: an `ImageSource`, an array, a path, a name.
        path: File to write; an existing one is replaced when all is encoded.
        batch_size: Images to read and encode at once. Defaults to `128`.
        verbose: 1 for a progress bar. Defaults to `0`.

    Returns:
        What was written.

    Raises:
        TypeError: For a model that has no codes of images.
        ValueError: For a batch size that is no positive integer, and as `load_images`.
    """
    if not all(hasattr(model, name) for name in ("encode", "fingerprint", "num_embeddings")):
        raise TypeError(
            f"`model` should be a `models.VQVAE`. Received: {model!r}. Write the codes of another "
            "model, its `CodeIndices` for example, with `save_codes`"
        )
    batch_size = checked_integer("batch_size", batch_size, 1)
    file = encode_source(model, load_images(source), batch_size, verbose)
    save_code_file(path, file)
    return file


def encode_source(
    model: Encoder, source: ImageSource, batch_size: int = 128, verbose: int = 0
) -> CodeFile:
    """What `encode_to_file` writes, written nowhere."""
    progress = keras.utils.Progbar(len(source), verbose=verbose)
    parts = []
    for start in range(0, len(source), batch_size):
        images = source.read(np.arange(start, min(start + batch_size, len(source))))
        parts.append(np.asarray(model.encode(images)))
        progress.add(len(images))
    codes = np.concatenate(parts).astype(np.int32, copy=False)
    return CodeFile(codes, model.num_embeddings, model.fingerprint(), source.labels)


def _read(
    path: str | os.PathLike[str], shown: str
) -> tuple[dict[str, Any], npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    with open(path, "rb") as file:
        is_zip = zipfile.is_zipfile(file)
    try:
        if not is_zip:
            raise ValueError("it is no .npz file, or its end is missing")
        check_archive(path)
        # Opened here: on a damaged file `np.load` leaves what it opened to the garbage collector.
        with open(path, "rb") as file:
            arrays = np.load(file, allow_pickle=False)
            about = _about(arrays)
            if about.get("format") != _FORMAT:
                raise ValueError("it holds something else")
            return about, _array(arrays, "codes"), _array(arrays, "labels")
    except RefusedFileError:
        raise
    except (*DAMAGE, MemoryError) as error:
        raise ValueError(
            f"`path` should be a whole code file. Received: {shown}, which is damaged or holds "
            f"something else: {error}"
        ) from error


def _array(arrays: Any, name: str) -> npt.NDArray[Any] | None:
    found = arrays.get(name)
    if found is not None and not isinstance(found, np.ndarray):
        raise ValueError(f"its {name} are no array")
    return found


def _about(arrays: Any) -> dict[str, Any]:
    npz = isinstance(arrays, np.lib.npyio.NpzFile)
    about = json.loads(str(arrays["about"])) if npz and "about" in arrays else {}
    return about if isinstance(about, dict) else {}


def _table_sizes(num_embeddings: Any) -> int | tuple[int, ...]:
    """The size of the table, or those of several, as plain integers."""
    several = isinstance(num_embeddings, list | tuple)
    sizes = tuple(num_embeddings) if several else (num_embeddings,)
    if not sizes or any(
        isinstance(size, bool) or not isinstance(size, int | np.integer) for size in sizes
    ):
        raise TypeError(
            "`num_embeddings` should be a positive integer, or one for each depth. "
            f"Received: `num_embeddings={num_embeddings!r}`"
        )
    if not all(0 < size <= 2**31 for size in sizes):
        raise ValueError(
            "`num_embeddings` should be a positive integer of at most 2**31. "
            f"Received: `num_embeddings={num_embeddings!r}`"
        )
    sizes = tuple(int(size) for size in sizes)
    return sizes if several else sizes[0]


def _check_codes(codes: npt.NDArray[Any], sizes: int | tuple[int, ...]) -> None:
    if not np.issubdtype(codes.dtype, np.integer):
        raise TypeError(f"`codes` should be integers. Received: `codes.dtype={codes.dtype}`")
    if codes.ndim not in (2, 3, 4):
        raise ValueError(
            "`codes` should have the shape (n, h, w), (n, h, w, q) or (n, length). "
            f"Received: `codes.shape={codes.shape}`"
        )
    if isinstance(sizes, tuple) and codes.shape[-1] != len(sizes):
        raise ValueError(
            f"`codes` should have {len(sizes)} codes a position, one for each of "
            f"`num_embeddings={sizes}`. Received: `codes.shape={codes.shape}`"
        )
    if codes.size and (codes.min() < 0 or (codes >= np.asarray(sizes)).any()):
        padding = " Code files hold no padding (−1): see `Sequences` in docs/data.md"
        raise ValueError(
            f"`codes` should be in [0, {sizes}). "
            f"Received: codes from {int(codes.min())} to {int(codes.max())}."
            f"{padding if codes.min() == -1 else ''}"
        )


def _check_labels(labels: npt.NDArray[Any], count: int) -> None:
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"`labels` should be integers. Received: `labels.dtype={labels.dtype}`")
    if labels.shape != (count,):
        raise ValueError(
            f"`labels` should have the shape ({count},), one for each image. "
            f"Received: `labels.shape={labels.shape}`"
        )
