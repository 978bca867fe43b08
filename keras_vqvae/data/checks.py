"""Checks of arguments that several files share."""

from typing import Any

import numpy as np


def checked_integer(argument: str, value: Any, low: int) -> int:
    """`value`, if it is an integer of at least `low`, NumPy's included."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(
            f"`{argument}` should be an integer of at least {low}. Received: `{argument}={value!r}`"
        )
    return int(value)


def checked_size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """`image_size` as `(height, width)`."""
    if image_size is None:
        return None
    pair = (image_size, image_size) if isinstance(image_size, (int, np.integer)) else image_size
    valid = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not valid or not all(isinstance(n, (int, np.integer)) and n > 0 for n in pair):
        raise ValueError(
            "`image_size` should be None, a positive integer, or (height, width). "
            f"Received: `image_size={image_size!r}`"
        )
    return (int(pair[0]), int(pair[1]))


def checked_choice(argument: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """`value`, if it is one of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"`{argument}` should be one of {listed}. Received: `{argument}={value!r}`"
        )
    return value
