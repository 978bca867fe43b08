"""How a gradient passes a quantizer: functions of the vectors and their codes.

All take `(vectors, codes, seed=None)`. `seed` is a `keras.random.SeedGenerator` in training and
`None` in evaluation; an estimator that draws noise does so in training only, and in evaluation
every estimator's value is the codes, to the last bit. One that has a method `place(vectors, table,
seed, chunk_size)` chooses where vectors go in training itself.
"""

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vqvae.ops.noise_estimators import NSVQ, DiVeQ, SFDiVeQ
from keras_vqvae.ops.synchronized_update import SynchronizedUpdate
from keras_vqvae.ops.with_value import with_value

__all__ = [
    "GRADIENT_ESTIMATORS",
    "estimator_places_vectors",
    "estimator_replaces_codebook_loss",
    "estimator_trains_codes",
    "get_gradient_estimator",
    "named_estimator",
    "rotation_trick",
    "straight_through",
]


def straight_through(vectors: Any, codes: Any, seed: Any = None) -> Any:
    """The codes, with the gradient of the identity to `vectors`.

    Not written `x + sg(q − x)`, whose gradient is the same: the value is `q` to the last bit.

    Args:
        vectors: float tensor `(..., D)`, what the encoder gave.
        codes: float tensor `(..., D)`, the code of each vector.
        seed: not used: nothing is drawn.

    Returns:
        float tensor `(..., D)`, equal to `codes`.

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §3.2

    Example:
    >>> import numpy as np
    >>> np.asarray(straight_through(np.float32([0.3]), np.float32([1.0])))
    array([1.], dtype=float32)
    """
    vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
    return with_value(vectors, codes)


def rotation_trick(vectors: Any, codes: Any, seed: Any = None) -> Any:
    """The codes, with the gradient of the rotation and scaling that takes `vectors` to them.

    With unit vectors `ê = x / ‖x‖` and `q̂ = q / ‖q‖`, and `w = (ê + q̂) / ‖ê + q̂‖`:

    ```
    out = sg(‖q‖ / ‖x‖) · (x − 2 sg(w wᵀ) x + 2 sg(q̂ êᵀ) x)
    ```

    The map in it is a rotation that takes ê to q̂, so gradients keep their angle to the vector. The
    value is set to `q` to the last bit. No such rotation is defined where the vector or the code is
    zero, or where both point in opposite directions (to single precision); the gradient is the
    straight-through one there.

    Args:
        vectors: float tensor `(..., D)`, what the encoder gave.
        codes: float tensor `(..., D)`, the code of each vector; it gets no gradient.
        seed: not used: nothing is drawn.

    Returns:
        float tensor `(..., D)`, equal to `codes`.

    References:
        - [Restructuring Vector Quantization with the Rotation Trick](https://arxiv.org/abs/2410.06424)

    Example:
    >>> import numpy as np
    >>> np.asarray(rotation_trick(np.float32([[3.0, 0.0]]), np.float32([[0.0, 1.0]])))
    array([[0., 1.]], dtype=float32)
    """
    vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
    x, q = ops.stop_gradient(vectors), ops.stop_gradient(codes)
    x_norm, q_norm = _norm(x), _norm(q)
    # ‖x‖ ≪ ‖q‖ would turn the gradient into a huge one: `x` has no direction to speak of.
    has_direction = ops.logical_and(x_norm > 1e-6 * q_norm, q_norm > 0)
    x_unit = x / ops.where(has_direction, x_norm, 1.0)
    q_unit = q / ops.where(has_direction, q_norm, 1.0)
    between = x_unit + q_unit
    length = _norm(between)
    # The sum of near-opposite unit vectors is all rounding error.
    rotates = ops.logical_and(has_direction, length > 1e-3)
    w = between / ops.where(rotates, length, 1.0)
    scale = q_norm / ops.where(rotates, x_norm, 1.0)
    along_w = ops.sum(w * vectors, axis=-1, keepdims=True)
    along_x = ops.sum(x_unit * vectors, axis=-1, keepdims=True)
    rotated = scale * (vectors - 2.0 * w * along_w + 2.0 * q_unit * along_x)
    return with_value(ops.where(rotates, rotated, vectors), codes)


def _norm(x: Any) -> Any:
    # Scaled first, so that squares neither overflow nor vanish.
    largest = ops.max(ops.abs(x), axis=-1, keepdims=True, initial=0.0)
    safe = ops.where(largest > 0, largest, 1.0)
    return largest * ops.sqrt(ops.sum(ops.square(x / safe), axis=-1, keepdims=True))


GRADIENT_ESTIMATORS: dict[str, Callable[..., Any]] = {
    "straight_through": straight_through,
    "rotation": rotation_trick,
    "synchronized": SynchronizedUpdate(),
    "diveq": DiVeQ(),
    "sf_diveq": SFDiVeQ(),
    "nsvq": NSVQ(),
}


def get_gradient_estimator(identifier: Any) -> Callable[..., Any]:
    """The gradient estimator of that name or config, or a callable as it is.

    A callable takes `(vectors, codes, seed=None)` and may have attributes:

    - `trains_codes`: whether it hands a gradient to the codes. By default it does not.
    - `replaces_codebook_loss`: whether there is no codebook loss then. By default as
      `trains_codes`.
    - `place(vectors, table, seed, chunk_size)`: chooses where vectors go in training, and gives
      values with their gradient, codes (both `(N, D)`) and int32 indices `(N,)`.

    Raises:
        ValueError: for a name that is not registered, and for a class; the message lists the names.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if callable(identifier) and not inspect.isclass(identifier):
        return identifier
    if not isinstance(identifier, str) or identifier not in GRADIENT_ESTIMATORS:
        raise ValueError(
            f"`estimator` should be one of {sorted(GRADIENT_ESTIMATORS)}, or an object such as "
            f"`ops.DiVeQ(noise_std=0.01)`. Received: estimator={identifier!r}"
        )
    return GRADIENT_ESTIMATORS[identifier]


def named_estimator(estimator: Callable[..., Any]) -> Any:
    """The estimator's name if it has one, for configs; else the estimator itself."""
    return next((name for name, e in GRADIENT_ESTIMATORS.items() if e is estimator), estimator)


def estimator_trains_codes(estimator: Callable[..., Any]) -> bool:
    """Whether this estimator hands a gradient to the codes."""
    return bool(getattr(estimator, "trains_codes", False))


def estimator_replaces_codebook_loss(estimator: Callable[..., Any]) -> bool:
    """Whether codes need no codebook loss: by default of each that hands them a gradient."""
    trains_codes = estimator_trains_codes(estimator)
    return bool(getattr(estimator, "replaces_codebook_loss", trains_codes))


def estimator_places_vectors(estimator: Callable[..., Any]) -> bool:
    """Whether this estimator chooses where vectors go in training, by its method `place`."""
    return hasattr(estimator, "place")
