"""A function of rows, computed for some of them at a time, in the backend's own loop."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vqvae.compilation import has_accelerator, in_xla_of_tensorflow

__all__ = ["default_chunk_size", "map_chunks"]

# Numbers that the chunks of one time make when the caller sets no bound, float32: 16 MiB on a CPU,
# so that they are still in its caches when they are read; 32 MiB on an accelerator, to give it
# enough to do.
_ON_CPU, _ON_ACCELERATOR = 2**22, 2**23

# Rows that JAX takes at one time on a CPU at the most: with few codes more of them are slower.
_ROWS_OF_JAX = 2**12


def default_chunk_size(width: Any) -> Any:
    """How many rows to take at one time when each makes `width` numbers, and nobody says how many.

    Example:
    >>> default_chunk_size(2**30)
    1
    """
    on_cpu = not has_accelerator()
    numbers = _ON_CPU if on_cpu else _ON_ACCELERATOR
    most = _ROWS_OF_JAX if on_cpu and keras.backend.backend() == "jax" else numbers
    if isinstance(width, int):
        return min(max(1, numbers // width), most)
    return ops.minimum(ops.maximum(numbers // width, 1), most)


def _chunks_at_once() -> int:
    """How many chunks are computed at one time: two hide what a turn of TensorFlow's loop costs."""
    if keras.backend.backend() != "tensorflow" or has_accelerator() or in_xla_of_tensorflow():
        return 1
    return 2


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

    Example:
    >>> import numpy as np
    >>> from keras_vqvae.ops import highest_score
    >>> rows = keras.ops.convert_to_tensor(np.float32([[1, 3], [5, 2], [0, 4]]))
    >>> keras.ops.convert_to_numpy(map_chunks(highest_score, rows, 2))
    array([1, 0, 1], dtype=int32)
    """
    backend = keras.backend.backend()
    run = {"tensorflow": _map_tensorflow, "jax": _map_jax}.get(backend, _map_any)
    return run(function, rows, chunk_size, shape)


def _map_tensorflow(function: Any, rows: Any, chunk_size: Any, shape: tuple[int, ...]) -> Any:
    import tensorflow as tf

    at_once = _chunks_at_once()
    bound = max(1, chunk_size // at_once) if isinstance(chunk_size, int) else chunk_size // at_once
    known = rows.shape[0] is not None and isinstance(bound, int)
    if known and rows.shape[0] <= bound:
        return function(rows)
    # Equal chunks of at most `bound` rows, so that little is padded; one chunk if N is small.
    count = tf.shape(rows)[0]
    bound = tf.maximum(bound, 1)
    chunks = tf.maximum((count + bound - 1) // bound, 1)
    size = (count + chunks - 1) // chunks
    padded = tf.pad(rows, [[0, chunks * size - count], [0, 0]])
    stacked = tf.reshape(padded, [chunks, size, rows.shape[1]])
    # Over places, not over `stacked`: `map_fn` would copy all of it, a slice copies nothing.
    found = tf.map_fn(
        # As it is: AutoGraph has nothing to convert, and warns where it cannot read the source.
        tf.autograph.experimental.do_not_convert(lambda place: function(stacked[place])),
        tf.range(chunks),
        fn_output_signature=tf.int32,
        # Eagerly more than one has no effect but a warning.
        parallel_iterations=None if tf.executing_eagerly() else at_once,
    )
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
