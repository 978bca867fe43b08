"""Search for the best path through the tables of a residual quantizer."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.ops.nearest_code import around_middle, full_product
from keras_vqvae.ops.row_chunks import default_chunk_size, map_chunks
from keras_vqvae.ops.take_rows import take_rows

__all__ = ["residual_beam_search"]


def residual_beam_search(
    vectors: Any, tables: Sequence[Any], beam_size: int, chunk_size: int | None = None
) -> Any:
    """Codes whose sum is near each vector: `argmin ‖x − Σ_i e_{i, k_i}‖²` over paths in a beam.

    At each depth, each of the B best partial sums is continued by its B nearest codes, and the B
    best of those are kept. With B = 1 that is the greedy search of a residual quantizer; with B as
    large as the number of paths to the last table, the search is exact.

    Args:
        vectors: float tensor `(N, D)`.
        tables: Q float tensors `(K_i, D)`.
        beam_size: B, a positive integer.
        chunk_size: how many partial sums are compared with a table at one time. By default as many
            as keep what is held within about 16 MiB on a CPU, 32 MiB on an accelerator.

    Returns:
        int32 tensor `(N, Q)`. No gradient flows through it.

    Raises:
        ValueError: for a beam size below 1.

    Example:
    >>> import numpy as np
    >>> tables = [np.array([[0.0], [2.0]]), np.array([[0.0], [0.9]])]
    >>> x = np.array([[1.1]])  # the nearest code is 2, but 0 + 0.9 ends nearer
    >>> ops.convert_to_numpy(residual_beam_search(x, tables, 1)).tolist()
    [[1, 0]]
    >>> ops.convert_to_numpy(residual_beam_search(x, tables, 2)).tolist()
    [[0, 1]]
    """
    beam_size = check_count("beam_size", beam_size)
    vectors = ops.stop_gradient(ops.cast(vectors, "float32"))
    tables = [ops.stop_gradient(ops.cast(table, "float32")) for table in tables]
    if chunk_size is None:
        widest = max(int(table.shape[0]) for table in tables)
        chunk_size = default_chunk_size(max(widest, beam_size * int(vectors.shape[-1])))
    rows = max(1, chunk_size // beam_size)
    return map_chunks(
        lambda chunk: _search(chunk, tables, beam_size), vectors, rows, (len(tables),)
    )


def _search(vectors: Any, tables: Sequence[Any], beam_size: int) -> Any:
    dim = vectors.shape[-1]
    residuals, paths, beams = vectors[:, None, :], None, 1
    for depth, table in enumerate(tables):
        branches = min(beam_size, int(table.shape[0]))
        near, offsets = around_middle(ops.reshape(residuals, (-1, dim)), table)
        half_norms = 0.5 * ops.sum(ops.square(offsets), axis=-1)
        scores = full_product(near, ops.transpose(offsets)) - half_norms
        nearest = ops.reshape(ops.top_k(scores, branches)[1], (-1, beams * branches))
        left = ops.repeat(residuals, branches, axis=1) - take_rows(table, nearest)
        errors = ops.sum(ops.square(left), axis=-1)
        kept = 1 if depth == len(tables) - 1 else min(beam_size, beams * branches)
        best = ops.top_k(-errors, kept)[1]
        residuals = ops.take_along_axis(left, best[..., None], axis=1)
        codes = ops.take_along_axis(nearest, best, axis=1)[..., None]
        if paths is None:
            paths = codes
        else:
            before = ops.take_along_axis(paths, (best // branches)[..., None], axis=1)
            paths = ops.concatenate([before, codes], axis=-1)
        beams = kept
    return ops.cast(ops.squeeze(paths, axis=1), "int32")
