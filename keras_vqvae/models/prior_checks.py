"""Checks of what priors take, on the host, before any computation."""

from numbers import Integral
from typing import Any

import numpy as np

__all__ = [
    "check_code_shape",
    "check_condition",
    "check_condition_shape",
    "check_labels",
    "check_sizes",
]


def check_code_shape(code_shape: Any) -> tuple[int, ...]:
    """`(height, width)` or `(height, width, depth)` of positive integers."""
    shape = _positive_integers(code_shape)
    if shape is None or len(shape) not in (2, 3):
        raise ValueError(
            "`code_shape` should be (height, width) or (height, width, depth); a sequence of "
            "length T is (1, T), with Q codes a position (1, T, Q). "
            f"Received: code_shape={code_shape!r}"
        )
    return shape


def check_sizes(
    num_embeddings: Any, code_shape: tuple[int, ...]
) -> tuple[int | tuple[int, ...], tuple[int, ...]]:
    """The number of codes as given, and for each depth."""
    depths = code_shape[2] if len(code_shape) == 3 else 1
    one = isinstance(num_embeddings, Integral)
    sizes = _positive_integers((num_embeddings,) * depths if one else num_embeddings)
    if sizes is None or len(sizes) != depths or (not one and len(code_shape) == 2):
        raise ValueError(
            "`num_embeddings` should be one positive integer, or one for each depth of "
            "`code_shape`. "
            f"Received: num_embeddings={num_embeddings!r}, code_shape={code_shape}"
        )
    if min(sizes) < 2:
        raise ValueError(
            f"`num_embeddings` should be at least 2. Received: num_embeddings={num_embeddings!r}"
        )
    return (sizes[0] if one else sizes), sizes


def check_condition_shape(
    condition_shape: Any, code_shape: tuple[int, ...]
) -> tuple[int, ...] | None:
    """`(d,)`, or `(height, width, channels)` that divides the grid of codes."""
    if condition_shape is None:
        return None
    shape = _positive_integers(condition_shape)
    if shape is not None and (len(shape) == 1 or _is_coarser(shape, code_shape)):
        return shape
    raise ValueError(
        "`condition_shape` should be (d,) for vectors or (height, width, channels) for grids, "
        f"whose height and width divide those of the codes, {code_shape[:2]}. "
        f"Received: condition_shape={condition_shape!r}"
    )


def _is_coarser(shape: tuple[int, ...], code_shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and not (code_shape[0] % shape[0] or code_shape[1] % shape[1])


def _positive_integers(several: Any) -> tuple[int, ...] | None:
    """As a tuple of Python's integers; `None` for what is no sequence of positive ones."""
    try:
        found = tuple(several)
    except TypeError:
        return None
    good = all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 1 for n in found)
    return tuple(int(n) for n in found) if good else None


def check_labels(labels: Any, count: int, num_classes: int, lowest: int = 0) -> np.ndarray:
    """The labels as NumPy int32 `(count,)`; −1 is allowed where `lowest` says so."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"`labels` should be integers. Received: dtype {labels.dtype}")
    if labels.shape != (count,):
        raise ValueError(f"`labels` should have shape ({count},). Received: {labels.shape}")
    if labels.size and (labels.min() < lowest or labels.max() >= num_classes):
        raise ValueError(
            f"`labels` should be in [{lowest}, {num_classes}). "
            f"Received: values in [{labels.min()}, {labels.max()}]"
        )
    return labels.astype("int32")


def check_condition(condition: Any, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """The condition as NumPy float32 `(count, *shape)`, finite."""
    condition = np.asarray(condition)
    if condition.dtype.kind not in "fiu":
        raise TypeError(f"`condition` should be numbers. Received: dtype {condition.dtype}")
    if condition.shape != (count, *shape):
        raise ValueError(
            f"`condition` should have shape {(count, *shape)}. Received: {condition.shape}"
        )
    if not np.isfinite(condition).all():
        raise ValueError("`condition` should be finite. Received: NaN or infinite values")
    return condition.astype("float32")
