"""Where `fit` is, and going on from there: what callbacks that save a training share."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_vqvae.callbacks.fast_forward import pass_over

__all__ = ["Resuming", "assign_all", "values_of"]

Arrays = list[npt.NDArray[Any]]


class Resuming(keras.callbacks.Callback):
    """Base of callbacks that save a training, also within an epoch, and go on from there.

    A subclass gives `save_within_epoch`, calls `go_on_from` before the epochs begin, and calls
    `super()` in every method of a callback that it has itself.

    Args:
        every_steps: save within an epoch after so many steps, or `None`.
        every_seconds: save within an epoch after so many seconds, or `None`.
    """

    def __init__(self, every_steps: int | None = None, every_seconds: float | None = None) -> None:
        super().__init__()
        self._every_steps = every_steps
        self._every_seconds = every_seconds
        self._interrupted = False
        self._start: tuple[int, int, Callable[[], None]] | None = None
        self._batches: Any = None
        self._epoch = self._done_before = self._steps = self._saved_steps = 0
        self._saved_time = 0.0
        self._train_metrics: Arrays | None = None

    def save_within_epoch(self, epoch: int, steps: int, metrics: Arrays) -> None:
        """Saves a training of which an epoch has begun and not ended.

        Args:
            epoch: its number, from 0.
            steps: how many of its steps are done.
            metrics: values of `model.metrics_variables` after these.
        """
        raise NotImplementedError

    def go_on_from(self, epoch: int, steps: int, restore: Callable[[], None]) -> None:
        """Lets `fit` begin after so many steps of an epoch; `restore` sets all variables."""
        self._start = (epoch, steps, restore)

    def follow(self, batches: Any) -> None:
        """Makes this data set known; steps that are done are then not read again."""
        self._batches = batches

    def interrupt(self) -> None:
        """Ends training by a `KeyboardInterrupt` after the step that runs, with all saved."""
        self._interrupted = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._train_metrics = epoch, None
        self._done_before = self._steps = self._saved_steps = 0
        self._saved_time = time.perf_counter()
        start, self._start = self._start, None
        if start is None or start[0] != epoch or start[1] == 0:
            return
        _, self._done_before, restore = start
        self._steps = self._saved_steps = self._done_before
        pass_over(self.model, -(-self._done_before // self.model.steps_per_execution), restore)
        if hasattr(self._batches, "pass_over"):
            self._batches.pass_over(self._done_before)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch + 1 <= self._done_before:
            return
        self._steps = batch + 1
        if self._interrupted or (self._is_due() and _is_finite(logs)):
            self._save()
        self._stop_if_interrupted()

    def on_test_begin(self, logs: Any = None) -> None:
        # Validation is going to reset the metrics, which are those of the epoch until then.
        self._train_metrics = values_of(self.model.metrics_variables)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._interrupted and self._train_metrics is not None:
            self._save(self._train_metrics)
            self._stop_if_interrupted()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """To be called by a subclass when it has saved the epoch."""
        self._stop_if_interrupted()

    def save_if_cut_short(self, logs: Any) -> bool:
        """Saves an epoch that `stop_training` has ended before its last step, as one not ended.

        One that ends training with a loss that is not finite is not saved at all: nothing good
        would come of going on there.

        Args:
            logs: of the epoch.

        Returns:
            Whether it is such a one or the other, of which a subclass saves no more.
        """
        if not self.model.stop_training:
            return False
        if not _is_finite(logs):
            return True
        steps = self.params.get("steps")
        cut = steps is not None and self._steps < steps
        if cut:
            self._save(self._train_metrics)
        return cut

    def _is_due(self) -> bool:
        if self._steps == self.params.get("steps"):
            return False  # the epoch is over, and is saved when it is validated
        every, seconds = self._every_steps, self._every_seconds
        if every is not None and self._steps // every > self._saved_steps // every:
            return True
        return seconds is not None and time.perf_counter() - self._saved_time >= seconds

    def _save(self, metrics: Arrays | None = None) -> None:
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        values = values_of(self.model.metrics_variables) if metrics is None else metrics
        self.save_within_epoch(self._epoch, self._steps, values)
        self._saved_steps, self._saved_time = self._steps, time.perf_counter()

    def _stop_if_interrupted(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt


def _is_finite(logs: Any) -> bool:
    """Whether the loss is, as far as it is known."""
    return bool(np.isfinite((logs or {}).get("loss", 0.0)))


def values_of(variables: Any) -> Arrays:
    """The values of variables, as arrays of their own."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assign_all(variables: Any, values: Any) -> None:
    """Sets variables to values, one each."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
