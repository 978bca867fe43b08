"""How a gradient passes a quantizer: functions of the vectors and their codes."""

from collections.abc import Callable
from typing import Any

from keras import ops

__all__ = ["GRADIENT_ESTIMATORS", "get_gradient_estimator", "straight_through"]


def straight_through(vectors: Any, codes: Any) -> Any:
    """The codes, with the gradient of the identity to `vectors`.

    Written `sg(q) + (x − sg(x))` rather than `x + sg(q − x)`: the gradient is the same, and the
    value is `q` to the last bit, since `x − x` is exactly zero.

    Args:
        vectors: float tensor `(..., D)`, what the encoder gave.
        codes: float tensor `(..., D)`, the code of each vector.

    Returns:
        float tensor `(..., D)`, equal to `codes`.

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §3.2

    Example:
    >>> import numpy as np
    >>> np.asarray(straight_through(np.array([0.3]), np.array([1.0])))
    array([1.], dtype=float32)
    """
    vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
    return ops.stop_gradient(codes) + (vectors - ops.stop_gradient(vectors))


GRADIENT_ESTIMATORS: dict[str, Callable[[Any, Any], Any]] = {"straight_through": straight_through}


def get_gradient_estimator(identifier: str) -> Callable[[Any, Any], Any]:
    """The gradient estimator of that name.

    Raises:
        ValueError: for a name that is not registered; the message lists those that are.
    """
    if identifier not in GRADIENT_ESTIMATORS:
        raise ValueError(
            f"`estimator` should be one of {sorted(GRADIENT_ESTIMATORS)}. "
            f"Received: estimator={identifier!r}"
        )
    return GRADIENT_ESTIMATORS[identifier]
