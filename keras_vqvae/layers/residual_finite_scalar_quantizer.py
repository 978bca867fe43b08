"""Rounding, and rounding again what is left over."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.finite_scalar_quantizer import FiniteScalarQuantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.layers.residual_depths import ResidualDepths
from keras_vqvae.ops import with_value

__all__ = ["ResidualFiniteScalarQuantizer"]

# L^Q beyond this: the deepest cells would be a few float32 steps wide, and their digits noise.
_MAX_CELLS = 2**20


@keras.saving.register_keras_serializable(PACKAGE)
class ResidualFiniteScalarQuantizer(ResidualDepths):
    """Bounds each number and rounds it to L levels, then what is left over to L finer ones (RFSQ).

    A position has Q indices, one for each depth, as in `ResidualVectorQuantizer`, and there is no
    table, nothing to learn and no loss, as in `FiniteScalarQuantizer`. With L levels and depths
    `i = 0, …, Q − 1`:

    ```
    c       = L / (L − 1)
    r_0     = c · tanh(z / c)                                in (−c, c)
    digit_i = ⌊(L − 1)(L^i r_i + 1) / 2 + ½⌋                 0, …, L − 1
    q_i     = (2 digit_i / (L − 1) − 1) / L^i,   r_{i+1} = r_i − q_i
    z_q     = Σ_i q_i
    ```

    Depth 0 has the symmetric levels in [−1, 1], L cells of width 2 / (L − 1) that fill (−c, c);
    depth i divides each cell of the one before by L. So the digits of the depths are those of one
    number in base L, all L^Q of its values can be reached, and every depth that is left out
    multiplies the largest error by L. An index packs the digits of a depth, the first number of the
    vector counting fastest.

    The gradient passes the rounding straight through, and is that of the bound. With `dropout`, a
    training step uses only the first few depths of a batch or sample; deeper indices are −1.
    Evaluation uses all, and `decode` takes −1 for dropped depths. Masked positions get indices −1
    and zeros. Usage is counted for up to 2²⁰ codes a depth.

    Args:
        num_quantizers: Q, the number of depths.
        levels: L for each number of a vector, integers ≥ 2. The input's last axis has as many
            numbers.
        dropout: `None`, `"batch"`, `"sample"` or `layers.QuantizeDropout(...)`. Defaults to `None`.
        seed: seed of the dropout's draws.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32, and
            that of indices is of integers.

    Call arguments:
        z_e: float tensor `(..., D)` with D = `len(levels)`.
        training: whether depths are dropped and codes counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(..., Q)`.

    Raises:
        ValueError: for levels that are no integers ≥ 2, more than 2³⁰ codes a depth or 2²⁰ values a
            number; from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = ResidualFiniteScalarQuantizer(3, levels=(2,))
    >>> z_q, indices = layer(np.array([[0.3]]), return_indices=True)  # 1 − ½ − ¼
    >>> np.asarray(z_q).tolist(), np.asarray(indices).tolist()
    ([[0.25]], [[1, 0, 0]])

    References:
        - [Finite Scalar Quantization: VQ-VAE Made Simple](https://arxiv.org/abs/2309.15505)
        - [Scaling Transformers for Low-Bitrate High-Quality Speech Coding](https://arxiv.org/abs/2411.19842),
          for symmetric levels and their residuals
    """

    def __init__(
        self,
        num_quantizers: int,
        levels: Sequence[int],
        dropout: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_quantizers, dropout, seed, None, **kwargs)
        self.quantizers = [
            FiniteScalarQuantizer(levels, symmetric=True, dtype="float32", name=f"depth_{i}")
            for i in range(self.num_quantizers)
        ]
        self.levels = self.quantizers[0].levels
        if max(self.levels) ** self.num_quantizers > _MAX_CELLS:
            raise ValueError(
                "A number has at most 2**20 values, for float32 holds no finer ones. Use fewer "
                f"levels or depths. Received: levels={levels!r}, num_quantizers={num_quantizers}"
            )
        # `(D, 1)`, for `(D, N)`, as in each depth.
        self._sizes = np.array(self.levels, "float32")[:, np.newaxis]
        self._reach = self._sizes / (self._sizes - 1.0)
        self._finer = [self._sizes**i for i in range(self.num_quantizers)]

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        if training:
            self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        bounded = self._reach * ops.tanh(ops.transpose(x) / self._reach)
        residual, total, indices = ops.stop_gradient(bounded), None, []
        for i, used in enumerate(self.kept(z_e, valid, training)):
            part = self.quantizers[i]
            steps = part.steps_to(residual * self._finer[i])
            digits = ops.clip(part.rounded(steps), 0.0, self._sizes - 1.0)
            index = part.packed(digits)
            code = part.scaled(digits) / self._finer[i]
            if used is not None:
                index = ops.where(used > 0, index, -1)
                code = code * used
            if training:
                part.count(index, used, x)
            total = code if total is None else total + code
            residual = residual - code
            indices.append(index)
        quantized, codes = ops.transpose(with_value(bounded, total)), ops.transpose(total)
        return self.restore(z_e, valid, quantized, ops.stack(indices, axis=-1), {}, codes)

    def codes_of(self, indices: Any) -> Any:
        codes = [
            part.codes_of(indices[..., i]) / self._finer[i][:, 0]
            for i, part in enumerate(self.quantizers)
        ]
        total = codes[0]
        for code in codes[1:]:  # in the order of `discretize`, for equal bits
            total = total + code
        return total

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels)}
