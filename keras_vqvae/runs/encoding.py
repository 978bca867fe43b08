"""Codes that a run kept, and the images of codes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae import models
from keras_vqvae.data import CodeFile, load_codes


def kept_codes(model: models.VQVAE, path: Path) -> CodeFile:
    """What a file holds that `Run.codes` wrote.

    Raises:
        ValueError: if it is damaged or of another model, with the remedy.
    """
    try:
        return load_codes(path, model_fingerprint=model.fingerprint())
    except ValueError as error:
        raise ValueError(f"{error}. Remove {str(path)!r}: it is made anew") from error


def decode_codes(model: models.VQVAE, codes: Any, verbose: int = 0) -> npt.NDArray[np.float32]:
    """The images of codes; of a file or `CodeFile`, after a look at its fingerprint.

    Raises:
        ValueError: for codes of another model, or out of range.
    """
    if isinstance(codes, str | os.PathLike):
        codes = load_codes(codes, model_fingerprint=model.fingerprint())
    if isinstance(codes, CodeFile):
        if codes.fingerprint != model.fingerprint():
            raise ValueError(
                f"`codes` were made by another model: they have the fingerprint "
                f"{codes.fingerprint[:12]}, and the model has {model.fingerprint()[:12]}. Encode "
                "the images with this one"
            )
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
