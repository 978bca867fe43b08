"""Rows of a table, without a look for indices beyond it."""

from typing import Any

import keras
from keras import ops

__all__ = ["take_rows"]


def take_rows(table: Any, indices: Any) -> Any:
    """Rows of `table` `(K, ...)` at `indices` `(...)` that are known to lie in `[0, K)`.

    `keras.ops.take` on JAX looks for indices that do not, and passes over all it took once more to
    make rows of NaN of them.

    Example:
    >>> import numpy as np
    >>> np.asarray(take_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1]))).tolist()
    [[3.0, 4.0], [3.0, 4.0]]
    """
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        return jnp.take(jnp.asarray(table), jnp.asarray(indices), axis=0, mode="clip")
    return ops.take(table, ops.cast(indices, "int32"), axis=0)
