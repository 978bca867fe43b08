"""Nearest-code search: the one file where an operation is chosen by backend for speed.

`keras.ops.argmin` is several times slower than the product it follows, and breaks ONNX and LiteRT
export on TensorFlow; the backend's own argmax does neither.
"""

from typing import Any

import keras
from keras import ops

__all__ = ["DEFAULT_CHUNK_ELEMENTS", "highest_score", "nearest_code"]

# Scores held at one time when the caller sets no bound: 2**23 float32 = 32 MiB.
DEFAULT_CHUNK_ELEMENTS = 2**23


def nearest_code(vectors: Any, table: Any, chunk_size: int | None = None) -> Any:
    """The index of the nearest row of `table` for each vector, exactly.

    `argmin_k ‖x − e_k‖²` is computed as `argmax_k [x, 1]·[e_k, −½‖e_k‖²]`: one matrix product and
    nothing else that is as large as N × K. The product runs over `chunk_size` vectors at a time, so
    that an N × K array never exists. Everything is float32; ties go to the lowest index. No
    gradient flows through the result.

    Args:
        vectors: float tensor `(N, D)`. `N` may be unknown when traced.
        table: float tensor `(K, D)`.
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
    if chunk_size is None:
        chunk_size = max(1, DEFAULT_CHUNK_ELEMENTS // int(table.shape[0]))
    half_norms = 0.5 * ops.sum(ops.square(table), axis=-1, keepdims=True)
    augmented_table = ops.transpose(ops.concatenate([table, -half_norms], axis=-1))
    # The constant 1 is appended per chunk by `_scores`, not to all of `vectors`: one copy less.
    backend = keras.backend.backend()
    search = {"tensorflow": _search_tensorflow, "jax": _search_jax}.get(backend, _search_any)
    return search(vectors, augmented_table, chunk_size)


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


def _search_tensorflow(vectors: Any, table: Any, chunk_size: int) -> Any:
    import tensorflow as tf

    def best(chunk: Any) -> Any:
        scores = tf.matmul(_augment(chunk), table)
        return tf.argmax(scores, axis=-1, output_type=tf.int32)

    if vectors.shape[0] is not None and vectors.shape[0] <= chunk_size:
        return best(vectors)
    # Equal chunks of at most `chunk_size` rows, so that little is padded; one chunk if N is small.
    count = tf.shape(vectors)[0]
    chunks = tf.maximum((count + chunk_size - 1) // chunk_size, 1)
    rows = (count + chunks - 1) // chunks
    padded = tf.pad(vectors, [[0, chunks * rows - count], [0, 0]])
    stacked = tf.reshape(padded, [chunks, rows, vectors.shape[1]])
    indices = tf.map_fn(best, stacked, fn_output_signature=tf.int32, parallel_iterations=1)
    return tf.reshape(indices, [-1])[:count]


def _search_jax(vectors: Any, table: Any, chunk_size: int) -> Any:
    import jax
    import jax.numpy as jnp

    def best(chunk: Any) -> Any:
        # Full float32 products: the default on accelerators is coarser, and would change indices.
        scores = jnp.matmul(_augment(chunk), table, precision="highest")
        return jnp.argmax(scores, axis=-1).astype("int32")

    count, dim = vectors.shape
    # A symbolic count (shape inference, export) compares with nothing and makes no chunks.
    if not isinstance(count, int) or count <= chunk_size:
        return best(vectors)
    chunks = -(-count // chunk_size)
    rows = -(-count // chunks)
    padded = jnp.pad(vectors, ((0, chunks * rows - count), (0, 0)))
    return jax.lax.map(best, padded.reshape(chunks, rows, dim)).reshape(-1)[:count]


def _search_any(vectors: Any, table: Any, chunk_size: int) -> Any:
    starts = range(0, max(int(vectors.shape[0]), 1), chunk_size)
    parts = [
        ops.argmax(ops.matmul(_augment(vectors[s : s + chunk_size]), table), axis=-1)
        for s in starts
    ]
    return ops.cast(ops.concatenate(parts), "int32")
