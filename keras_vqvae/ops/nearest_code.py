"""Nearest-code search: one matrix product, and the highest of its scores."""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.ops.highest_score import (
    block_length,
    highest_in_lanes,
    highest_score,
    laid_in_lanes,
    lanes_for,
)
from keras_vqvae.ops.row_chunks import default_chunk_size, map_chunks

__all__ = ["around_middle", "full_product", "nearest_code"]


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
            many as keep the scores within 16 MiB on a CPU (on JAX 4 096 at the most), and within
            32 MiB on an accelerator.

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
    lanes, block = lanes_for(count), block_length(count)
    if lanes:
        rows = laid_in_lanes(_filled_up(rows, math.prod(lanes)), lanes)
    elif block:
        rows = _filled_up(rows, -(-count // block) * block)  # a copy of all scores would cost more
    filled = bool(lanes or block) and rows.shape[0] > count
    augmented_table = ops.transpose(rows)

    def nearest(chunk: Any) -> Any:
        # The constant 1 is appended to a chunk at a time, not to all of `vectors`: one copy less.
        scores = full_product(_augment(chunk - middle), augmented_table)
        return highest_in_lanes(scores, lanes) if lanes else highest_score(scores)

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


def _filled_up(rows: Any, size: int) -> Any:
    """`rows` `(K, D + 1)` and, up to `size`, others that no finite vector is near to."""
    missing = size - rows.shape[0]
    if not missing:
        return rows
    zeros = ops.zeros((missing, rows.shape[1] - 1), "float32")
    far = ops.full_like(zeros[:, :1], -float("inf"))
    return ops.concatenate([rows, ops.concatenate([zeros, far], axis=-1)])


def full_product(vectors: Any, table: Any) -> Any:
    """A matrix product that decides on indices: in full float32 on JAX wherever it runs.

    TensorFlow has one setting for all products, which is the user's (docs/performance.md).

    Args:
        vectors: float32 tensor `(N, D)`.
        table: float32 tensor `(D, K)`, a code in each column.

    Returns:
        float32 tensor `(N, K)`. Gradients flow to both.

    Example:
    >>> import numpy as np
    >>> np.asarray(full_product(np.float32([[1.0, 2.0]]), np.float32([[3.0], [4.0]])))
    array([[11.]], dtype=float32)
    """
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        # The default on accelerators is coarser, and would change indices.
        return jnp.matmul(vectors, table, precision="highest")
    return ops.matmul(vectors, table)


def _augment(vectors: Any) -> Any:
    return ops.concatenate([vectors, ops.ones_like(vectors[:, :1])], axis=-1)
