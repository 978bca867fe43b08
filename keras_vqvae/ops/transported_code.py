"""Codes by optimal transport: each vector gets one near to it, and all codes about as many."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_vqvae.ops.collectives import all_reduce_sum, gather_rows
from keras_vqvae.ops.highest_score import highest_score
from keras_vqvae.ops.nearest_code import full_product
from keras_vqvae.ops.row_chunks import default_chunk_size, map_chunks

__all__ = ["transported_code"]

# The logarithm of no mass at all, finite so that sums and differences of it are, too.
_NONE = -1e30


def transported_code(
    vectors: Any,
    table: Any,
    epsilon: float = 10.0,
    iterations: int = 5,
    weights: Any = None,
    chunk_size: int | None = None,
) -> Any:
    """A row of `table` for each vector, by the transport plan of least cost that uses all evenly.

    With costs `c_ij = ‖x_i − e_j‖ / σ`, σ the standard deviation of all distances, the plan

    ```
    A = argmin_A Σ A_ij c_ij − H(A) / ε      Σ_j A_ij = 1/N,  Σ_i A_ij = 1/K
    ```

    is that of Sinkhorn's iterations, which start from `exp(−ε c)` and divide in turn the columns,
    then the rows, by their sums. Each vector gets the code of the largest share in its row. That is
    `argmin_j (c_ij − u_j / ε)`: the nearest code, were each of them to give a discount u_j.

    Only the K discounts are kept. Where not all fit into one chunk, distances are computed anew in
    each iteration for `chunk_size` vectors at a time, so that an N × K array never exists. Several
    replicas of TensorFlow make one plan for the vectors of all. No gradient flows through the
    result.

    Args:
        vectors: float tensor `(N, D)`.
        table: float tensor `(K, D)`.
        epsilon: ε > 0. The larger it is, the less a vector gives way, and the more iterations an
            even use takes.
        iterations: how many, at least 1.
        weights: float tensor `(N,)`, 0 for vectors that take no part, or `None`. They get an index
            as well.
        chunk_size: how many vectors are compared at one time. By default as many as keep the
            distances within 16 MiB on a CPU, 32 MiB on an accelerator.

    Returns:
        int32 tensor `(N,)` with values in `[0, K)`.

    References:
        - [Preventing Local Pitfalls in Vector Quantization via Optimal
          Transport](https://arxiv.org/abs/2412.15195)

    Example:
    >>> import numpy as np
    >>> table = np.array([[0.0], [9.0]])  # the first code is nearest to all four
    >>> ops.convert_to_numpy(transported_code(np.array([[0.0], [1.0], [2.0], [3.0]]), table))
    array([0, 0, 1, 1], dtype=int32)
    """
    vectors = ops.stop_gradient(ops.cast(vectors, "float32"))
    table = ops.stop_gradient(ops.cast(table, "float32"))
    if chunk_size is None:
        chunk_size = default_chunk_size(int(table.shape[0]))
    # Far from zero, squares would hold no differences: both are taken from the codes' middle.
    middle = ops.mean(table, axis=0, keepdims=True)
    offsets = table - middle
    norms, columns = ops.sum(ops.square(offsets), axis=-1), ops.transpose(offsets)

    def distances(x: Any) -> Any:
        x = x - middle
        squares = ops.sum(ops.square(x), axis=-1, keepdims=True) - 2.0 * full_product(x, columns)
        return ops.sqrt(ops.maximum(squares + norms, 0.0))

    weights = ops.ones_like(vectors[:, 0]) if weights is None else ops.cast(weights, "float32")
    if isinstance(vectors.shape[0], int) and 0 < vectors.shape[0] <= chunk_size:
        vectors, distances = distances(vectors), lambda x: x  # they fit: computed once
    weighted = ops.concatenate([vectors, ops.expand_dims(weights, -1)], axis=-1)

    def moments(rows: Any) -> Any:
        far, taking_part = distances(rows[:, :-1]), rows[:, -1:]
        sums = (far * taking_part, ops.square(far) * taking_part, taking_part)
        return ops.stack([ops.sum(one) for one in sums])

    total = _fold_chunks(moments, ops.add, ops.zeros((3,), "float32"), weighted, chunk_size)
    total, squares, count = ops.unstack(all_reduce_sum(total), 3)
    pairs = ops.maximum(count, 1.0) * float(table.shape[0])
    deviation = ops.sqrt(ops.maximum(squares / pairs - ops.square(total / pairs), 0.0))
    # Where all distances are the same, no code is nearer than another.
    scale = ops.where(deviation > 0, epsilon / ops.maximum(deviation, 1e-30), 0.0)

    discounts = ops.zeros((table.shape[0],), "float32")
    for i in range(iterations):

        def log_shares(rows: Any, discounts: Any = discounts, by_row: bool = i > 0) -> Any:
            logits = discounts - scale * distances(rows[:, :-1])
            if by_row:
                logits = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
            return ops.logsumexp(ops.where(rows[:, -1:] > 0, logits, _NONE), axis=0)

        none = ops.full((table.shape[0],), _NONE, "float32")
        mass = _fold_chunks(log_shares, ops.logaddexp, none, weighted, chunk_size)
        # Not in a loop of the backend: replicas cannot meet inside of one.
        mass = ops.logsumexp(gather_rows(ops.expand_dims(mass, 0)), axis=0)
        # What all discounts have in common says nothing, and would grow.
        discounts = discounts - mass
        discounts = discounts - ops.max(discounts)
    return map_chunks(
        lambda rows: highest_score(discounts - scale * distances(rows)), vectors, chunk_size
    )


def _fold_chunks(
    function: Callable[[Any], Any],
    combine: Callable[[Any, Any], Any],
    start: Any,
    rows: Any,
    chunk_size: int,
) -> Any:
    """`combine` over `function` of each chunk, from `start`; rows that fill the last one are 0."""
    count = rows.shape[0]
    if isinstance(count, int) and 0 < count <= chunk_size:
        return combine(start, function(rows))
    count = ops.shape(rows)[0]
    chunks = ops.maximum((count + chunk_size - 1) // chunk_size, 1)
    if isinstance(count, int):
        chunks = max(-(-count // chunk_size), 1)
    padded = ops.pad(rows, [[0, chunks * chunk_size - count], [0, 0]])
    stacked = ops.reshape(padded, (chunks, chunk_size, rows.shape[1]))
    folded, _ = ops.scan(lambda carry, x: (combine(carry, function(x)), None), start, stacked)
    return folded
