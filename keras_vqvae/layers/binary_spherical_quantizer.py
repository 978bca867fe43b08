"""Quantization to signs on the unit sphere."""

from typing import Any

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Cosine
from keras_vqvae.layers.binary_quantizer import BinaryQuantizer

__all__ = ["BinarySphericalQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class BinarySphericalQuantizer(BinaryQuantizer):
    """Projects a vector onto the unit sphere and takes its signs (BSQ): K = 2^D codes, no table.

    ```
    u     = z / ‖z‖
    q     = sign(u) / √D                     0 counts as −1; a code has length 1
    index = Σ_i 2^i · [z_i > 0]              the first number counts fastest
    ```

    The quantization error is bounded by that of the sphere, whatever the encoder gives. The
    gradient passes straight through to u. The losses are those of `LookupFreeQuantizer` on u, with
    `p(c | u) = softmax(2 u·c / τ)`, a product of `σ(4 u_i / (√D τ))`:

    ```
    commitment_loss = β · mean (u − sg(q))²
    entropy_loss    = w · [E H(p(c | u)) − γ H(E p(c | u))]
    ```

    The second entropy is computed in groups of bits, as the paper approximates it; it is exact up
    to `entropy_group_bits` bits and an upper bound beyond. Masked positions get index −1 and zeros
    and count in no mean. Usage is counted for up to 2²⁰ codes.

    Args:
        num_bits: D, at most 30. The input's last axis has as many numbers.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        entropy_weight: w; a number or a schedule. Defaults to `0.1`.
        diversity_weight: γ; a number or a schedule. Defaults to `1.0`.
        temperature: τ; a number or a schedule. Defaults to `0.01`.
        entropy_group_bits: bits in a group of the second entropy, at most 20. Defaults to `9`, the
            paper's.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32, and
            that of indices is of integers.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the codes are counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for arguments out of range; from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = BinarySphericalQuantizer(num_bits=4)
    >>> z_q, index = layer(np.array([[0.3, -2.0, 0.1, 7.0]]), return_indices=True)
    >>> np.asarray(z_q).tolist(), np.asarray(index).tolist()
    ([[0.5, -0.5, 0.5, 0.5]], [13])

    References:
        - [Image and Video Tokenization with Binary Spherical Quantization](https://arxiv.org/abs/2406.07548)
    """

    def __init__(
        self,
        num_bits: int,
        beta: Any = 0.25,
        entropy_weight: Any = 0.1,
        diversity_weight: Any = 1.0,
        temperature: Any = 0.01,
        entropy_group_bits: int = 9,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_bits,
            beta,
            entropy_weight,
            diversity_weight,
            temperature,
            entropy_group_bits,
            **kwargs,
        )

    @property
    def corner(self) -> float:
        """1/√D."""
        return float(self.num_bits**-0.5)

    def normalize(self, x: Any) -> Any:
        """To length 1."""
        return Cosine().normalize(x)
