"""The numbers of `keras.random`, also drawn quickly by XLA of TensorFlow on a CPU."""

from typing import Any

import keras
from keras import ops

__all__ = ["random_normal", "random_uniform"]


def random_uniform(
    shape: Any, seed: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = "float32"
) -> Any:
    """Uniform numbers in [`minval`, `maxval`), those of `keras.random.uniform`.

    Left to itself, XLA of TensorFlow draws them slowly on a CPU. Asked for Philox by name, it
    draws the same numbers many times as fast.

    Args:
        shape: of the numbers; sizes may be unknown when traced.
        seed: a `keras.random.SeedGenerator`, whose state moves on; or what else
            `keras.random.uniform` takes.
        minval: the lowest number.
        maxval: what all numbers are below.
        dtype: a floating-point one.

    Returns:
        A tensor of that shape and dtype.

    Example:
    >>> seed = keras.random.SeedGenerator(0)
    >>> x = random_uniform((100,), seed, minval=2.0, maxval=3.0)
    >>> bool(keras.ops.all((x >= 2.0) & (x < 3.0)))
    True
    """
    if not _by_name(seed):
        return keras.random.uniform(shape, minval, maxval, dtype=dtype, seed=seed)
    import tensorflow as tf

    lowest, bound = (tf.cast(number, dtype) for number in (minval, maxval))
    return tf.random.stateless_uniform(shape, _next(seed), lowest, bound, dtype, alg="philox")


def random_normal(shape: Any, seed: Any, dtype: Any = "float32") -> Any:
    """Standard normal numbers, those of `keras.random.normal`; as `random_uniform`.

    Example:
    >>> tuple(random_normal((2, 3), keras.random.SeedGenerator(0)).shape)
    (2, 3)
    """
    if not _by_name(seed):
        return keras.random.normal(shape, dtype=dtype, seed=seed)
    import tensorflow as tf

    return tf.random.stateless_normal(shape, _next(seed), dtype=dtype, alg="philox")


def _by_name(seed: Any) -> bool:
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return on_tensorflow and isinstance(seed, keras.random.SeedGenerator)


def _next(seed: keras.random.SeedGenerator) -> Any:
    """The generator's next seed, int32 `(2,)`, folded as Keras does."""
    state = ops.convert_to_tensor(seed.next())
    if state.dtype == "int32":
        return state
    return ops.cast(ops.mod(state, 2**31 - 2), "int32")
