"""Nearest-code search: the one file where an operation is chosen by backend for speed.

`keras.ops.argmin` is several times slower than the product it follows, and breaks ONNX and LiteRT
export on TensorFlow; the backend's own argmax does neither.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

__all__ = ["DEFAULT_CHUNK_ELEMENTS", "highest_score", "map_chunks", "nearest_code"]

# Scores held at one time when the caller sets no bound, float32: a little below 32 MiB, from which
# on glibc maps a block anew each time, whose pages then have to be touched for the first time.
DEFAULT_CHUNK_ELEMENTS = 2**23 - 2**16


def nearest_code(vectors: Any, table: Any, chunk_size: int | None = None) -> Any:
    """The index of the nearest row of `table` for each vector, exactly.

    `argmin_k ‖x − e_k‖²` is computed as `argmax_k [x, 1]·[e_k, −½‖e_k‖²]`, with the codes taken
    from a point in their middle: one matrix product and nothing else that is as large as N × K. The
    product runs over `chunk_size` vectors at a time, so that an N × K array never exists.
    Everything is float32; ties go to the lowest index. No gradient flows through the result.

    Args:
        vectors: float tensor `(N, D)`. `N` may be unknown when traced.
        table: float tensor `(K, D)`. `K` may be unknown too.
        chunk_size: how many vectors are compared at one time, a positive integer. By default as
            many as keep the scores within 32 MiB.

    Returns:
        int32 tensor `(N,)` with values in `[0, K)`.

    Example:
    >>> import numpy as np
    >>> table = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> keras.ops.convert_to_numpy(nearest_code(np.array([[0.9, 0.8], [0.1, 0.0]]), table))
    array([1, 0], dtype=int32)
    """
    vectors = ops.stop_gradient(ops.cast(vectors, "float32"))
    table = ops.stop_gradient(ops.cast(table, "float32"))
    bound: Any = chunk_size
    if bound is None and table.shape[0] is None:
        bound = ops.maximum(DEFAULT_CHUNK_ELEMENTS // ops.shape(table)[0], 1)
    elif bound is None:
        bound = max(1, DEFAULT_CHUNK_ELEMENTS // int(table.shape[0]))
    # Far from zero, scores would be so large that float32 holds no differences between them. So
    # codes are taken from a point in their middle, m: ‖x − e‖² − ‖x‖² = −2 x·d + 2 m·d + ‖d‖² + c
    # with d = e − m. A point of whole numbers keeps the ties of codes of few digits.
    middle = ops.round(ops.mean(table, axis=0, keepdims=True))
    offsets = table - middle
    penalties = ops.sum(offsets * (middle + 0.5 * offsets), axis=-1, keepdims=True)
    augmented_table = ops.transpose(ops.concatenate([offsets, -penalties], axis=-1))
    # The constant 1 is appended per chunk by `_scores`, not to all of `vectors`: one copy less.
    best = {"tensorflow": _best_tensorflow, "jax": _best_jax}.get(
        keras.backend.backend(), _best_any
    )
    return map_chunks(lambda chunk: best(_augment(chunk), augmented_table), vectors, bound)


def map_chunks(
    function: Callable[[Any], Any], rows: Any, chunk_size: Any, shape: tuple[int, ...] = ()
) -> Any:
    """`function(rows)`, computed for `chunk_size` rows at a time.

    Args:
        function: takes float `(n, D)` and gives int32 `(n, *shape)`, each row from its row alone.
        rows: float tensor `(N, D)`. `N` may be unknown when traced.
        chunk_size: how many rows at one time.
        shape: what follows the first axis of the results.

    Returns:
        int32 tensor `(N, *shape)`.
    """
    backend = keras.backend.backend()
    run = {"tensorflow": _map_tensorflow, "jax": _map_jax}.get(backend, _map_any)
    return run(function, rows, chunk_size, shape)


def highest_score(scores: Any) -> Any:
    """The index of the highest of K scores, the lowest one of equals: `(N, K)` to int32 `(N,)`.

    Example:
    >>> import numpy as np
    >>> keras.ops.convert_to_numpy(highest_score(np.array([[0.1, 0.7, 0.7]])))
    array([1], dtype=int32)
    """
    scores = ops.stop_gradient(scores)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(scores, axis=-1, output_type=tf.int32)
    return ops.cast(ops.argmax(scores, axis=-1), "int32")


def _augment(vectors: Any) -> Any:
    return ops.concatenate([vectors, ops.ones_like(vectors[:, :1])], axis=-1)


def _best_tensorflow(vectors: Any, table: Any) -> Any:
    import tensorflow as tf

    return tf.argmax(tf.matmul(vectors, table), axis=-1, output_type=tf.int32)


def _best_jax(vectors: Any, table: Any) -> Any:
    import jax.numpy as jnp

    # Full float32 products: the default on accelerators is coarser, and would change indices.
    return jnp.argmax(jnp.matmul(vectors, table, precision="highest"), axis=-1).astype("int32")


def _best_any(vectors: Any, table: Any) -> Any:
    return ops.cast(ops.argmax(ops.matmul(vectors, table), axis=-1), "int32")


def _map_tensorflow(function: Any, rows: Any, chunk_size: Any, shape: tuple[int, ...]) -> Any:
    import tensorflow as tf

    known = rows.shape[0] is not None and isinstance(chunk_size, int)
    if known and rows.shape[0] <= chunk_size:
        return function(rows)
    # Equal chunks of at most `chunk_size` rows, so that little is padded; one chunk if N is small.
    count = tf.shape(rows)[0]
    chunks = tf.maximum((count + chunk_size - 1) // chunk_size, 1)
    size = (count + chunks - 1) // chunks
    padded = tf.pad(rows, [[0, chunks * size - count], [0, 0]])
    stacked = tf.reshape(padded, [chunks, size, rows.shape[1]])
    found = tf.map_fn(function, stacked, fn_output_signature=tf.int32, parallel_iterations=1)
    return tf.reshape(found, [-1, *shape])[:count]


def _map_jax(function: Any, rows: Any, chunk_size: Any, shape: tuple[int, ...]) -> Any:
    import jax
    import jax.numpy as jnp

    count, dim = rows.shape
    # A symbolic count (shape inference, export) compares with nothing and makes no chunks.
    if not isinstance(count, int) or count <= chunk_size:
        return function(rows)
    chunks = -(-count // chunk_size)
    size = -(-count // chunks)
    padded = jnp.pad(rows, ((0, chunks * size - count), (0, 0)))
    stacked = padded.reshape(chunks, size, dim)
    return jax.lax.map(function, stacked).reshape(-1, *shape)[:count]


def _map_any(function: Any, rows: Any, chunk_size: Any, shape: tuple[int, ...]) -> Any:
    starts = range(0, max(int(rows.shape[0]), 1), chunk_size)
    return ops.concatenate([function(rows[s : s + chunk_size]) for s in starts])
