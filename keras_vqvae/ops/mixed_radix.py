"""Several small digits in one integer, and back."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

__all__ = ["check_index_bits", "pack_digits", "unpack_digits"]

# int32 indices; the sign is taken by −1, and one bit is left for sums.
_MAX_BITS = 30


def check_index_bits(radices: Sequence[int], remedy: str) -> None:
    """Refuses digits whose packed index does not fit.

    Raises:
        ValueError: if the product of `radices` is above 2**30. The message ends with `remedy`.
    """
    if math.prod(radices) > 2**_MAX_BITS:
        bits = sum(math.log2(radix) for radix in radices)
        raise ValueError(
            f"An index is an int32 and holds at most 2**{_MAX_BITS} codes, and these would be "
            f"2**{bits:.4g}. {remedy}"
        )


def _place_values(radices: Sequence[int]) -> list[int]:
    return [math.prod(radices[:i]) for i in range(len(radices))]


def pack_digits(digits: Any, radices: Sequence[int], axis: int = -1) -> Any:
    """Digits to one index: `Σ_i digit_i · Π_{j<i} radix_j`, the first digit counts fastest.

    The arithmetic is that of integers. Floats would be exact up to 2**24 only.

    Args:
        digits: int32 tensor `(..., D)`, or with the D digits along `axis`; digit i is in
            `[0, radices[i])`.
        radices: D integers with a product of at most 2**30.
        axis: where the D digits of a number lie. Defaults to the last axis.

    Returns:
        int32 tensor `(...)`.

    References:
        - [Finite Scalar Quantization](https://arxiv.org/abs/2309.15505), appendix A

    Example:
    >>> import numpy as np
    >>> int(pack_digits(np.array([2, 1]), (3, 5)))  # 2 + 1 · 3
    5
    """
    # By columns: a product with one short row and a sum over it take TensorFlow twice as long.
    columns = ops.unstack(ops.cast(digits, "int32"), num=len(radices), axis=axis)
    index = columns[0]  # its place value is 1
    for column, place in zip(columns[1:], _place_values(radices)[1:], strict=True):
        index = index + column * place
    return index


def unpack_digits(indices: Any, radices: Sequence[int]) -> Any:
    """The inverse of `pack_digits`: int32 `(...)` to int32 `(..., D)`."""
    indices = ops.expand_dims(ops.cast(indices, "int32"), -1)
    places = ops.convert_to_tensor(_place_values(radices), dtype="int32")
    return (indices // places) % ops.convert_to_tensor(list(radices), dtype="int32")
