"""A stage that can be continued: its model, and how far it has come, in one file."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from keras_vqvae.callbacks.resuming import assign_all
from keras_vqvae.data import atomic_write
from keras_vqvae.data.files import DAMAGE, RefusedFileError, check_archive
from keras_vqvae.runs.directory import RunDirectory

_MEMBER = "keras_vqvae_progress.json"
_METRICS = "keras_vqvae_metrics.npz"
_SHAPES = "keras_vqvae_weights.json"


@dataclass
class Progress:
    """How far a stage has come.

    Args:
        history: the logs of each finished epoch.
        best_epoch: number of finished epochs at the lowest validation loss.
        best_loss: that loss.
        stopped: whether it ended before its last epoch.
        seconds: how long the epochs took, over all sessions.
        generators: states of the random generators in the model, which `.keras` files lack.
        steps: how many steps of the next epoch are done.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_loss: float | None = None
    stopped: bool = False
    seconds: float = 0.0
    generators: list[list[int]] = field(default_factory=list)
    steps: int = 0

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.history)

    @property
    def kept(self) -> str:
        """What is saved, in words; empty for nothing."""
        epochs = f"epoch {self.epochs}" if self.epochs else ""
        steps = f"step {self.steps} of epoch {self.epochs + 1}" if self.steps else ""
        return steps or epochs

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save_model` put into a model file.

        Raises:
            FileNotFoundError: if there is none.
            RefusedFileError: if it says more than this package knows of.
            ValueError: if it is damaged.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                said = json.loads(archive.read(_MEMBER))
            unknown = sorted(set(said) - {known.name for known in fields(cls)})
            if not unknown:
                return cls(**said)
        except DAMAGE as error:
            raise ValueError(f"the checkpoint {str(path)!r} is damaged: {error}") from error
        raise RefusedFileError(
            f"the checkpoint {str(path)!r} says more than this package knows of "
            f"({', '.join(map(repr, unknown))}). Use the package that wrote it"
        )


def save_model(
    model: Any,
    path: Path,
    progress: Progress | None = None,
) -> None:
    """Writes a `.keras` file, whole or not at all.

    The progress is a member of the same file: a model and a count of epochs in two files could
    disagree after a crash between the two.

    Args:
        model: what to save.
        path: the file; an existing one is replaced.
        progress: how far it has come, for a checkpoint.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_write(path) as temporary:
        _write_model(model, temporary, progress)


def _write_model(
    model: Any, path: Path, progress: Progress | None, metrics: Sequence[Any] | None = None
) -> None:
    """`save_model`, in place."""
    try:
        model.save(path, overwrite=True)
    except RuntimeError as error:  # HDF5 reports a full disk so when it closes a file
        raise OSError(f"cannot write {str(path)!r}: {error}") from error
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_SHAPES, json.dumps(_shapes(model)))
        if progress is not None:
            archive.writestr(_MEMBER, json.dumps(asdict(progress)))
        if metrics is not None:
            content = io.BytesIO()
            np.savez(content, *metrics)
            archive.writestr(_METRICS, content.getvalue())


def load_model(path: Path) -> Any:
    """Reads a `.keras` file of this package.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    try:
        check_archive(path)
        model = keras.models.load_model(path, safe_mode=True)
        with zipfile.ZipFile(path) as archive:
            # Keras makes a model with less in it of a configuration that was tampered with.
            if _SHAPES in archive.namelist() and json.loads(archive.read(_SHAPES)) != _shapes(
                model
            ):
                raise ValueError("its configuration and its weights do not fit")
        return model
    except (MemoryError, RefusedFileError):
        raise
    # Whatever Keras stumbles over in a file that was tampered with; nothing of it is run.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"the file {str(path)!r} cannot be loaded: {reason[0]}") from error


def _shapes(model: Any) -> list[list[int]]:
    return [list(weight.shape) for weight in model.weights]


def resume_model(path: Path, progress: Progress) -> tuple[Any, list[Any] | None]:
    """The model of a checkpoint, to be trained on, and the values of its metrics in mid-epoch."""
    model = load_model(path)
    assign_all(generators(model), [np.array(v) for v in progress.generators])
    if not progress.steps:
        return model, None
    with zipfile.ZipFile(path) as archive, archive.open(_METRICS) as file:
        arrays = np.load(io.BytesIO(file.read()), allow_pickle=False)
        return model, [arrays[f"arr_{i}"] for i in range(len(arrays.files))]


def generators(model: Any) -> list[Any]:
    """The states of dropout's and the codebook's random generators."""
    weights = {id(w) for w in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def newest_progress(files: RunDirectory, stage: str) -> Progress:
    """What the newest readable checkpoint says, without a look at the model in it."""
    for path in (files.last(stage), files.previous(stage)):
        try:
            return Progress.load(path)
        except RefusedFileError:
            raise
        except (FileNotFoundError, ValueError):  # training says what is damaged
            continue
    return Progress()


def copy_file(source: Path, target: Path) -> None:
    """Copies a file, whole or not at all."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


@contextmanager
def _replacing_last(files: RunDirectory, stage: str) -> Iterator[Path]:
    """Gives a path to write the last checkpoint to; the one that is there becomes the previous one.

    Where a crash comes between, there is no last one, and the previous one is found.
    """
    with atomic_write(files.last(stage)) as temporary:
        yield temporary
        if files.last(stage).exists():
            os.replace(files.last(stage), files.previous(stage))


def save_last(
    model: Any,
    files: RunDirectory,
    stage: str,
    progress: Progress,
    metrics: Sequence[Any] | None = None,
) -> None:
    """`save_model`, as the last checkpoint."""
    with _replacing_last(files, stage) as temporary:
        _write_model(model, temporary, progress, metrics)


def replace_last(files: RunDirectory, stage: str, written: Path) -> None:
    """Makes a copy of a file that is written whole the last checkpoint."""
    with _replacing_last(files, stage) as temporary:
        shutil.copyfile(written, temporary)
