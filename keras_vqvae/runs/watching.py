"""Callbacks that watch a training for what makes it worthless."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_vqvae.runs.errors import NonFiniteLossError

# The use of a table is a collapse below this share of its codes, for so many epochs on end.
_LEAST_USAGE = 0.1
_EPOCHS = 3


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Ends training with an error at the first loss that is NaN or infinite.

    Args:
        what: the name of the model, for the message.
        kept: tells what is kept of the training.
    """

    def __init__(self, what: str, kept: Any) -> None:
        super().__init__()
        self._what = what
        self._kept = kept
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        logs = logs or {}
        loss = logs.get("loss")
        if loss is None or np.isfinite(float(loss)):
            return
        names = getattr(self.model, "term_metrics", {})
        failed = [n for n in names if n in logs and not np.isfinite(float(logs[n]))]
        terms = f" (in {', '.join(f'`{name}`' for name in failed)})" if failed else ""
        kept = self._kept()
        raise NonFiniteLossError(
            f"the loss of the {self._what} is {float(loss)}{terms} in epoch {self._epoch + 1}, "
            f"step {batch + 1}. {f'The checkpoint of {kept} is kept. ' if kept else ''}"
            "Train again with a lower learning rate, or with the gradient clipped (`clip_norm`)"
        )


class WarnOfCollapse(keras.callbacks.Callback):
    """Warns once when less than a tenth of the codes of a table are used for three epochs.

    Args:
        vectors: how many vectors an epoch has. Of a table that is larger, no more codes than these
            can be used, and the tenth is one of them. Defaults to `None`, enough for all.
    """

    def __init__(self, vectors: int | None = None) -> None:
        super().__init__()
        self._vectors = vectors
        self._bound = _LEAST_USAGE
        self._low: dict[str, int] = {}
        self._warned = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        quantizer = getattr(self.model, "quantizer", None)
        if self._vectors is not None and quantizer is not None:
            self._bound = _LEAST_USAGE * min(1.0, self._vectors / max(quantizer.table_sizes))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, usage in (logs or {}).items():
            if name.startswith("val_") or name.rpartition("/")[2] != "codebook_usage":
                continue
            self._low[name] = self._low.get(name, 0) + 1 if usage < self._bound else 0
            if self._low[name] >= _EPOCHS and not self._warned:
                self._warned = True
                warnings.warn(
                    f"the codebook collapses: {usage:.1%} of the codes are used (`{name}`), below "
                    f"{self._bound:.1%} for {_EPOCHS} epochs. Remedies: replace dead "
                    "codes (`revival`), start from data (`embeddings_initializer='kmeans'`), learn "
                    "by moving averages (`update='ema'`), a lower learning rate, or fewer codes "
                    "(`num_embeddings`)",
                    stacklevel=2,
                )
