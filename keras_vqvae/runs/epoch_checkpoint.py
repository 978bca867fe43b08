"""What is kept of a training stage while it runs."""

import time
from typing import Any

import numpy as np

from keras_vqvae.callbacks.resuming import Arrays, Resuming
from keras_vqvae.runs.checkpoints import (
    Progress,
    generators,
    replace_last,
    save_last,
    save_model,
)
from keras_vqvae.runs.directory import RunDirectory, write_history


class EpochCheckpoint(Resuming):
    """After each epoch: the history, a checkpoint, the best model so far, and early stopping.

    In a long epoch, and when training is interrupted, a checkpoint within it.

    Args:
        files: the run's.
        stage: `"vqvae"` or `"prior"`.
        progress: of the stage; it is written on.
        patience: epochs without a lower validation loss after which training ends, or `None`.
        seconds: save within an epoch after so many seconds, or `None`.
    """

    def __init__(
        self,
        files: RunDirectory,
        stage: str,
        progress: Progress,
        patience: int | None,
        seconds: float | None = None,
    ) -> None:
        super().__init__(every_seconds=seconds)
        self._files = files
        self._stage = stage
        self._progress = progress
        self._patience = patience
        self._since = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._since = time.perf_counter()

    def save_within_epoch(self, epoch: int, steps: int, metrics: Arrays) -> None:
        self._note_state()
        self._progress.steps = steps
        save_last(self.model, self._files, self._stage, self._progress, metrics)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_if_cut_short(logs):
            return
        progress, files = self._progress, self._files
        row = {name: float(value) for name, value in (logs or {}).items()}
        progress.history.append(row)
        progress.steps = 0
        self._note_state()
        loss = row.get("val_loss")
        lowest = np.inf if progress.best_loss is None else progress.best_loss
        is_best = loss is not None and loss < lowest
        if is_best:
            progress.best_loss, progress.best_epoch = loss, progress.epochs
        if self._patience is not None and progress.best_epoch is not None:
            progress.stopped = progress.epochs - progress.best_epoch >= self._patience
        if self.model.stop_training:  # by another callback
            progress.stopped = True
        if is_best:
            # First: a `last` that claims a best epoch whose file is not there could not go on.
            save_model(self.model, files.best(self._stage), progress)
            replace_last(files, self._stage, files.best(self._stage))
        else:
            save_last(self.model, files, self._stage, progress)
        write_history(files.history(self._stage), progress.history)
        if progress.stopped:
            self.model.stop_training = True
        super().on_epoch_end(epoch, logs)

    def _note_state(self) -> None:
        now = time.perf_counter()
        self._progress.generators = [np.asarray(v).tolist() for v in generators(self.model)]
        self._progress.seconds += now - self._since
        self._since = now
