"""Seeds: as they are given, of the parts of a whole, and of other purposes."""

import hashlib
from numbers import Integral
from typing import Any

import numpy as np

from keras_vqvae.checks import check_count

__all__ = ["check_seed", "derived_seed", "part_seed", "sampling_seed"]


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
