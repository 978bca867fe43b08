"""Sums over replicas. On JAX arrays are global, so that there is nothing to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from keras_vqvae.compilation import has_accelerator, in_xla_of_tensorflow

__all__ = [
    "all_finite",
    "all_reduce_sum",
    "finite_everywhere",
    "gather_rows",
    "num_replicas",
    "sum_of_squares",
    "within_batch",
]

# Of the batch that parts are taken of, where there is one.
_BATCH_IS_FINITE: ContextVar[Any] = ContextVar("batch_is_finite", default=None)


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
    """Whether the values of all replicas and the sum of their squares are finite, in float32.

    A boolean scalar. Losses of values whose squares are not would be infinite. In `within_batch`
    the batch is to be so, too.
    """
    return finite_everywhere(sum_of_squares(ops.stop_gradient(x)))


def finite_everywhere(loss: Any) -> Any:
    """As `all_finite`, of a scalar that squares of all values went into, such as their loss.

    Example:
    >>> import numpy as np
    >>> bool(finite_everywhere(np.float32(2.5))), bool(finite_everywhere(np.float32(np.inf)))
    (True, False)
    """
    finite = ops.isfinite(all_reduce_sum(ops.stop_gradient(loss)))
    batch = _BATCH_IS_FINITE.get()
    return finite if batch is None else ops.logical_and(finite, batch)


@contextmanager
def within_batch(vectors: Any) -> Iterator[None]:
    """Inside, `all_finite` of a part is also that of all `vectors`, so parts are refused together.

    Example:
    >>> import numpy as np
    >>> batch = np.float32([[1.0, np.nan]])
    >>> with within_batch(batch):
    ...     bool(all_finite(batch[:, :1]))
    False
    """
    token = _BATCH_IS_FINITE.set(all_finite(vectors))
    try:
        yield
    finally:
        _BATCH_IS_FINITE.reset(token)


def sum_of_squares(x: Any) -> Any:
    """`Σ x²`, on TensorFlow in one pass over the values, and one back."""
    if keras.backend.backend() != "tensorflow":
        return ops.sum(ops.square(x))
    import tensorflow as tf

    if has_accelerator() or not in_xla_of_tensorflow():
        return 2.0 * tf.nn.l2_loss(x)
    # XLA on a CPU writes out what it sums up, but for sums of at most 32 that it cannot take
    # together: the factors, of no effect on the digits, keep these apart.
    flat = tf.reshape(tf.square(x), [-1])
    flat = tf.pad(flat, [[0, -tf.size(flat) % 1024]])
    parts = tf.reduce_sum(tf.reshape(flat, [-1, 32]), axis=-1) * 2.0**-5
    parts = tf.reduce_sum(tf.reshape(parts, [-1, 32]), axis=-1) * 2.0**-5
    return tf.reduce_sum(parts) * 2.0**10


def gather_rows(x: Any) -> Any:
    """The rows of all replicas, in order: `(N, ...)` to `(ΣN, ...)`, the same on each."""
    context = _replica_context()
    if context is None:
        return x
    # `all_gather` forgets the shape.
    return ops.reshape(context.all_gather(x, axis=0), (-1, *x.shape[1:]))
