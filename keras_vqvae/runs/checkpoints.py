"""A stage that can be continued: its model, and how far it has come, in one file."""

import json
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from keras_vqvae.data import atomic_write
from keras_vqvae.runs.directory import RunDirectory, write_history
from keras_vqvae.runs.errors import NonFiniteLossError

_MEMBER = "keras_vqvae_progress.json"


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
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_loss: float | None = None
    stopped: bool = False
    seconds: float = 0.0
    generators: list[list[int]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.history)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save_checkpoint` put into a model file."""
        try:
            with zipfile.ZipFile(path) as archive:
                return cls(**json.loads(archive.read(_MEMBER)))
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"the checkpoint {str(path)!r} is damaged: {error}. Remove it to begin this stage "
                "anew"
            ) from error


def save_model(model: Any, path: Path, progress: Progress | None = None) -> None:
    """Writes a `.keras` file, whole or not at all.

    The progress is a member of the same file: a model and a count of epochs in two files could
    disagree after a crash between the two.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_write(path) as temporary:
        try:
            model.save(temporary, overwrite=True)
        except RuntimeError as error:  # HDF5 reports a full disk so when it closes a file
            raise OSError(f"cannot write {str(path)!r}: {error}") from error
        if progress is not None:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_MEMBER, json.dumps(asdict(progress)))


def load_model(path: Path) -> Any:
    """Reads a `.keras` file of this package.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    try:
        return keras.models.load_model(path)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"the file {str(path)!r} cannot be loaded: {reason[0]}") from error


def resume_model(path: Path, progress: Progress) -> Any:
    """The model of a checkpoint, to be trained on."""
    model = load_model(path)
    for state, values in zip(_generators(model), progress.generators, strict=True):
        state.assign(np.array(values, state.dtype))
    return model


def _generators(model: Any) -> list[Any]:
    """The states of dropout's and the codebook's random generators."""
    weights = {id(w) for w in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def copy_file(source: Path, target: Path) -> None:
    """Copies a file, whole or not at all."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


class EpochCheckpoint(keras.callbacks.Callback):
    """After each epoch: the history, a checkpoint, the best model so far, and early stopping.

    Args:
        files: the run's.
        stage: `"vqvae"` or `"prior"`.
        progress: of the stage; it is written on.
        patience: epochs without a lower validation loss after which training ends, or `None`.
    """

    def __init__(
        self, files: RunDirectory, stage: str, progress: Progress, patience: int | None
    ) -> None:
        super().__init__()
        self._files = files
        self._stage = stage
        self._progress = progress
        self._patience = patience
        self._since = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._since = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        progress, files = self._progress, self._files
        row = {name: float(value) for name, value in (logs or {}).items()}
        progress.history.append(row)
        progress.generators = [np.asarray(v).tolist() for v in _generators(self.model)]
        progress.seconds += time.perf_counter() - self._since
        loss = row.get("val_loss")
        lowest = np.inf if progress.best_loss is None else progress.best_loss
        is_best = loss is not None and loss < lowest
        if is_best:
            progress.best_loss, progress.best_epoch = loss, progress.epochs
        if self._patience is not None and progress.best_epoch is not None:
            progress.stopped = progress.epochs - progress.best_epoch >= self._patience
        if is_best:
            # First: a `last` that claims a best epoch whose file is not there could not go on.
            save_model(self.model, files.best(self._stage), progress)
            copy_file(files.best(self._stage), files.last(self._stage))
        else:
            save_model(self.model, files.last(self._stage), progress)
        write_history(files.history(self._stage), progress.history)
        if progress.stopped:
            self.model.stop_training = True


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Ends training with an error at the first loss that is NaN or infinite.

    Args:
        what: the name of the model, for the message.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(float(loss)):
            kept = f"The checkpoint of epoch {self._epoch} is kept. " if self._epoch else ""
            raise NonFiniteLossError(
                f"the loss of the {self._what} is {float(loss)} in epoch {self._epoch + 1}, step "
                f"{batch + 1}. {kept}Train again with a lower learning rate, or with the gradient "
                "clipped (`clip_norm`)"
            )
