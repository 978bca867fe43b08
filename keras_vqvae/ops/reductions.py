"""Means over valid elements."""

import math
from typing import Any

from keras import ops

from keras_vqvae.ops.collectives import all_reduce_sum, num_replicas

__all__ = ["mean_over_valid"]


def mean_over_valid(values: Any, weights: Any = None) -> Any:
    """The mean of `values` `(N, ...)` over the rows that `weights` `(N,)` marks as valid.

    With none valid, or no rows, it is 0, not NaN. Losses of several replicas are averaged. With
    weights this gives the mean over the valid rows of all: with R replicas, each one's is its sum
    by 1/R of all their valid elements, so those with fewer count for less. Without weights it is
    the plain mean, and replicas count alike, as in Keras's own losses.

    Example:
    >>> import numpy as np
    >>> float(mean_over_valid(np.float32([1.0, 2.0, 6.0]), np.float32([1.0, 0.0, 1.0])))
    3.5
    """
    if weights is None:
        rows = values.shape[0]
        if rows == 0:
            return ops.zeros((), "float32")
        mean = ops.mean(values)
        return mean if isinstance(rows, int) else ops.where(ops.shape(values)[0] > 0, mean, 0.0)
    total = ops.sum(values * ops.reshape(weights, (-1, *([1] * (len(values.shape) - 1)))))
    in_a_row = math.prod(ops.shape(values)[1:])
    valid = all_reduce_sum(ops.sum(weights)) * ops.cast(in_a_row, "float32")
    return num_replicas() * total / ops.maximum(valid, 1.0)
