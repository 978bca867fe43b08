"""How often each integer occurs: by the backend's own counter where it has a fast one."""

from typing import Any

import keras
from keras import ops

__all__ = ["histogram"]


def histogram(values: Any, size: int, weights: Any = None) -> Any:
    """The number of times that each of `0 … size − 1` occurs, as float32 `(size,)`.

    On a CPU, TensorFlow's sum of segments takes scalars one by one, as rows of length 1; its bin
    counter is made for them.

    Args:
        values: int32 tensor `(N,)` with values in `[0, size)`.
        size: how many bins.
        weights: float32 tensor `(N,)`, what each value counts; no gradient flows into it. By
            default 1.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        weights = tf.constant([], "float32") if weights is None else ops.stop_gradient(weights)
        return tf.raw_ops.DenseBincount(input=values, size=size, weights=weights)
    if weights is None:
        weights = ops.ones_like(values, dtype="float32")
    return ops.segment_sum(ops.stop_gradient(weights), values, size)
