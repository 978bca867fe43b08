"""A code drawn at random, the nearer the likelier."""

from typing import Any

from keras import ops

from keras_vqvae.ops.cumulative import invert_cumulative
from keras_vqvae.ops.nearest_code import around_middle, full_product
from keras_vqvae.ops.row_chunks import default_chunk_size, map_chunks

__all__ = ["sampled_code"]


def sampled_code(
    vectors: Any, table: Any, uniforms: Any, temperature: Any, chunk_size: int | None = None
) -> Any:
    """A row of `table` for each vector, drawn with probability `softmax_k(−‖x − e_k‖² / τ)`.

    The cumulative distribution is inverted at one uniform number a vector. That is the distribution
    of `argmax_k(−‖x − e_k‖² / τ + Gumbel noise)`, without a random number for each of N × K pairs.
    As in `nearest_code`, an N × K array never exists, and no gradient flows through the result.

    Args:
        vectors: float tensor `(N, D)`.
        table: float tensor `(K, D)`.
        uniforms: float tensor `(N,)` in [0, 1).
        temperature: τ > 0, a number or a scalar tensor.
        chunk_size: how many vectors are compared at one time. By default as many as keep the scores
            within 16 MiB on a CPU, 32 MiB on an accelerator.

    Returns:
        int32 tensor `(N,)` with values in `[0, K)`.

    References:
        - [Autoregressive Image Generation using Residual Quantization](https://arxiv.org/abs/2203.01941),
          stochastic sampling of codes

    Example:
    >>> import numpy as np
    >>> table = np.array([[0.0], [1.0]])  # at 0.5 both are equally near
    >>> ops.convert_to_numpy(sampled_code(np.full((2, 1), 0.5), table, np.array([0.4, 0.6]), 1.0))
    array([0, 1], dtype=int32)
    """
    vectors = ops.stop_gradient(ops.cast(vectors, "float32"))
    vectors, table = around_middle(vectors, ops.stop_gradient(ops.cast(table, "float32")))
    if chunk_size is None:
        chunk_size = default_chunk_size(int(table.shape[0]))
    half_norms = 0.5 * ops.sum(ops.square(table), axis=-1)
    columns = ops.transpose(table)

    def draw(rows: Any) -> Any:
        scores = full_product(rows[:, :-1], columns) - half_norms
        shares = ops.softmax((2.0 / temperature) * scores, axis=-1)
        return invert_cumulative(shares, rows[:, -1])

    uniforms = ops.expand_dims(ops.cast(uniforms, "float32"), -1)
    return map_chunks(draw, ops.concatenate([vectors, uniforms], axis=-1), chunk_size)
