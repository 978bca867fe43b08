"""Levels that training blurs instead of rounding to them."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.scalar_quantizer import ScalarQuantizer
from keras_vqvae.ops import all_reduce_sum, random_uniform
from keras_vqvae.saved_generator import SavedGenerator
from keras_vqvae.seeds import check_seed

__all__ = ["FiniteScalarPerturbation"]

# Of the logistic distribution that `(tanh z + 1) / 2` makes uniform.
_VARIANCE = math.pi**2 / 12
# A uniform number in [0, 1] times this has variance 1.
_SPREAD = math.sqrt(12.0)


@keras.saving.register_keras_serializable(PACKAGE)
class FiniteScalarPerturbation(SavedGenerator, ScalarQuantizer):
    """Divides each number's range into a few bins; training adds noise as wide as a bin (FSP).

    Number i of a vector falls into one of `levels[i]` bins of equal width, so that there are
    K = Π levels codes without a table. Where `FiniteScalarQuantizer` rounds in training too and
    passes the gradient straight through, here the decoder sees what it will see, an error of up to
    half a bin, by noise with an exact gradient. With L levels:

    ```
    u     = (tanh z + 1) / 2                             in (0, 1)
    code  = √12 (v − ½)                                  variance 1 if u is uniform
    v     = u + U(−1/2L, 1/2L), or u if that leaves (0, 1)       in training
    v     = (⌊u L⌋ + ½) / L                              in evaluation: the middle of the bin
    index = Σ_i ⌊u_i L_i⌋ · Π_{j<i} L_j                  the first number counts fastest
    moment_loss = w₁ mean_i m_i² + w₂ mean_i (s_i² − π²/12)²
    ```

    with m and s² the mean and the (unbiased) variance of z over the valid vectors of a batch, on
    all replicas. The loss keeps z about where u is uniform and all bins are used alike: there z is
    logistic, with mean 0 and variance π²/12. In evaluation the gradient passes the rounding
    straight through. Masked positions get index −1 and zeros, and count in no moment. Usage is
    counted for up to 2²⁰ codes.

    Args:
        levels: how many bins each number of a vector has, integers ≥ 2. The input's last axis has
            as many numbers.
        mean_weight: w₁ ≥ 0. Defaults to `0.1`, the authors'.
        variance_weight: w₂ ≥ 0. Defaults to `0.07`, the authors'.
        seed: seed of the noise.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32, and
            that of indices is of integers.

    Call arguments:
        z_e: float tensor `(..., D)` with D = `len(levels)`.
        training: whether noise is added in place of rounding, and the codes are counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for levels that are no integers ≥ 2, more than 2³⁰ codes, or weights below 0;
            from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = FiniteScalarPerturbation((2, 4))
    >>> z_q, index = layer(np.array([[9.0, -9.0]]), return_indices=True)
    >>> np.asarray(z_q, "float64").round(3).tolist(), np.asarray(index).tolist()
    ([[0.866, -1.299]], [1])

    References:
        - [VP-VAE: Rethinking Vector Quantization via Adaptive Vector
          Perturbation](https://arxiv.org/abs/2602.17133), FSP
    """

    def __init__(
        self,
        levels: Sequence[int],
        mean_weight: float = 0.1,
        variance_weight: float = 0.07,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(levels, **kwargs)
        self.mean_weight = check_number("mean_weight", mean_weight)
        self.variance_weight = check_number("variance_weight", variance_weight)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def bounded(self, x: Any) -> Any:
        return (ops.tanh(x) + 1.0) / 2.0 * self.sizes - 0.5

    def scaled(self, steps: Any) -> Any:
        return _SPREAD * ((steps + 0.5) / self.sizes - 0.5)

    def rounded(self, steps: Any) -> Any:
        # A large number is at the very end of its range, which no bin begins at.
        return ops.minimum(super().rounded(steps), self.sizes - 1.0)

    def passed_on(self, steps: Any, digits: Any, training: bool) -> Any:
        if not training:
            return super().passed_on(steps, digits, training)
        noise = random_uniform(ops.shape(steps), self.seed_generator, -0.5, 0.5)
        moved = steps + noise
        inside = ops.logical_and(moved > -0.5, moved < self.sizes - 0.5)
        return steps + ops.where(inside, noise, 0.0)

    def losses_of(self, columns: Any, valid: Any) -> dict[str, Any]:
        weights = ops.ones_like(columns[:1]) if valid is None else ops.expand_dims(valid, 0)
        count = all_reduce_sum(ops.sum(weights))
        total = all_reduce_sum(ops.sum(columns * weights, axis=1, keepdims=True))
        mean = total / ops.maximum(count, 1.0)
        squares = all_reduce_sum(ops.sum(ops.square(columns - mean) * weights, axis=1))
        variance = squares / ops.maximum(count - 1.0, 1.0)
        of_mean = self.mean_weight * ops.mean(ops.square(mean))
        of_variance = self.variance_weight * ops.mean(ops.square(variance - _VARIANCE))
        return {"moment_loss": ops.where(count > 0, of_mean + of_variance, 0.0)}

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("moment_loss",)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mean_weight": self.mean_weight,
            "variance_weight": self.variance_weight,
            "seed": self.seed,
        }
