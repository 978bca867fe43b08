"""The use of codes in TensorBoard."""

from typing import Any

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.quantizers_of_model import epoch_counts, forget_counts, quantizers_of
from keras_vqvae.callbacks.tensorboard_base import TensorBoardCallback

__all__ = ["TensorBoardCodeUsage"]


class TensorBoardCodeUsage(TensorBoardCallback):
    """Writes how often each code was chosen in an epoch's training, as a histogram `code_usage`.

    Over the codes' indices. With several tables there is one for each, `code_usage/depth_0` and so
    on; with several quantizers the layer's name comes before. Perplexity and usage as numbers are
    in the logs of `VQVAE.fit` (of other models by `CodebookMetrics`), from where
    `keras.callbacks.TensorBoard` or `TensorBoardScalars` takes them.

    For any model with quantizers whose codes are counted. The counts are set to zero when an epoch
    begins.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard.
        every: epochs from one histogram to the next; the first and the last epoch have one too.
            Defaults to `5`.

    Raises:
        ValueError: for `every` below 1; when training begins, for a model without quantizers.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import keras, numpy as np, tempfile
    >>> from keras_vqvae import layers
    >>> model = keras.Sequential([keras.Input((4, 4, 2)), layers.VectorQuantizer(4)])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.normal(size=(8, 4, 4, 2))
    >>> usage = TensorBoardCodeUsage(tempfile.mkdtemp())
    >>> history = model.fit(x, x, callbacks=[usage], verbose=0)
    """

    _histograms: dict[str, Any]

    def check(self) -> None:
        self._quantizers()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        forget_counts(self._quantizers())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # When training ends, counts may be gone: they are weights, and `EarlyStopping` puts back
        # those of the best epoch.
        quantizers = self._quantizers()
        self._histograms = {}
        for layer in quantizers:
            for use in layer.tables():
                parts = ["code_usage", layer.name if len(quantizers) > 1 else "", use.name]
                self._histograms["/".join(part for part in parts if part)] = epoch_counts(use)
        super().on_epoch_end(epoch, logs)

    def write(self, events: EventFile, epoch: int) -> None:
        for tag, counts in self._histograms.items():
            events.code_histogram(tag, counts, epoch)

    def _quantizers(self) -> list[Any]:
        return quantizers_of(self.model, type(self).__name__)
