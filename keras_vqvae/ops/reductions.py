"""Means over valid elements."""

from typing import Any

from keras import ops

__all__ = ["mean_over_valid"]


def mean_over_valid(values: Any, weights: Any = None) -> Any:
    """The mean of `values` `(N, D)` over the rows that `weights` `(N,)` marks as valid.

    Without weights this is the plain mean. With none valid it is 0, not NaN.
    """
    if weights is None:
        return ops.mean(values)
    total = ops.sum(values * ops.expand_dims(weights, -1))
    dim = ops.cast(ops.shape(values)[-1], "float32")
    return total / ops.maximum(ops.sum(weights) * dim, 1.0)
