"""Sums over replicas. On JAX arrays are global, so that there is nothing to do."""

from typing import Any

import keras
from keras import ops

__all__ = ["all_reduce_sum", "gather_rows", "num_replicas", "share_rows"]


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


def gather_rows(x: Any) -> Any:
    """The rows of all replicas, in order: `(N, ...)` to `(ΣN, ...)`, the same on each."""
    context = _replica_context()
    if context is None:
        return x
    # `all_gather` forgets the shape.
    return ops.reshape(context.all_gather(x, axis=0), (-1, *x.shape[1:]))


def share_rows(x: Any) -> Any:
    """A tensor `(K, ...)` that is the same on all replicas: row k comes from replica k mod R."""
    context = _replica_context()
    if context is None:
        return x
    rows = ops.arange(x.shape[0])
    mine = ops.equal(rows % context.num_replicas_in_sync, context.replica_id_in_sync_group)
    shape = (-1,) + (1,) * (len(x.shape) - 1)
    return context.all_reduce("SUM", x * ops.cast(ops.reshape(mine, shape), x.dtype))
