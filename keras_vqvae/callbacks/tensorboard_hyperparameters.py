"""Trials of a search on TensorBoard's HParams page."""

import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.tensorboard_base import TensorBoardCallback

__all__ = ["TensorBoardHyperparameters", "write_hyperparameters"]


class TensorBoardHyperparameters(TensorBoardCallback):
    """Writes hyperparameters, and the last epoch's logs as figures, for the HParams page.

    One row there for each directory. Give each trial one below a common directory, and that one to
    TensorBoard: of a trial in its root TensorBoard shows no figures.

    Args:
        log_dir: a directory of its own for each trial.
        values: hyperparameters by name: numbers, strings, booleans, `None`, and lists of these.

    Raises:
        TypeError: for a value of another kind.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import numpy as np, tempfile
    >>> from keras_vqvae import models
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> folder = tempfile.mkdtemp()
    >>> for size in (4, 8):
    ...     model = models.convolutional_vqvae((8, 8, 1), num_embeddings=size, widths=(4,))
    ...     model.compile("adam")
    ...     row = TensorBoardHyperparameters(f"{folder}/{size}", {"num_embeddings": size})
    ...     history = model.fit(images, callbacks=[row], verbose=0)
    """

    def __init__(self, log_dir: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
        super().__init__(log_dir, every=1)
        self.values = {str(name): _plain(name, value) for name, value in values.items()}
        self._figures: dict[str, Any] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        if self._events is not None:
            self._events.hyperparameters(self.values)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Written once, when training ends.
        self._last_epoch, self._figures = epoch, dict(logs or {})

    def write(self, events: EventFile, epoch: int) -> None:
        for name, value in self._figures.items():
            events.scalar(name, value, epoch)
        events.end_trial()


def write_hyperparameters(
    log_dir: str | os.PathLike[str],
    values: Mapping[str, Any],
    figures: Mapping[str, float],
    failed: bool = False,
) -> None:
    """Writes a trial that is over for the HParams page; see `TensorBoardHyperparameters`.

    Args:
        log_dir: a directory of its own for each trial.
        values: hyperparameters by name: numbers, strings, booleans, `None`, and lists of these.
        figures: what came of it, by name.
        failed: whether the page should say so. Defaults to `False`.

    Raises:
        TypeError: for a value of another kind.
        OSError: if the directory cannot be written.

    Example:
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_hyperparameters(f"{folder}/0", {"beta": 0.25}, {"val_loss": 1.5})
    """
    plain = {str(name): _plain(name, value) for name, value in values.items()}
    events = EventFile.shared(log_dir)
    try:
        events.hyperparameters(plain)
        for name, value in figures.items():
            events.scalar(name, value, 0)
        events.end_trial(failed)
    finally:
        events.close()


def _plain(name: Any, value: Any) -> bool | int | float | str:
    """A value as HParams takes it."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        return str([None if item is None else _plain(name, item) for item in value])
    raise TypeError(
        "`values` should be numbers, strings, booleans, `None`, or lists of these. "
        f"Received: {name}={value!r} of type {type(value).__name__}"
    )
