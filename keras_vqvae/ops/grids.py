"""Grids of vectors in other sizes, by constant matrices: the same on every backend."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

__all__ = ["area_matrix", "cubic_matrix", "resize_grid"]


def area_matrix(size: int, new_size: int) -> np.ndarray:
    """The matrix `(new_size, size)` of means over bins: each output is the mean of what it covers.

    Bin i is `[⌊i · size / new_size⌋, ⌈(i + 1) · size / new_size⌉)`, as in adaptive pooling.

    Example:
    >>> area_matrix(3, 2).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    """
    matrix = np.zeros((new_size, size), "float32")
    for i in range(new_size):
        first, last = i * size // new_size, -(-(i + 1) * size // new_size)
        matrix[i, first:last] = 1.0 / (last - first)
    return matrix


def _cubic_weight(x: float) -> float:
    a, x = -0.75, abs(x)
    if x <= 1.0:
        return (a + 2.0) * x**3 - (a + 3.0) * x**2 + 1.0
    return a * (x**3 - 5.0 * x**2 + 8.0 * x - 4.0) if x < 2.0 else 0.0


def cubic_matrix(size: int, new_size: int) -> np.ndarray:
    """The matrix `(new_size, size)` of cubic interpolation along one axis.

    Output i lies at `(i + ½) · size / new_size − ½`; beyond the border its values repeat. The
    kernel is cubic convolution with a = −0.75, PyTorch's.

    Example:
    >>> cubic_matrix(1, 2).tolist()
    [[1.0], [1.0]]
    """
    matrix = np.zeros((new_size, size))
    for i in range(new_size):
        at = (i + 0.5) * size / new_size - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            matrix[i, min(max(j, 0), size - 1)] += _cubic_weight(at - j)
    return matrix.astype("float32")


def resize_grid(grid: Any, matrices: Sequence[np.ndarray]) -> Any:
    """Applies a matrix along each axis of a grid.

    Args:
        grid: float32 `(batch, *sizes, D)`.
        matrices: `(new_size, size)` for each axis.

    Returns:
        float32 `(batch, *new_sizes, D)`.
    """
    for axis, matrix in enumerate(matrices, start=1):
        before, after = "abcd"[:axis], "efgh"[: len(matrices) + 1 - axis]
        grid = ops.einsum(f"ji,{before}i{after}->{before}j{after}", matrix, grid)
    return grid
