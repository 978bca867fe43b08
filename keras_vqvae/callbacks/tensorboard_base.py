"""What the TensorBoard callbacks share: when they write, and where."""

import os
from typing import Any

import keras
import numpy as np

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.checks import check_count

__all__ = ["ImagesCallback", "TensorBoardCallback"]


class TensorBoardCallback(keras.callbacks.Callback):
    """Base of callbacks that write to a log directory after every few epochs.

    A subclass gives `write(events, epoch)`, and `check()` for what can be refused before training.
    It is asked after the first epoch, then after every `every`th, and after the last one. Steps in
    TensorBoard are epochs, counted from 0 as in `keras.callbacks.TensorBoard`. All that write to
    one directory share its event file. No TensorFlow is needed.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard; made if needed.
        every: epochs from one writing to the next. Defaults to `5`.

    Raises:
        ValueError: if `every` is no integer ≥ 1.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import keras, numpy as np, tempfile
    >>> class Bias(TensorBoardCallback):
    ...     def write(self, events, epoch):
    ...         events.scalar("bias", self.model.layers[0].bias[0], epoch)
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = np.ones((4, 2))
    >>> history = model.fit(x, x[:, :1], callbacks=[Bias(tempfile.mkdtemp())], verbose=0)
    """

    log_dir: str
    every: int
    #: Models that it is for, for messages.
    such_as = "`models.VQVAE`"

    def __init__(self, log_dir: str | os.PathLike[str], every: int = 5) -> None:
        super().__init__()
        self.log_dir = os.fspath(log_dir)
        self.every = check_count("every", every, hint=", in epochs")
        self._last_epoch: int | None = None
        self._written: int | None = None
        self._events: EventFile | None = None

    def check(self) -> None:
        """Raises, when training begins, for a model that this is not for."""

    def write(self, events: EventFile, epoch: int) -> None:
        """Writes what there is to see after an epoch."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._close()  # after a training that was interrupted
        self.check()
        self._events = EventFile.shared(self.log_dir)
        self._last_epoch = self._written = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        is_first, self._last_epoch = self._last_epoch is None, epoch
        if is_first or epoch % self.every == 0:
            self._write_once()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._write_once()
        self._close()

    def _write_once(self) -> None:
        epoch = self._last_epoch
        if self._events is not None and epoch is not None and epoch != self._written:
            self.write(self._events, epoch)
            self._written = epoch

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def require(self, *names: str) -> None:
        """Raises if the model has not all of these attributes."""
        missing = [name for name in names if not hasattr(self.model, name)]
        if missing:
            raise ValueError(
                f"`{type(self).__name__}` is for models with {', '.join(f'`{n}`' for n in names)}, "
                f"such as {self.such_as}. Received: {type(self.model).__name__} "
                f"'{self.model.name}' without {', '.join(f'`{n}`' for n in missing)}"
            )

    def require_pictures(self, model: Any) -> None:
        """Raises if the images of a built model cannot be shown."""
        if model.built and model.image_shape[-1] not in (1, 3):
            raise ValueError(
                f"`{type(self).__name__}` shows images of 1 or 3 channels. "
                f"Received: model '{model.name}' for images {model.image_shape}"
            )


class ImagesCallback(TensorBoardCallback):
    """Base of those that look at the same few images each time.

    Args:
        log_dir: as for `TensorBoardCallback`.
        images: array `(N, H, W, C)` with 1 or 3 channels, at least one, in the model's
            `value_range`.
        every: as for `TensorBoardCallback`.

    Raises:
        ValueError: for images of another shape; when training begins, for such as the model does
            not take.
    """

    # What the model has to have.
    needs: tuple[str, ...] = ()

    def __init__(self, log_dir: str | os.PathLike[str], images: Any, every: int = 5) -> None:
        super().__init__(log_dir, every)
        self.images = np.asarray(images)
        if self.images.ndim != 4 or not len(self.images) or self.images.shape[-1] not in (1, 3):
            raise ValueError(
                "`images` should have the shape (n, height, width, channels) with 1 or 3 channels, "
                f"and hold at least one. Received: shape {self.images.shape}"
            )

    def check(self) -> None:
        self.require("check_images", *self.needs)
        self.model.check_images(self.images, "images")
