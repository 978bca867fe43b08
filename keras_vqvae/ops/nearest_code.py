"""Nearest-code search: the one file where an operation is chosen by backend for speed.

`keras.ops.argmin` is several times slower than the product it follows, and breaks ONNX and LiteRT
export on TensorFlow; the backend's own argmax does neither. On a CPU that one, too, takes a number
at a time: there the maxima of blocks are taken first, and of lanes in TensorFlow's XLA.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vqvae.compilation import has_accelerator, in_xla_of_tensorflow

__all__ = [
    "around_middle",
    "default_chunk_size",
    "highest_score",
    "map_chunks",
    "nearest_code",
    "take_rows",
]

# Numbers that the chunks of one time make when the caller sets no bound, float32: 16 MiB on a CPU,
# so that they are still in its caches when they are read; 32 MiB on an accelerator, to give it
# enough to do.
_ON_CPU, _ON_ACCELERATOR = 2**22, 2**23

# Rows that JAX takes at one time on a CPU at the most: with few codes more of them are slower.
_ROWS_OF_JAX = 2**12


def nearest_code(vectors: Any, table: Any, chunk_size: int | None = None) -> Any:
    """The index of the nearest row of `table` for each vector, exactly.

    `argmin_k ‖x − e_k‖²` is computed as `argmax_k [x, 1]·[e_k, −½‖e_k‖²]`, with both taken from a
    point in the middle of the codes: one matrix product and nothing else as large as N × K. The
    product runs over `chunk_size` vectors at a time, so that an N × K array never exists.
    Everything is float32; ties go to the lowest index. No gradient flows through the result.

    Args:
        vectors: float tensor `(N, D)`. `N` may be unknown when traced.
        table: float tensor `(K, D)`. `K` may be unknown too.
        chunk_size: how many vectors are compared at one time, a positive integer. By default as
            many as keep the scores within 32 MiB, or fewer.

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
    count = table.shape[0]
    if chunk_size is None:
        chunk_size = default_chunk_size(ops.shape(table)[0] if count is None else int(count))
    # Codes near to one another and far from zero have scores so large that float32 holds no
    # differences between them.
    middle = _middle(table)
    offsets = table - middle
    penalties = 0.5 * ops.sum(ops.square(offsets), axis=-1, keepdims=True)
    rows = ops.concatenate([offsets, -penalties], axis=-1)
    lanes, block = _lanes(count), _block_length(count)
    if lanes:
        rows = _laid_in_lanes(_filled_up(rows, math.prod(lanes)), lanes)
    elif block:
        rows = _filled_up(rows, -(-count // block) * block)  # a copy of all scores would cost more
    filled = bool(lanes or block) and rows.shape[0] > count
    augmented_table = ops.transpose(rows)

    def nearest(chunk: Any) -> Any:
        # The constant 1 is appended to a chunk at a time, not to all of `vectors`: one copy less.
        scores = _product(_augment(chunk - middle), augmented_table)
        return _highest_in_lanes(scores, lanes) if lanes else highest_score(scores)

    found = map_chunks(nearest, vectors, chunk_size)
    return ops.minimum(found, count - 1) if filled else found


def around_middle(vectors: Any, table: Any) -> tuple[Any, Any]:
    """Vectors `(N, D)` and codes `(K, D)` less a point in the middle of the codes.

    Distances stay what they are, and their differences are not lost to rounding far from zero.

    Example:
    >>> import numpy as np
    >>> vectors, table = around_middle(np.float32([[101.5]]), np.float32([[100.0], [102.0]]))
    >>> np.asarray(vectors).tolist(), np.asarray(table).tolist()
    ([[0.5]], [[-1.0], [1.0]])
    """
    middle = ops.stop_gradient(_middle(table))
    return vectors - middle, table - middle


def _middle(table: Any) -> Any:
    """A point in the middle of the codes, `(1, D)`, of few binary digits.

    It is a multiple of a power of two that is as large as the codes' spread, but no larger than 1:
    what is taken from it keeps the ties of codes of few digits.
    """
    mean = ops.mean(table, axis=0, keepdims=True)
    spread = ops.max(ops.abs(table - mean))
    # At 1.5 · 2^23 s, neighbouring float32 numbers are such a power of two apart: adding it rounds.
    large = 1.5 * 2.0**23 * ops.minimum(spread, 1.0)
    return (mean + large) - large


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
    >>> rows = keras.ops.convert_to_tensor(np.float32([[1, 3], [5, 2], [0, 4]]))
    >>> keras.ops.convert_to_numpy(map_chunks(highest_score, rows, 2))
    array([1, 0, 1], dtype=int32)
    """
    backend = keras.backend.backend()
    run = {"tensorflow": _map_tensorflow, "jax": _map_jax}.get(backend, _map_any)
    return run(function, rows, chunk_size, shape)


def highest_score(scores: Any) -> Any:
    """The index of the highest of K scores, the lowest one of equals: `(N, K)` to int32 `(N,)`.

    Of a row with NaN it is some index in `[0, K)`.

    Example:
    >>> import numpy as np
    >>> keras.ops.convert_to_numpy(highest_score(np.array([[0.1, 0.7, 0.7]])))
    array([1], dtype=int32)
    """
    scores = ops.stop_gradient(scores)
    count = scores.shape[-1]
    block = _block_length(count)
    if block is None or (count % block and keras.backend.backend() == "tensorflow"):
        return _argmax(scores)  # a copy would cost TensorFlow more than blocks save
    if count % block:
        short = ((0, 0), (0, block - count % block))
        scores = ops.pad(scores, short, constant_values=-float("inf"))
    # The highest of each block by a maximum, for which processors have instructions, then the block
    # in the same way, and the place in it.
    blocks = -(-count // block)
    best = highest_score(_max(ops.reshape(scores, (-1, blocks, block))))
    row = ops.arange(ops.shape(scores)[0], dtype="int32") * blocks + best
    return best * block + _argmax(take_rows(ops.reshape(scores, (-1, block)), row))


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
    return ops.take(table, indices, axis=0)


def _block_length(count: int | None) -> int | None:
    """How many scores a maximum is taken of; `None` where all K are better compared at once."""
    if count is None or has_accelerator():
        return None
    if keras.backend.backend() == "tensorflow":
        # A row costs its argmax more than the numbers in it: two searches of about √K.
        return 1 << ((count - 1).bit_length() + 1) // 2 if count >= 512 else None
    # XLA's argmax is quick for up to 16 numbers.
    return 16 if count > 16 else None


def _filled_up(rows: Any, size: int) -> Any:
    """`rows` `(K, D + 1)` and, up to `size`, others that no finite vector is near to."""
    missing = size - rows.shape[0]
    if not missing:
        return rows
    zeros = ops.zeros((missing, rows.shape[1] - 1), "float32")
    far = ops.full_like(zeros[:, :1], -float("inf"))
    return ops.concatenate([rows, ops.concatenate([zeros, far], axis=-1)])


def _lanes(count: int | None) -> tuple[int, ...]:
    """The factors of the number of codes by which TensorFlow's XLA compares them; `()` elsewhere.

    Their product is `count` or little more. Maxima of numbers that lie next to one another take XLA
    longer than those of numbers that lie a lane's width apart: of these, many are taken at once.
    """
    if count is None or count < 64 or has_accelerator() or not in_xla_of_tensorflow():
        return ()
    inner = (8,) * max(0, math.ceil(math.log2(count / 128) / 3))
    ways = [(first, *inner, -(-count // (first * math.prod(inner)))) for first in (8, 7, 6, 5)]
    return min((way for way in ways if way[-1] <= 16), key=math.prod)


def _laid_in_lanes(rows: Any, lanes: tuple[int, ...]) -> Any:
    """Rows in the order in which `_highest_in_lanes` wants their scores.

    For lanes (2, 3) it is 0 2 4 1 3 5: the first maxima are those of 0 and 1, 2 and 3, 4 and 5, so
    that the lowest lane has the lowest codes.
    """
    axes = range(len(lanes))
    stacked = ops.reshape(rows, (*reversed(lanes), rows.shape[1]))
    return ops.reshape(ops.transpose(stacked, (*reversed(axes), len(lanes))), rows.shape)


def _highest_in_lanes(scores: Any, lanes: tuple[int, ...]) -> Any:
    """The code of the highest score, the lowest one of equals, of rows laid in lanes."""
    import tensorflow as tf

    levels = []
    for factor in lanes[:-1]:
        levels.append(tf.reshape(scores, [-1, factor, scores.shape[1] // factor]))
        scores = _max(levels[-1], axis=1)
    place = code = _argmax(scores)
    for level in reversed(levels):
        best = _argmax(tf.gather(level, place, axis=2, batch_dims=1))
        place, code = best * level.shape[2] + place, code * level.shape[1] + best
    return code


def _max(scores: Any, axis: int = -1) -> Any:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.reduce_max(scores, axis=axis)  # that of Keras refuses no rows at all
    return ops.max(scores, axis=axis)


def _argmax(scores: Any) -> Any:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.argmax(scores, axis=-1, output_type=tf.int32)
    if backend == "jax":
        import jax.numpy as jnp

        return jnp.argmax(scores, axis=-1).astype("int32")
    return ops.cast(ops.argmax(scores, axis=-1), "int32")


def _product(vectors: Any, table: Any) -> Any:
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        # Full float32: the default on accelerators is coarser, and would change indices.
        return jnp.matmul(vectors, table, precision="highest")
    return ops.matmul(vectors, table)


def _augment(vectors: Any) -> Any:
    return ops.concatenate([vectors, ops.ones_like(vectors[:, :1])], axis=-1)


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
        lambda place: function(stacked[place]),
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
