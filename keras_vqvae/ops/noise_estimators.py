"""Gradient estimators that place the output by noise, and so reach the codes with a gradient."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE, Choice
from keras_vqvae.ops.nearest_code import nearest_code
from keras_vqvae.ops.random_numbers import random_normal, random_uniform
from keras_vqvae.ops.take_rows import take_rows
from keras_vqvae.ops.with_value import with_value

__all__ = ["NSVQ", "DiVeQ", "SFDiVeQ"]


def _step_along(vectors: Any, codes: Any, direction: Any) -> Any:
    """`‖q − x‖ · sg(direction / ‖direction‖)`, with finite gradients at `q = x`."""
    square = ops.sum(ops.square(codes - vectors), axis=-1, keepdims=True)
    distance = ops.where(square > 0, ops.sqrt(ops.where(square > 0, square, 1.0)), 0.0)
    length = ops.sqrt(ops.sum(ops.square(direction), axis=-1, keepdims=True))
    unit = direction / ops.where(length > 0, length, 1.0)
    return distance * ops.stop_gradient(unit)


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
        self.noise_std = check_number("noise_std", noise_std)

    def __call__(self, vectors: Any, codes: Any, seed: Any = None) -> Any:
        vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
        out = vectors + self._step(vectors, codes, seed)
        return with_value(out, codes) if seed is None or self.noise_std == 0 else out

    def _step(self, vectors: Any, codes: Any, seed: Any) -> Any:
        towards = codes - vectors
        if seed is not None and self.noise_std > 0:
            noise = random_normal(ops.shape(towards), seed, towards.dtype)
            towards = towards + self.noise_std * noise
        return _step_along(vectors, codes, towards)

    def get_config(self) -> dict[str, Any]:
        return {"noise_std": self.noise_std}


@keras.saving.register_keras_serializable(PACKAGE)
class SFDiVeQ(DiVeQ):
    """Space-filling DiVeQ: training goes to points on the lines that join codes, not to the codes.

    The lines from each code to the next one in the table make one curve through all of them. A
    training step draws a point on each of its K − 1 segments, and a vector goes to the nearest of
    these points by a step of `DiVeQ` to both ends of its segment:

    ```
    d_j = (1 − λ_j) e_j + λ_j e_{j+1},  λ_j ~ U(0, 1),      j = argmin_i ‖x − d_i‖
    out = x + (1 − λ_j) ‖e_j − x‖ · sg(v / ‖v‖) + λ_j ‖e_{j+1} − x‖ · sg(w / ‖w‖)
    v   = (e_j − x) + noise,   w = (e_{j+1} − x) + noise,   noise ~ N(0, noise_std²)
    ```

    Without the noise, `out` is `d_j`. Each vector moves two codes, and the curve pulls those along
    that no vector is near to. The index is that of the nearer end. In evaluation the value is the
    nearest code: the authors take the nearest point of the curve there, which no index names.

    They start from vectors of the encoder after 1 000 steps without a quantizer;
    `embeddings_initializer="kmeans"` starts from those of the first step. In residual quantizers
    each depth gives such a point, and one step of `DiVeQ` goes to their sum.

    Args:
        noise_std: standard deviation of the noise. Defaults to `0.001`.

    References:
        - [DiVeQ: Differentiable Vector Quantization](https://arxiv.org/abs/2509.26469), SF-DiVeQ

    Example:
    >>> import numpy as np
    >>> np.asarray(SFDiVeQ()(np.float32([[0.3, 0.2]]), np.float32([[1.0, 0.0]])))
    array([[1., 0.]], dtype=float32)
    """

    def place(
        self, vectors: Any, table: Any, seed: Any, chunk_size: int | None = None
    ) -> tuple[Any, Any, Any]:
        """Where vectors go in training.

        Args:
            vectors: float32 `(N, D)`.
            table: float32 `(K, D)`, K ≥ 2.
            seed: a `keras.random.SeedGenerator`.
            chunk_size: how many vectors are compared at one time, as for `nearest_code`.

        Returns:
            The value `(N, D)`, the points `(N, D)` that stand for codes, and int32 `(N,)`.

        Raises:
            ValueError: for a table of one code, which makes no curve.
        """
        vectors, table = ops.convert_to_tensor(vectors), ops.convert_to_tensor(table)
        segments = int(table.shape[0]) - 1
        if segments < 1:
            raise ValueError(
                f"`estimator={self!r}` joins codes by lines, so the table should have at least two "
                f"codes. Received: a table of shape {tuple(table.shape)}"
            )
        shares = random_uniform((segments, 1), seed)
        points = (1.0 - shares) * table[:-1] + shares * table[1:]
        chosen = nearest_code(vectors, points, chunk_size)
        share = take_rows(shares, chosen)
        first, second = (take_rows(table, chosen + i) for i in (0, 1))
        step = (1.0 - share) * self._step(vectors, first, seed)
        out = vectors + step + share * self._step(vectors, second, seed)
        indices = chosen + ops.cast(share[:, 0] > 0.5, "int32")
        return out, take_rows(points, chosen), indices


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
            return with_value(vectors + _step_along(vectors, codes, codes - vectors), codes)
        noise = random_normal(ops.shape(codes), seed, codes.dtype)
        return vectors + _step_along(vectors, codes, noise)
