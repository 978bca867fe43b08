"""Random rows of a batch, drawn so that it compiles and ignores masked rows."""

from typing import Any

from keras import ops

from keras_vqvae.ops import take_rows

__all__ = ["spread_rows", "uniform_rows"]


def _rows_at(vectors: Any, positions: Any, weights: Any) -> Any:
    """The rows at positions in [0, 1) of the list of valid rows; zeros if there are no rows."""

    def none() -> Any:
        return ops.zeros((positions.shape[0], vectors.shape[1]), vectors.dtype)

    if vectors.shape[0] == 0:
        return none()
    if vectors.shape[0] is None:  # a replica's last batch can be empty
        return ops.cond(
            ops.shape(vectors)[0] > 0, lambda: _chosen_rows(vectors, positions, weights), none
        )
    return _chosen_rows(vectors, positions, weights)


def _chosen_rows(vectors: Any, positions: Any, weights: Any) -> Any:
    if weights is None:
        count = ops.shape(vectors)[0]
        rows = ops.cast(ops.floor(positions * ops.cast(count, "float32")), "int32")
        return take_rows(vectors, ops.clip(rows, 0, count - 1))
    upto = ops.cumsum(ops.cast(weights, "float32"))
    # The first row whose running count exceeds the target is a valid one.
    rows = ops.searchsorted(upto, ops.floor(positions * upto[-1]), side="right")
    rows = ops.minimum(ops.cast(rows, "int32"), ops.shape(vectors)[0] - 1)
    return take_rows(vectors, rows)


def uniform_rows(vectors: Any, uniforms: Any, weights: Any = None) -> Any:
    """A random valid row of `vectors` `(N, D)` for each of the `uniforms` `(K,)`, with return."""
    return _rows_at(vectors, uniforms, weights)


def spread_rows(vectors: Any, uniforms: Any, weights: Any = None) -> Any:
    """A random valid row from each of K equal parts of `vectors`.

    They are K different ones if N ≥ K, but where rounding takes a row at the border of two parts.
    """
    count = uniforms.shape[0]
    positions = (ops.cast(ops.arange(count), "float32") + uniforms) / float(count)
    return _rows_at(vectors, ops.minimum(positions, 1.0 - 2.0**-24), weights)
