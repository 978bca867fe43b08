"""Mean squares: on TensorFlow by an operation that passes over the values once, and once back."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.ops.collectives import sum_of_squares
from keras_vqvae.ops.reductions import mean_over_valid

__all__ = ["mean_square"]


def mean_square(differences: Any, weights: Any = None) -> Any:
    """The mean of `differences²` `(N, ...)` over the rows that `weights` `(N,)` marks as valid.

    It is `mean_over_valid(differences²)`, without the arrays as large as the differences that
    TensorFlow makes for the square, and for the gradient of square and mean.

    Args:
        differences: float32 tensor `(N, ...)`.
        weights: float32 `(N,)` of 0 and 1, or `None`.

    Returns:
        float32 scalar; 0 if no row is valid, or there is none.

    Example:
    >>> import numpy as np
    >>> float(mean_square(np.float32([[3.0, 1.0], [7.0, 7.0]]), np.float32([1.0, 0.0])))
    5.0
    """
    if weights is not None or keras.backend.backend() != "tensorflow":
        return mean_over_valid(ops.square(differences), weights)
    count = ops.maximum(ops.size(differences), 1)
    return sum_of_squares(differences) * (1.0 / ops.cast(count, "float32"))
