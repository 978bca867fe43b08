"""Perplexity and usage for quantizers in models that are not the package's own."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.callbacks.quantizers_of_model import epoch_counts, forget_counts, quantizers_of
from keras_vqvae.checks import check_count
from keras_vqvae.metrics import CodeStatistics

__all__ = ["CodebookMetrics"]


class CodebookMetrics(keras.callbacks.Callback):
    """Adds the epoch's perplexity and codebook usage to the logs of `fit`.

    For `Sequential` and functional models (and subclassed ones) with quantizers in them; `VQVAE`
    logs both by itself. Quantizers count their codes in training, in weights; at the end of an
    epoch this callback reads the counts, writes `perplexity` and `codebook_usage` into the logs,
    and sets them back to zero. With several quantizers the keys are `<layer>/perplexity` and
    `<layer>/codebook_usage`; of a quantizer with several tables, `depth_0/perplexity` and so on.
    Tables of more than 2²⁰ codes are not counted. `refused_batches` is the number of the epoch's
    batches that were not finite, from which tables learned nothing.

    Place it before callbacks that read those keys.

    Args:
        validation_data: inputs of the model, or inputs and targets as `fit` takes them;
            with it, `val_perplexity` and `val_codebook_usage` are computed from the codes of these
            inputs at the end of an epoch. It needs a functional or `Sequential` model of which the
            quantizers are layers themselves, as a quantizer's input is known there. Evaluation
            itself changes no weight, and so counts nothing.
        batch_size: how many of those inputs at one time. Defaults to `128`.

    Raises:
        ValueError: for a `batch_size` below 1; in `fit`, for a model without quantizers, or one
            whose quantizers' inputs are not known, with `validation_data`.

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
        self.batch_size = check_count("batch_size", batch_size)
        self._refused_before: dict[str, float] = {}
        self._warned: set[str] = set()
        self._models_of_inputs: dict[str, list[keras.Model]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._models_of_inputs = {}
        knows_its_inputs = self.model.built or not isinstance(self.model, keras.Sequential)
        if self.validation_data is not None and knows_its_inputs:
            self._make_models_of_inputs()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._models_of_inputs = {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        quantizers = self._quantizers()
        for layer in quantizers:
            self._refused_before[layer.name] = _refused_batches(layer)
        forget_counts(quantizers)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        quantizers = self._quantizers()
        for layer in quantizers:
            for metric, use in zip(_metrics(layer, quantizers), layer.tables(), strict=True):
                metric.counts.assign(epoch_counts(use))
                self._warn_if_uncounted(layer, metric)
                logs.update({key: float(value) for key, value in metric.result().items()})
            if _refusal_counts(layer):
                prefix = f"{layer.name}/" if len(quantizers) > 1 else ""
                refused = _refused_batches(layer) - self._refused_before.get(layer.name, 0.0)
                logs[f"{prefix}refused_batches"] = refused
        if self.validation_data is None:
            return
        if not self._models_of_inputs:
            self._make_models_of_inputs()
        for layer in quantizers:
            metrics = _metrics(layer, quantizers, "val_")
            for inputs in self._models_of_inputs[layer.name]:
                self._count_validation(layer, inputs, metrics)
            for metric in metrics:
                logs.update({key: float(value) for key, value in metric.result().items()})

    def _make_models_of_inputs(self) -> None:
        """Those that give what quantizers get. Kept for all epochs: each compiles its `predict`."""
        self._models_of_inputs = {
            layer.name: [
                keras.Model(self.model.inputs, tuple(given)) for given in self._inputs_of(layer)
            ]
            for layer in self._quantizers()
        }

    def _count_validation(
        self, layer: Any, model_of_inputs: keras.Model, metrics: Sequence[CodeStatistics]
    ) -> None:
        """Counts the codes of the validation data, by a call of the layer with these inputs.

        `predict` reads the weights anew each time, which Keras has put back by then on JAX, too.
        """
        data, count = self.validation_data, len(self.model.inputs)
        if isinstance(data, tuple | list) and (len(data) != count or not hasattr(data[0], "shape")):
            data = data[0]  # of `(x, y)`
        inputs = model_of_inputs.predict(data, batch_size=self.batch_size, verbose=0)
        inputs = [inputs] if len(model_of_inputs.outputs) == 1 else inputs
        for first in range(0, len(inputs[0]), self.batch_size):
            # Behind a mask, the layer has two inputs: vectors, and which of them are valid.
            vectors, *mask = (rows[first : first + self.batch_size] for rows in inputs)
            output = layer.discretize(vectors, mask=mask[0] if mask else None)
            indices = ops.convert_to_numpy(output.indices)
            if not layer.has_index_axis:
                indices = indices[..., None]
            for metric, use in zip(metrics, layer.tables(), strict=True):
                metric.update_state(indices[..., list(use.positions)])

    def _inputs_of(self, layer: Any) -> list[list[Any]]:
        """The symbolic inputs of each call of the layer in the model."""
        functional = getattr(self.model, "_functional", None) or self.model
        by_depth = getattr(functional, "_nodes_by_depth", {})
        nodes = [n for at_depth in by_depth.values() for n in at_depth if n.operation is layer]
        if not nodes:
            raise ValueError(
                "`validation_data` needs a functional or `Sequential` model of which the quantizer "
                f"is a layer itself. Received: model '{self.model.name}', which has "
                f"'{layer.name}' inside of another layer or calls it in its own `call`. Leave "
                "`validation_data` out"
            )
        return [list(node.input_tensors) for node in nodes]

    def _warn_if_uncounted(self, layer: Any, metric: CodeStatistics) -> None:
        seen = float(ops.sum(metric.counts)) > 0
        if seen or layer.name in self._warned or (_refused_batches(layer) > 0):
            return
        self._warned.add(layer.name)
        warnings.warn(
            f"no code of '{layer.name}' was counted in this epoch, so its perplexity and usage say "
            "nothing: the layer is frozen, or the model's `call` does not hand it `training`",
            stacklevel=2,
        )

    def _quantizers(self) -> list[Any]:
        return quantizers_of(self.model, "CodebookMetrics")


def _refusal_counts(layer: Any) -> list[Any]:
    return [w for w in layer.weights if w.name == "refused_batches"]


def _refused_batches(layer: Any) -> float:
    """Batches refused so far. Several tables refuse the same ones."""
    return max((float(ops.convert_to_numpy(w)) for w in _refusal_counts(layer)), default=0.0)


def _metrics(layer: Any, quantizers: list[Any], prefix: str = "") -> list[CodeStatistics]:
    """A metric for each table; its names begin with the layer's if there are several layers."""
    if len(quantizers) > 1:
        prefix = f"{prefix}{layer.name}/"
    return [
        CodeStatistics(
            use.quantizer.num_embeddings, prefix=f"{prefix}{use.name}/" if use.name else prefix
        )
        for use in layer.tables()
    ]
