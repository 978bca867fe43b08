"""Means over valid elements."""

from typing import Any

from keras import ops

from keras_vqvae.ops.collectives import all_reduce_sum, num_replicas

__all__ = ["mean_over_valid"]


def mean_over_valid(values: Any, weights: Any = None) -> Any:
    """The mean of `values` `(N, D)` over the rows that `weights` `(N,)` marks as valid.

    Without weights this is the plain mean. With none valid it is 0, not NaN. Losses of several
    replicas are averaged, which should give the mean over the valid rows of all: with R replicas,
    each one's is its sum by 1/R of all their valid elements, so those with fewer count for less.
    """
    if weights is None:
        return ops.mean(values)
    total = ops.sum(values * ops.expand_dims(weights, -1))
    dim = ops.cast(ops.shape(values)[-1], "float32")
    valid = all_reduce_sum(ops.sum(weights)) * dim
    return num_replicas() * total / ops.maximum(valid, 1.0)
