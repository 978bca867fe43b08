"""A look at whether a decoder can give what the likelihood takes."""

import warnings
from typing import Any

import keras

__all__ = ["warn_of_activation"]

# Kinds whose `activation` is the last thing that they do; a subclass may use it otherwise.
_LAYERS = (
    keras.layers.Activation,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.SeparableConv2D,
)
# A tanh is not among them: a Gaussian of it reaches all grey levels.
_NEVER_NEGATIVE = tuple(
    keras.activations.get(name) for name in ("sigmoid", "hard_sigmoid", "relu", "softmax")
)


def warn_of_activation(decoder: Any, likelihood: Any, model_name: str) -> None:
    """Warns where a decoder ends in an activation that keeps its outputs from being negative."""
    if not likelihood.takes_any_numbers:
        return
    layer = _last_layer(decoder)
    if type(layer) not in _LAYERS or layer.activation not in _NEVER_NEGATIVE:
        return
    warnings.warn(
        f"Layer '{layer.name}', the last of the decoder of model '{model_name}', ends in "
        f"`activation={layer.activation.__name__!r}`, so that the decoder gives no negative "
        f"numbers. {likelihood!r} takes any, centred on 0: the model will train badly. Leave "
        "the `activation` of that layer out.",
        stacklevel=2,
    )


def _last_layer(part: Any) -> Any:
    """What gives the output of a layer, sequential or functional model, as far as that is known."""
    while True:
        if isinstance(part, keras.Sequential) and part.layers:
            part = part.layers[-1]
        elif isinstance(part, keras.Model) and getattr(part, "operations", None):
            part = part.operations[-1]  # the last one in the order of computation
        else:
            return part
