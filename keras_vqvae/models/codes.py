"""Checks of codes on the host."""

from typing import Any

import numpy as np

__all__ = ["check_codes"]


def check_codes(
    codes: Any,
    code_shape: tuple[int | None, ...],
    num_embeddings: int | tuple[int, ...],
    argument: str = "codes",
    lowest: int = 0,
) -> np.ndarray:
    """The codes as NumPy int32.

    Args:
        codes: integer array `(N, *code_shape)`.
        code_shape: the shape of one image's codes, with `None` for what may vary.
        num_embeddings: K; codes must be below it. Or one for each depth, the last axis.
        argument: the name of the argument, for the message.
        lowest: the least value allowed; −1 where it stands for "unknown".

    Raises:
        TypeError: for codes that are no integers.
        ValueError: for another shape, or values out of range.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"`{argument}` should be integers. Received: dtype {codes.dtype}")
    sizes = codes.shape[1:]
    if codes.ndim != len(code_shape) + 1 or any(
        want is not None and want != got for want, got in zip(code_shape, sizes, strict=True)
    ):
        expected = ", ".join("any" if n is None else str(n) for n in code_shape)
        raise ValueError(
            f"`{argument}` should have shape (batch, {expected}). Received: shape {codes.shape}"
        )
    if codes.size and (codes.min() < lowest or (codes >= np.asarray(num_embeddings)).any()):
        raise ValueError(
            f"`{argument}` should be in [{lowest}, {num_embeddings}). "
            f"Received: values in [{codes.min()}, {codes.max()}]"
        )
    return codes.astype("int32")
