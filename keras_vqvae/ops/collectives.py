"""Sums over replicas. On JAX arrays are global, so that there is nothing to do."""

from typing import Any

import keras
from keras import ops

__all__ = ["all_finite", "all_reduce_sum", "gather_rows", "num_replicas"]


def _replica_context() -> Any:
    """TensorFlow's replica context when several replicas run, else `None`."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return None
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def num_replicas() -> int:
    """How many replicas run; 1 where `all_reduce_sum` has nothing to do."""
    context = _replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def all_reduce_sum(x: Any) -> Any:
    """The sum of `x` over all replicas, the same on each.

    A gradient passes to what each replica gave: the sum over replicas of theirs by the result.
    """
    context = _replica_context()
    return x if context is None else context.all_reduce("SUM", x)


def all_finite(x: Any) -> Any:
    """Whether the values of all replicas are finite, as their sum is: a boolean scalar."""
    return ops.isfinite(all_reduce_sum(ops.sum(ops.stop_gradient(x))))


def gather_rows(x: Any) -> Any:
    """The rows of all replicas, in order: `(N, ...)` to `(ΣN, ...)`, the same on each."""
    context = _replica_context()
    if context is None:
        return x
    # `all_gather` forgets the shape.
    return ops.reshape(context.all_gather(x, axis=0), (-1, *x.shape[1:]))
