"""One tensor's value with another one's gradient."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
from keras import ops

__all__ = ["with_value"]


def with_value(x: Any, value: Any) -> Any:
    """`value` to the last bit, with the gradient of `x`; `value` itself gets none.

    It is `sg(value) + (x − sg(x))`, as `x − x` is exactly zero, where x is finite. On TensorFlow
    and JAX, which would compute that difference and that sum, the gradient is declared instead.

    Args:
        x: float tensor.
        value: float tensor of the same shape.

    Example:
    >>> import numpy as np
    >>> float(with_value(np.float32(0.3), np.float32(1.0)))
    1.0
    """
    if keras.backend.backend() == "tensorflow":
        return _with_value_tensorflow()(x, value)
    if keras.backend.backend() == "jax":
        return _with_value_jax()(ops.convert_to_tensor(x), ops.convert_to_tensor(value))
    x = ops.convert_to_tensor(x)
    zero = ops.where(ops.isfinite(x), x - ops.stop_gradient(x), 0.0)
    return ops.stop_gradient(value) + zero


@cache
def _with_value_tensorflow() -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    @tf.custom_gradient
    def declared(x: Any, value: Any) -> Any:
        return tf.identity(value), lambda upstream: (upstream, None)

    # Variables are read here: inside, they would be ones that the gradient has to know of.
    return lambda x, value: declared(tf.convert_to_tensor(x), tf.convert_to_tensor(value))


@cache
def _with_value_jax() -> Callable[[Any, Any], Any]:
    import jax

    @jax.custom_jvp
    def declared(x: Any, value: Any) -> Any:
        return value

    @declared.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return primals[1], tangents[0].astype(primals[1].dtype)

    return declared
