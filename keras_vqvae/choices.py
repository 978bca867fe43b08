"""Options: one way to name a choice (by name, by config, or by instance), and the value range."""

import copy
import hashlib
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

__all__ = [
    "Choice",
    "as_divisor",
    "check_count",
    "check_number",
    "check_schedulable",
    "check_seed",
    "check_share",
    "check_value_range",
    "derived_seed",
    "get_choice",
    "not_built",
    "part_seed",
    "sampling_seed",
]

PACKAGE = "keras_vqvae"

T = TypeVar("T", bound="Choice")

Schedule = keras.optimizers.schedules.LearningRateSchedule


class Choice:
    """An option that is an object: it compares by its config and round-trips through it.

    Subclasses take their settings in the constructor, keep each as an attribute of the same name
    and return them from `get_config`.

    Attributes:
        schedulable: the settings that may be schedules (`check_schedulable`). The layer that owns
            the option keeps step with them, and asks `with_numbers`, which has what they are now.
    """

    schedulable: tuple[str, ...] = ()

    def with_numbers(self: T, numbers: Mapping[str, Any]) -> T:
        """This option with `numbers` in place of its schedules."""
        found = copy.copy(self)
        for name, value in numbers.items():
            setattr(found, name, value)
        return found

    def numbers_config(self) -> dict[str, Any]:
        """The schedulable settings, for `get_config`."""
        settings = {name: getattr(self, name) for name in self.schedulable}
        return {
            name: keras.saving.serialize_keras_object(value)
            if isinstance(value, Schedule)
            else value
            for name, value in settings.items()
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls: type[T], config: dict[str, Any]) -> T:
        """The object with this config."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), repr(self.get_config())))

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


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


def check_seed(seed: Any) -> int | None:
    """An integer or `None` that a user gave as the argument `seed`.

    Raises:
        ValueError: for anything else, or one that not all backends take, with what is added to it
            for parts. A generator would be shared by what should draw apart.
    """
    if seed is None:
        return None
    integer = isinstance(seed, Integral) and not isinstance(seed, bool)
    if integer and 0 <= int(seed) < 2**31:
        return int(seed)
    raise ValueError(f"`seed` should be an integer in [0, 2**31) or None. Received: seed={seed!r}")


def sampling_seed(seed: Any) -> int:
    """The seed of what is sampled: as given, or drawn from NumPy's global generator.

    Raises:
        ValueError: for one that is no integer in [0, 2**64), as `ops.draw_uniforms` takes it.
    """
    if seed is None:
        return int(np.random.randint(2**31))  # noqa: NPY002 - the global one, on purpose
    return check_count("seed", seed, least=0, highest=2**64 - 1)


def not_built(layer: str, use: str) -> str:
    """What is said of a use of the layer of that name that needs weights, before there are any."""
    return f"Layer '{layer}' is not built yet. Call it, or `build` it, before `{use}`."


def part_seed(seed: int | None, number: int) -> int | None:
    """The seed of part `number` of a whole: one after another, and from 0 on after 2**31 − 1.

    Example:
    >>> part_seed(7, 2), part_seed(2**31 - 1, 1), part_seed(None, 1)
    (9, 0, None)
    """
    return None if seed is None else (seed + number) % 2**31


def derived_seed(seed: int | None, purpose: str) -> int | None:
    """Another seed for another purpose, so that the numbers drawn for both have nothing in common.

    Example:
    >>> derived_seed(3, "dropout") == derived_seed(3, "dropout") != derived_seed(4, "dropout")
    True
    """
    if seed is None:
        return None
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def get_choice(identifier: Any, base: type[T], names: dict[str, type[T]], argument: str) -> T:
    """Resolves an option given by name, config or instance.

    Args:
        identifier: a name out of `names`, a config as `keras.saving.serialize_keras_object` makes
            it, or an instance of `base`.
        base: the class that the result must be an instance of.
        names: the classes that can be named; they are built with their defaults.
        argument: the name of the argument, for the message.

    Returns:
        An instance of `base`.

    Raises:
        ValueError: for an unknown name or an object of another kind.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, str) and identifier in names:
        return names[identifier]()
    raise ValueError(
        f"`{argument}` should be one of {sorted(names)} or an instance of `{base.__name__}`. "
        f"Received: {argument}={identifier!r}"
    )


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
