"""Everything that training changes, in one file."""

import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.callbacks.resuming import Arrays
from keras_vqvae.data import atomic_write
from keras_vqvae.data.files import DAMAGE, RefusedFileError, check_archive, last_or_previous

__all__ = ["TrainingState"]

_FORMAT = "keras_vqvae.training_state"
_VERSION = 1
_ABOUT = "about.json"


@dataclass
class TrainingState:
    """How far a training has come, and the values of all variables then.

    Args:
        epochs: how many epochs are finished.
        steps: how many steps of the next one are done.
        history: the logs of each finished epoch.
        variables: values of the model's, random generators included.
        optimizer: values of the optimizer's.
        metrics: values of the metrics', in mid-epoch.
    """

    epochs: int
    steps: int
    history: list[dict[str, float]]
    variables: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    metrics: Arrays = field(default_factory=list)

    def save(self, path: Path, previous: Path) -> None:
        """Writes a file whole or not at all; the one that is there becomes the previous one.

        Raises:
            OSError: if it cannot be written; what is there stays.
        """
        groups = {name: getattr(self, name) for name in ("variables", "optimizer", "metrics")}
        about = {
            "format": _FORMAT,
            "version": _VERSION,
            "epochs": self.epochs,
            "steps": self.steps,
            "history": self.history,
            "dtypes": {name: [str(a.dtype) for a in arrays] for name, arrays in groups.items()},
        }
        with atomic_write(path) as temporary:
            with zipfile.ZipFile(temporary, "w") as archive:
                archive.writestr(_ABOUT, json.dumps(about))
                for name, arrays in groups.items():
                    for number, array in enumerate(arrays):
                        content = io.BytesIO()
                        np.save(content, _plain(array), allow_pickle=False)
                        archive.writestr(f"{name}/{number}.npy", content.getbuffer())
            if path.exists():
                os.replace(path, previous)

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Reads what `save` wrote; every byte is checked.

        Raises:
            FileNotFoundError: if there is no such file.
            RefusedFileError: if it is of a version that this package does not read, or too large.
            ValueError: if it is damaged.
        """
        try:
            check_archive(path)
            with zipfile.ZipFile(path) as archive:
                about = json.loads(archive.read(_ABOUT))
                if about["format"] != _FORMAT:
                    raise ValueError("it holds something else")
                if about["version"] == _VERSION:
                    groups = {
                        name: [_read(archive, f"{name}/{i}.npy", d) for i, d in enumerate(dtypes)]
                        for name, dtypes in about["dtypes"].items()
                    }
                    return cls(about["epochs"], about["steps"], about["history"], **groups)
        except RefusedFileError:
            raise
        except DAMAGE as error:
            raise ValueError(f"the checkpoint {str(path)!r} is damaged: {error}") from error
        raise RefusedFileError(
            f"the checkpoint {str(path)!r} has version {about['version']!r}, and this package "
            f"reads {_VERSION}. Use the package that wrote it"
        )

    @classmethod
    def newest(cls, path: Path, previous: Path) -> "TrainingState | None":
        """The last state that is whole; `None` before the first.

        Warns of a damaged one; the one before it takes its place.

        Raises:
            RefusedFileError: if one is of a version that this package does not read; it stays.
            ValueError: if there are some, and none can be read.
        """
        found = last_or_previous(
            path,
            previous,
            cls.load,
            lambda state: (
                f"epoch {state.epochs}" + (f", step {state.steps}" if state.steps else "")
            ),
            f"Remove {str(path.parent)!r} to begin anew",
        )
        return None if found is None else found[1]


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Dtypes that NumPy does not know (bfloat16, float8) as integers of the same size."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _read(archive: zipfile.ZipFile, name: str, dtype: str) -> npt.NDArray[Any]:
    array = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    if str(array.dtype) == dtype:
        return array
    import ml_dtypes

    found: npt.NDArray[Any] = array.view(getattr(ml_dtypes, dtype))
    return found
