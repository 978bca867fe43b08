"""The quantizers in a model, and the counts of their codes."""

from typing import Any

import numpy as np
from keras import ops

__all__ = ["epoch_counts", "forget_counts", "quantizers_of"]


def quantizers_of(model: Any, reader: str) -> list[Any]:
    """The outermost quantizers in a model, of those whose codes are counted.

    A model that is not built may make its layers with the first batch: it may hold none yet.

    Args:
        model: any Keras model.
        reader: who asks, for the message.

    Raises:
        ValueError: if there is none in a model that is built.
    """
    # By what they can do, and not by class: callbacks meet layers only through the model.
    layers = model._flatten_layers(include_self=False)
    found = [x for x in layers if hasattr(x, "discretize") and hasattr(x, "tables")]
    inside = {id(y) for x in found for y in x._flatten_layers(include_self=False)}
    outermost = [x for x in found if id(x) not in inside]
    counted = [x for x in outermost if x.is_counted]
    if not counted and (model.built or outermost):
        uncounted = "".join(
            f" The codes of '{x.name}' are too many to be counted." for x in outermost
        )
        raise ValueError(
            f"Model '{model.name}' holds no quantizer for `{reader}` to read.{uncounted}"
        )
    return counted


def forget_counts(quantizers: list[Any]) -> None:
    """Sets the counts of all codes to zero, as an epoch begins."""
    for layer in quantizers:
        if layer.built:
            for use in layer.tables():
                counts = use.quantizer.code_counts
                counts.assign(ops.zeros(counts.shape))


def epoch_counts(use: Any) -> Any:
    """How often each code of a table was chosen in training since then: float32 `(K,)`."""
    return np.array(ops.convert_to_numpy(use.quantizer.code_counts))
