"""Numbers that a user gives, checked; and what is said of one that does not fit."""

import math
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.choices import Schedule

__all__ = [
    "as_divisor",
    "check_count",
    "check_number",
    "check_schedulable",
    "check_share",
    "check_value_range",
    "not_built",
    "refuse_quantized",
]


def check_number(name: str, value: Any, above_zero: bool = False, hint: str = "") -> float:
    """A finite number ≥ 0, or > 0, that a user gave as the argument `name`.

    Raises:
        ValueError: for anything else; `hint` follows what it should be.
    """
    good = isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf
    if not good or (above_zero and value == 0):
        bound = "> 0" if above_zero else "≥ 0"
        raise ValueError(f"`{name}` should be {bound}{hint}. Received: {name}={value!r}")
    return float(value)


def check_schedulable(name: str, value: Any, above_zero: bool = False) -> Any:
    """As `check_number`; or a schedule out of `keras.optimizers.schedules`, or its config."""
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if isinstance(value, Schedule):
        return value
    hint = ", or a schedule out of `keras.optimizers.schedules`"
    return check_number(name, value, above_zero, hint)


def as_divisor(number: Any) -> Any:
    """A number to divide by: at least 10⁻⁶, as schedules and callbacks may take one to 0.

    Args:
        number: a float, as it was given, or a float32 scalar out of a weight.
    """
    return max(number, 1e-6) if isinstance(number, float) else ops.maximum(number, 1e-6)


def check_share(name: str, value: Any, within: str = "[0, 1)", hint: str = "") -> float:
    """A number between 0 and 1 that a user gave as the argument `name`.

    Args:
        name: the argument.
        value: what was given.
        within: `"[0, 1)"`, `"(0, 1)"` and so on: a square bracket lets its end in.
        hint: follows what it should be, in the message.

    Raises:
        ValueError: for anything else.
    """
    good = isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1
    end = {0.0: within[0] == "[", 1.0: within[-1] == "]"}
    if not good or not end.get(float(value), True):
        raise ValueError(f"`{name}` should be in {within}{hint}. Received: {name}={value!r}")
    return float(value)


def check_count(
    name: str, value: Any, least: int = 1, highest: int | None = None, hint: str = ""
) -> int:
    """An integer that a user gave as the argument `name`, Python's or NumPy's.

    Raises:
        ValueError: for anything else, or less than `least`, or more than `highest`; `hint` follows
            what it should be.
    """
    good = isinstance(value, Integral) and not isinstance(value, bool)
    if not good or int(value) < least or (highest is not None and int(value) > highest):
        kind = "a positive integer" if least == 1 else f"an integer ≥ {least}"
        limit = "" if highest is None else f" of at most {highest}"
        raise ValueError(f"`{name}` should be {kind}{limit}{hint}. Received: {name}={value!r}")
    return int(value)


def check_value_range(value_range: Any) -> tuple[float, float]:
    """`value_range` as two floats.

    Raises:
        ValueError: if it is no pair of finite numbers, the lower one first.
    """
    try:
        low, high = (float(v) for v in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(
            "`value_range` should be two numbers, black and white, such as (0, 255) or (0, 1). "
            f"Received: value_range={value_range!r}"
        )
    return low, high


def not_built(layer: str, use: str) -> str:
    """What is said of a use of the layer of that name that needs weights, before there are any."""
    return f"Layer '{layer}' is not built yet. Call it, or `build` it, before `{use}`."


def refuse_quantized(layer: keras.layers.Layer) -> None:
    """Refuses the config of what makes its own layers, once Keras's `quantize` has changed them.

    They would be made anew from settings that do not say so, and not fit what is saved.

    Raises:
        ValueError: if one of them is quantized.
    """
    policies = [one.dtype_policy for one in layer._flatten_layers()]
    if any(isinstance(one, keras.dtype_policies.QuantizedDTypePolicy) for one in policies):
        raise ValueError(
            f"'{layer.name}' was quantized by `quantize`, and what is saved or cloned now would "
            "not load. Save it before, and quantize what `keras.models.load_model` gives."
        )
