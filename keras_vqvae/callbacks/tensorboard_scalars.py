"""The logs of `fit` in TensorBoard, without TensorFlow."""

import os
from typing import Any

from keras import ops

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.tensorboard_base import TensorBoardCallback

__all__ = ["TensorBoardScalars"]


class TensorBoardScalars(TensorBoardCallback):
    """Writes the numbers in the logs of each epoch: losses, their terms, perplexity, usage.

    Where and under which names `keras.callbacks.TensorBoard` writes them, which needs TensorFlow on
    every backend: `epoch_loss` in the runs `train` and `validation` below `log_dir`; the learning
    rate too. Use one of the two.

    Args:
        log_dir: a directory of its own for each training.

    Raises:
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import numpy as np, tempfile
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> scalars = TensorBoardScalars(tempfile.mkdtemp())
    >>> history = model.fit(images, callbacks=[scalars], verbose=0)
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        root = os.fspath(log_dir)
        super().__init__(os.path.join(root, "train"), every=1)
        self.validation_dir = os.path.join(root, "validation")
        self._validation: EventFile | None = None
        self._logs: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._logs = {**(logs or {}), **_learning_rates(self.model.optimizer)}
        super().on_epoch_end(epoch, logs)

    def write(self, events: EventFile, epoch: int) -> None:
        for name, value in self._logs.items():
            if not name.startswith("val_"):
                events.scalar(f"epoch_{name}", value, epoch)
                continue
            if self._validation is None:
                self._validation = EventFile.shared(self.validation_dir)
            self._validation.scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)

    def _close(self) -> None:
        super()._close()
        if self._validation is not None:
            self._validation.close()
            self._validation = None


def _learning_rates(optimizer: Any) -> dict[str, float]:
    """By the names that Keras gives them."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    several = getattr(optimizer, "optimizers", None)
    if several is None:
        named = {"learning_rate": optimizer}
    else:
        named = {f"learning_rate_{part.name}": part for part in several}
    return {
        name: float(ops.convert_to_numpy(part.learning_rate))
        for name, part in named.items()
        if part is not None
    }
