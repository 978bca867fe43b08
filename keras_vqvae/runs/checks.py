"""Checks of settings, each with the message a user sees."""

import dataclasses
import math
import typing
from typing import Any, TypeVar

T = TypeVar("T")

# How many seeds there are that every backend takes, as `seeds.check_seed` says of layers.
SEEDS = 2**31


def at_least(name: str, value: Any, low: int, optional: bool = False) -> None:
    """Raises a ValueError unless `value` is an integer of at least `low`."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(
            f"`{name}` should be an integer of at least {low}. Received: {name}={value!r}"
        )


def seed(name: str, value: Any) -> None:
    """Raises a ValueError unless `value` is a seed, with room for what is added to it for parts."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < SEEDS:
        raise ValueError(f"`{name}` should be an integer in [0, 2**31). Received: {name}={value!r}")


def positive(name: str, value: Any, optional: bool = False) -> None:
    """Raises a ValueError unless `value` is a positive, finite number."""
    if optional and value is None:
        return
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"`{name}` should be a positive number. Received: {name}={value!r}")


def within(name: str, value: Any, low: float, high: float) -> None:
    """Raises a ValueError unless `low <= value <= high`."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(
            f"`{name}` should be a number in [{low:g}, {high:g}]. Received: {name}={value!r}"
        )


def pair(name: str, value: Any, kind: type) -> Any:
    """`value` as a tuple of two numbers of this kind, or `None`."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_number, value)):
        raise ValueError(f"`{name}` should be two numbers. Received: {name}={value!r}")
    if kind is int and not all(isinstance(v, int) and v > 0 for v in value):
        raise ValueError(f"`{name}` should be two positive integers. Received: {name}={value!r}")
    return tuple(kind(v) for v in value)


def build(cls: type[T], values: Any, where: str = "") -> T:
    """A dataclass of plain data, with an error that names what it does not know."""
    if not isinstance(values, dict):
        group = where.rstrip(".") or "config"
        raise ValueError(f"`{group}` should be a group of settings. Received: {group}={values!r}")
    types = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise ValueError(
            f"unknown settings: {', '.join(where + name for name in unknown)}. "
            f"Known: {', '.join(where + name for name in names)}"
        )
    arguments = {
        name: build(types[name], value, f"{where}{name}.")
        if dataclasses.is_dataclass(types[name])
        else value
        for name, value in values.items()
    }
    return cls(**arguments)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
