"""Gradient estimators that place the output by noise, and so reach the codes with a gradient."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE, Choice

__all__ = ["NSVQ", "DiVeQ", "with_value"]


def with_value(x: Any, value: Any) -> Any:
    """`value` to the last bit, with the gradient of `x`: `sg(value) + (x − sg(x))`."""
    return ops.stop_gradient(value) + (x - ops.stop_gradient(x))


def _distance_along(vectors: Any, codes: Any, direction: Any) -> Any:
    """`x + ‖q − x‖ · sg(direction / ‖direction‖)`, with finite gradients at `q = x`."""
    square = ops.sum(ops.square(codes - vectors), axis=-1, keepdims=True)
    distance = ops.where(square > 0, ops.sqrt(ops.where(square > 0, square, 1.0)), 0.0)
    length = ops.sqrt(ops.sum(ops.square(direction), axis=-1, keepdims=True))
    unit = direction / ops.where(length > 0, length, 1.0)
    return vectors + distance * ops.stop_gradient(unit)


@keras.saving.register_keras_serializable(PACKAGE)
class DiVeQ(Choice):
    """Differentiable vector quantization: a step of the true length in a slightly noisy direction.

    ```
    v   = (q − x) + noise,  noise ~ N(0, noise_std²)
    out = x + ‖q − x‖ · sg(v / ‖v‖)
    ```

    The gradient reaches both the vector and its code through the length of the step, so the table
    learns from the task's loss, and no codebook loss is needed. In evaluation the value is `q`.

    Args:
        noise_std: standard deviation of the noise (the authors' code calls it a variance). Defaults
            to `0.001`.

    References:
        - [DiVeQ: Differentiable Vector Quantization](https://arxiv.org/abs/2509.26469)

    Example:
    >>> import numpy as np
    >>> np.asarray(DiVeQ(noise_std=0.1)(np.float32([[0.3, 0.2]]), np.float32([[1.0, 0.0]])))
    array([[1., 0.]], dtype=float32)
    """

    trains_codes = True

    def __init__(self, noise_std: float = 0.001) -> None:
        if noise_std < 0:
            raise ValueError(f"`noise_std` should be ≥ 0. Received: noise_std={noise_std}")
        self.noise_std = noise_std

    def __call__(self, vectors: Any, codes: Any, seed: Any = None) -> Any:
        vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
        towards = codes - vectors
        if seed is None or self.noise_std == 0:
            return with_value(_distance_along(vectors, codes, towards), codes)
        noise = keras.random.normal(ops.shape(towards), dtype=towards.dtype, seed=seed)
        return _distance_along(vectors, codes, towards + self.noise_std * noise)

    def get_config(self) -> dict[str, Any]:
        return {"noise_std": self.noise_std}


@keras.saving.register_keras_serializable(PACKAGE)
class NSVQ(Choice):
    """Noise substitution: in training, the quantization error is replaced by noise as long as it.

    ```
    out = x + ‖q − x‖ · v / ‖v‖,  v ~ N(0, I)
    ```

    As with `DiVeQ`, the gradient reaches vector and code through the length. In evaluation the
    value is `q`.

    References:
        - [NSVQ: Noise Substitution in Vector Quantization](https://doi.org/10.1109/ACCESS.2022.3147670)

    Example:
    >>> import numpy as np
    >>> np.asarray(NSVQ()(np.float32([[0.3, 0.2]]), np.float32([[1.0, 0.0]])))
    array([[1., 0.]], dtype=float32)
    """

    trains_codes = True

    def __call__(self, vectors: Any, codes: Any, seed: Any = None) -> Any:
        vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
        if seed is None:
            return with_value(_distance_along(vectors, codes, codes - vectors), codes)
        noise = keras.random.normal(ops.shape(codes), dtype=codes.dtype, seed=seed)
        return _distance_along(vectors, codes, noise)
