"""The highest of many scores: by the backend's argmax, and on a CPU by maxima before it.

`keras.ops.argmin` is several times slower than the product it follows, and breaks ONNX and LiteRT
export on TensorFlow; the backend's own argmax does neither. On a CPU that one, too, takes a number
at a time: there the maxima of blocks are taken first, and of lanes in TensorFlow's XLA.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.compilation import has_accelerator, in_xla_of_tensorflow
from keras_vqvae.ops.take_rows import take_rows

__all__ = ["block_length", "highest_in_lanes", "highest_score", "laid_in_lanes", "lanes_for"]


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
    block = block_length(count)
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


def block_length(count: int | None) -> int | None:
    """How many scores a maximum is taken of; `None` where all K are better compared at once."""
    if count is None or has_accelerator():
        return None
    if keras.backend.backend() == "tensorflow":
        # A row costs its argmax more than the numbers in it: two searches of about √K.
        return 1 << ((count - 1).bit_length() + 1) // 2 if count >= 512 else None
    # XLA's argmax is quick for up to 16 numbers.
    return 16 if count > 16 else None


def lanes_for(count: int | None) -> tuple[int, ...]:
    """The factors of the number of codes by which TensorFlow's XLA compares them; `()` elsewhere.

    Their product is `count` or little more. Maxima of numbers that lie next to one another take XLA
    longer than those of numbers that lie a lane's width apart: of these, many are taken at once.
    """
    if count is None or count < 64 or has_accelerator() or not in_xla_of_tensorflow():
        return ()
    inner = (8,) * max(0, math.ceil(math.log2(count / 128) / 3))
    ways = [(first, *inner, -(-count // (first * math.prod(inner)))) for first in (8, 7, 6, 5)]
    return min((way for way in ways if way[-1] <= 16), key=math.prod)


def laid_in_lanes(rows: Any, lanes: tuple[int, ...]) -> Any:
    """Rows in the order in which `highest_in_lanes` wants their scores.

    For lanes (2, 3) it is 0 2 4 1 3 5: the first maxima are those of 0 and 1, 2 and 3, 4 and 5, so
    that the lowest lane has the lowest codes.
    """
    axes = range(len(lanes))
    stacked = ops.reshape(rows, (*reversed(lanes), rows.shape[1]))
    return ops.reshape(ops.transpose(stacked, (*reversed(axes), len(lanes))), rows.shape)


def highest_in_lanes(scores: Any, lanes: tuple[int, ...]) -> Any:
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
