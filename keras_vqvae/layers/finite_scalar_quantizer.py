"""Quantization by rounding: the table is a grid that nobody stores."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.quantizer import Quantizer, QuantizerOutput
from keras_vqvae.ops import check_index_bits, pack_digits, unpack_digits, with_value

__all__ = ["FiniteScalarQuantizer", "check_levels"]

# Bounds are drawn in by this much, so that the outermost levels are no wider than they need be.
_EPSILON = 1e-3


@keras.saving.register_keras_serializable(PACKAGE)
class FiniteScalarQuantizer(Quantizer):
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

    The paper's levels: `(8, 6, 5)` for about 2⁸ codes, `(8, 5, 5, 5)` for 2¹⁰, `(7, 5, 5, 5, 5)`
    for 2¹², `(8, 8, 8, 6, 5)` for 2¹⁴, `(8, 8, 8, 5, 5, 5)` for 2¹⁶. Masked positions get index −1
    and zeros. Usage is counted for up to 2²⁰ codes.

    Args:
        levels: how many values each number of a vector may take, integers ≥ 2. The input's last
            axis has as many numbers.
        symmetric: whether the levels lie symmetric to 0. Defaults to `False`, the paper's.
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
        ValueError: for levels that are no integers ≥ 2, or more than 2³⁰ codes; from `build`, for a
            last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = FiniteScalarQuantizer((3, 5))
    >>> z_q, index = layer(np.array([[9.0, -9.0]]), return_indices=True)
    >>> np.asarray(z_q).tolist(), np.asarray(index).tolist(), layer.num_embeddings
    ([[1.0, -1.0]], [2], 15)

    References:
        - [Finite Scalar Quantization: VQ-VAE Made Simple](https://arxiv.org/abs/2309.15505)
        - [Scaling Transformers for Low-Bitrate High-Quality Speech Coding](https://arxiv.org/abs/2411.19842),
          for the symmetric form
    """

    def __init__(self, levels: Sequence[int], symmetric: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.levels = check_levels(levels)
        check_index_bits(self.levels, "Use fewer levels, or several indices by `GroupedQuantizer`.")
        self.symmetric = bool(symmetric)
        # Steps and digits are `(D, N)`: along rows of D numbers TensorFlow takes twice as long.
        self._sizes = np.array(self.levels, "float32")[:, np.newaxis]
        self._counter: Any = None

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_last_axis(input_shape)
        self._counter = self.make_counter()
        self.built = True

    def _bounded(self, x: Any) -> Any:
        """What is rounded, in steps of one level; `(D, N)` as all of these are."""
        sizes = self._sizes
        if self.symmetric:
            steps = self.steps_to(ops.tanh(x))
        else:
            half = (sizes - 1.0) * (1.0 - _EPSILON) / 2.0
            offset = np.where(sizes % 2 == 0, np.float32(0.5), np.float32(0.0))
            shift = np.arctanh(np.where(sizes > 2, offset / half, 0.0)).astype("float32")
            steps = half * ops.tanh(x + shift) + (sizes // 2 - offset)
        return steps

    def steps_to(self, values: Any) -> Any:
        """How many levels above the lowest one `values` are: the inverse of `scaled`."""
        if self.symmetric:
            return (self._sizes - 1.0) * (values + 1.0) / 2.0
        return values * (self._sizes // 2) + self._sizes // 2

    def rounded(self, steps: Any) -> Any:
        """The nearest level, float32: in [0, L) for what is bounded."""
        return ops.stop_gradient(ops.floor(steps + 0.5))

    def scaled(self, steps: Any) -> Any:
        """Levels, or what they were rounded from, to codes."""
        if self.symmetric:
            return 2.0 * steps / (self._sizes - 1.0) - 1.0
        return (steps - self._sizes // 2) / (self._sizes // 2)

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        steps = self._bounded(ops.transpose(x))
        digits = self.rounded(steps)
        quantized = ops.transpose(self.scaled(with_value(steps, digits)))
        codes = ops.stop_gradient(quantized)
        indices = self.packed(digits)
        if training:
            self.count(indices, valid, x)
        return self.restore(z_e, valid, quantized, indices, {}, codes)

    def packed(self, digits: Any) -> Any:
        """The indices `(N,)` of levels."""
        # A number that is not finite has no digit, and gets any index of the table.
        return ops.clip(pack_digits(digits, self.levels, axis=0), 0, self.num_embeddings - 1)

    def codes_of(self, indices: Any) -> Any:
        indices = ops.convert_to_tensor(indices)
        digits = unpack_digits(ops.reshape(ops.maximum(indices, 0), (-1,)), self.levels)
        codes = ops.transpose(self.scaled(ops.cast(ops.transpose(digits), "float32")))
        codes = ops.reshape(codes, (*ops.shape(indices), self.embedding_dim))
        return ops.where(ops.expand_dims(indices >= 0, -1), codes, 0.0)

    @property
    def num_embeddings(self) -> int:
        """K = Π levels."""
        return math.prod(self.levels)

    @property
    def embedding_dim(self) -> int:
        """D, the number of levels."""
        return len(self.levels)

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(K, D)`, of the table that is not stored."""
        return (self.num_embeddings, self.embedding_dim)

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ()

    @property
    def code_counts(self) -> Any:
        return self._counter

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels), "symmetric": self.symmetric}


def check_levels(levels: Any) -> tuple[int, ...]:
    """The numbers of levels as integers.

    Raises:
        ValueError: if they are no sequence of integers ≥ 2.
    """
    sequence = not isinstance(levels, Integral | str) and len(levels) > 0
    if not sequence or any(isinstance(n, bool) or not isinstance(n, Integral) for n in levels):
        raise ValueError(
            f"`levels` should be a sequence of integers ≥ 2. Received: levels={levels!r}"
        )
    if min(levels) < 2 or max(levels) > 2**20:
        raise ValueError(
            "`levels` should be integers from 2 to 2**20, beyond which float32 holds no finer "
            f"ones. Received: levels={levels!r}"
        )
    return tuple(int(n) for n in levels)
