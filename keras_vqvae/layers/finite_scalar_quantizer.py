"""Quantization by rounding: the table is a grid that nobody stores."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_share
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.scalar_quantizer import ScalarQuantizer
from keras_vqvae.ops import random_uniform, with_value
from keras_vqvae.saved_generator import SavedGenerator
from keras_vqvae.seeds import check_seed

__all__ = ["FiniteScalarQuantizer"]

# Bounds are drawn in by this share, so that the outermost levels are no wider than they need be; of
# many levels by less, as half a level at each end has to be left.
_EPSILON = np.float32(1e-3)


@keras.saving.register_keras_serializable(PACKAGE)
class FiniteScalarQuantizer(SavedGenerator, ScalarQuantizer):
    """Bounds each number of a vector and rounds it to one of a few levels (FSQ).

    Number i of a vector takes one of `levels[i]` values, so there are K = Π levels codes without a
    table: nothing to learn, to initialise or to revive, and no loss. With L levels:

    ```
    h     = (L − 1)(1 − ε) / 2,   o = ½ if L is even else 0,   ε = 10⁻³
    ẑ     = round(h · tanh(z + atanh(o / h)) − o)        an integer in [−⌊L/2⌋, L − 1 − ⌊L/2⌋]
    code  = ẑ / ⌊L/2⌋                                    in [−1, 1]
    index = Σ_i (ẑ_i + ⌊L_i/2⌋) · Π_{j<i} L_j            the first number counts fastest
    ```

    The gradient passes the rounding straight through, and is that of the bound. `z = 0` is the
    middle level. For L = 2 that shift does not exist (o > h); it is 0 then, and `z ≥ 0` and `z < 0`
    are the two levels. With `symmetric=True` the levels are spread evenly over [−1, 1] instead:

    ```
    digit = ⌊(L − 1)(tanh z + 1) / 2 + ½⌋,   code = 2 digit / (L − 1) − 1
    ```

    With `noise_dropout` p, training rounds each number with probability 1 − p only. The others get
    noise of the size of a rounding error, uniform in ±½ of the distance of two levels, as far as
    that stays between the outermost ones; indices and `codes` are those of the rounding.

    Levels below 8 are wide: the outputs of an encoder that has not learned may all lie within the
    middle ones, whose code is zeros. A decoder of ReLUs whose biases start at 0 passes no gradient
    there, and the model never starts. With `symmetric=True` and even levels there is no such code.

    The paper's levels: `(8, 6, 5)` for about 2⁸ codes, `(8, 5, 5, 5)` for 2¹⁰, `(7, 5, 5, 5, 5)`
    for 2¹², `(8, 8, 8, 6, 5)` for 2¹⁴, `(8, 8, 8, 5, 5, 5)` for 2¹⁶. Masked positions get index −1
    and zeros. Usage is counted for up to 2²⁰ codes.

    Args:
        levels: how many values each number of a vector may take, integers ≥ 2. The input's last
            axis has as many numbers.
        symmetric: whether the levels lie symmetric to 0. Defaults to `False`, the paper's.
        noise_dropout: p, the share of numbers in [0, 1] that training perturbs instead of rounding
            them. Defaults to `0.0`.
        seed: seed of that noise.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32, and
            that of indices is of integers.

    Call arguments:
        z_e: float tensor `(..., D)` with D = `len(levels)`.
        training: whether the codes are counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for levels that are no integers ≥ 2, more than 2³⁰ codes, or a share out of
            range; from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = FiniteScalarQuantizer((3, 5))
    >>> z_q, index = layer(np.array([[9.0, -9.0]]), return_indices=True)
    >>> np.asarray(z_q).tolist(), np.asarray(index).tolist(), layer.num_embeddings
    ([[1.0, -1.0]], [2], 15)

    References:
        - [Finite Scalar Quantization: VQ-VAE Made Simple](https://arxiv.org/abs/2309.15505)
        - [Scaling Transformers for Low-Bitrate High-Quality Speech Coding](https://arxiv.org/abs/2411.19842),
          §3.2, for the symmetric form and the noise
    """

    def __init__(
        self,
        levels: Sequence[int],
        symmetric: bool = False,
        noise_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(levels, **kwargs)
        self.symmetric = bool(symmetric)
        self.noise_dropout = check_share("noise_dropout", noise_dropout, "[0, 1]")
        self.seed = check_seed(seed)
        if self.noise_dropout > 0.0:
            self.seed_generator = keras.random.SeedGenerator(self.seed)

    def bounded(self, x: Any) -> Any:
        sizes = self.sizes
        if self.symmetric:
            steps = self.steps_to(ops.tanh(x))
        else:
            half = (sizes - 1.0) * (1.0 - np.minimum(_EPSILON, 0.5 / sizes)) / 2.0
            offset = np.where(sizes % 2 == 0, np.float32(0.5), np.float32(0.0))
            shift = np.arctanh(np.where(sizes > 2, offset / half, 0.0)).astype("float32")
            steps = half * ops.tanh(x + shift) + (sizes // 2 - offset)
        return steps

    def steps_to(self, values: Any) -> Any:
        """How many levels above the lowest one `values` are: the inverse of `scaled`."""
        if self.symmetric:
            return (self.sizes - 1.0) * (values + 1.0) / 2.0
        return values * (self.sizes // 2) + self.sizes // 2

    def passed_on(self, steps: Any, digits: Any, training: bool) -> Any:
        if not training or self.seed_generator is None:
            return super().passed_on(steps, digits, training)
        draw = random_uniform(ops.shape(steps), self.seed_generator)
        # A number below p is, divided by p, uniform again.
        noise = draw / self.noise_dropout - 0.5
        moved = ops.clip(steps + noise, 0.0, self.sizes - 1.0)
        return with_value(steps, ops.where(draw < self.noise_dropout, moved, digits))

    def scaled(self, steps: Any) -> Any:
        if self.symmetric:
            return 2.0 * steps / (self.sizes - 1.0) - 1.0
        return (steps - self.sizes // 2) / (self.sizes // 2)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "symmetric": self.symmetric,
            "noise_dropout": self.noise_dropout,
            "seed": self.seed,
        }
