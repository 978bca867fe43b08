"""Images to codes and back, with a progress bar."""

import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.data import CodeFile, ImageBatches, ImageSource, load_codes, save_codes


def encode_images(
    model: Any,
    source: ImageSource,
    path: str | os.PathLike[str] | None = None,
    batch_size: int = 128,
    verbose: int = 0,
) -> CodeFile:
    """The codes of all images of a source, with its labels; written to `path` if there is one."""
    batches = ImageBatches(source, batch_size)
    progress = keras.utils.Progbar(len(batches), verbose=verbose)
    parts = []
    for step in range(len(batches)):
        parts.append(model.encode(np.asarray(batches[step]), batch_size))
        progress.add(1)
    codes = np.concatenate(parts).astype(np.int32, copy=False)
    fingerprint = model.fingerprint()
    if path is not None:
        save_codes(
            path,
            codes,
            num_embeddings=model.num_embeddings,
            model_fingerprint=fingerprint,
            labels=source.labels,
        )
    return CodeFile(codes, model.num_embeddings, fingerprint, source.labels)


def check_count(file: CodeFile, source: ImageSource, path: str | os.PathLike[str]) -> None:
    """Refuses codes that were kept of more or fewer images than there are.

    Raises:
        ValueError: naming the file that they were kept in.
    """
    if len(file.codes) != len(source):
        raise ValueError(
            f"the file {os.fspath(path)!r} holds the codes of {len(file.codes)} images, and there "
            f"are {len(source)}. Remove it: it is made anew"
        )


def decode_codes(model: Any, codes: Any, verbose: int = 0) -> npt.NDArray[np.float32]:
    """The images of codes; of a file or `CodeFile`, after a look at its fingerprint.

    Raises:
        ValueError: for codes of another model, or out of range.
    """
    if isinstance(codes, str | os.PathLike):
        codes = load_codes(codes, model_fingerprint=model.fingerprint())
    if isinstance(codes, CodeFile):
        if codes.fingerprint != model.fingerprint():
            raise ValueError("`codes` were made by another model. Encode the images with this one")
        codes = codes.codes
    codes = np.asarray(codes)
    if not len(codes):
        return np.zeros((0, *model.image_shape), np.float32)
    progress = keras.utils.Progbar(len(codes), verbose=verbose)
    parts = []
    for batch in in_batches(codes, 128):
        parts.append(model.decode(batch))
        progress.add(len(batch))
    return np.concatenate(parts)


def in_batches(rows: npt.NDArray[Any], batch_size: int) -> Iterator[npt.NDArray[Any]]:
    """An array in parts of `batch_size` rows, the last one with what is left."""
    return (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
