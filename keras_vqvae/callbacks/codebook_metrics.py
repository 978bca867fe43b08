"""Perplexity and usage for quantizers in models that are not the package's own."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.metrics import CodeStatistics

__all__ = ["CodebookMetrics"]


class CodebookMetrics(keras.callbacks.Callback):
    """Adds the epoch's perplexity and codebook usage to the logs of `fit`.

    For `Sequential` and functional models (and subclassed ones) with quantizers in them; `VQVAE`
    logs both by itself. Quantizers count their codes in training, in weights; at the end of an
    epoch this callback reads the counts, writes `perplexity` and `codebook_usage` into the logs,
    and sets them back to zero. With several quantizers the keys are `<layer>/perplexity` and
    `<layer>/codebook_usage`.

    Place it before callbacks that read those keys.

    Args:
        validation_data: inputs of the model; with it, `val_perplexity` and `val_codebook_usage` are
            computed from the codes of these inputs at the end of an epoch. It needs a functional
            or `Sequential` model, in which a quantizer's input is known. Evaluation itself changes
            no weight, and so counts nothing.
        batch_size: how many of those inputs at one time. Defaults to `128`.

    Example:
    >>> import keras, numpy as np
    >>> from keras_vqvae import layers
    >>> model = keras.Sequential([keras.Input((4, 4, 2)), layers.VectorQuantizer(4)])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.normal(size=(8, 4, 4, 2))
    >>> history = model.fit(x, x, callbacks=[CodebookMetrics()], verbose=0)
    >>> 1.0 <= history.history["perplexity"][0] <= 4.0
    True
    """

    def __init__(self, validation_data: Any = None, batch_size: int = 128) -> None:
        super().__init__()
        self.validation_data = validation_data
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for layer in self._quantizers():
            if layer.built:
                layer.code_counts.assign(ops.zeros((layer.num_embeddings,)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        quantizers = self._quantizers()
        for layer in quantizers:
            metric = CodeStatistics(layer.num_embeddings, prefix=_prefix(layer, quantizers))
            metric.counts.assign(ops.convert_to_tensor(layer.code_counts))
            logs.update({key: float(value) for key, value in metric.result().items()})
        if self.validation_data is None:
            return
        for layer in quantizers:
            prefix = f"val_{_prefix(layer, quantizers)}"
            metric = CodeStatistics(layer.num_embeddings, prefix=prefix)
            # Functional and built at call time: a stored model would miss JAX's newest weights.
            to_vectors = keras.Model(self.model.inputs, layer.input)
            vectors = to_vectors.predict(
                self.validation_data, batch_size=self.batch_size, verbose=0
            )
            for first in range(0, len(vectors), self.batch_size):
                metric.update_state(layer.encode(vectors[first : first + self.batch_size]))
            logs.update({key: float(value) for key, value in metric.result().items()})

    def _quantizers(self) -> list[Any]:
        # By what they can do, and not by class: callbacks meet layers only through the model.
        layers = self.model._flatten_layers(include_self=False)
        found = [x for x in layers if hasattr(x, "discretize") and hasattr(x, "code_counts")]
        if not found:
            raise ValueError(
                f"Model '{self.model.name}' holds no quantizer for `CodebookMetrics` to read."
            )
        return found


def _prefix(layer: Any, quantizers: list[Any]) -> str:
    return f"{layer.name}/" if len(quantizers) > 1 else ""
