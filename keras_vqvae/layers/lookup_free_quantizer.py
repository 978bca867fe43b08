"""Quantization to signs."""

from typing import Any

import keras

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.binary_quantizer import BinaryQuantizer

__all__ = ["LookupFreeQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class LookupFreeQuantizer(BinaryQuantizer):
    """Replaces each number of a vector by its sign (LFQ): K = 2^D codes without a table.

    ```
    q     = s · sign(z)                      0 counts as −1
    index = Σ_i 2^i · [z_i > 0]              the first number counts fastest
    ```

    The gradient passes straight through. Two losses are added, and are the same in training and in
    evaluation. With `p(c | z) = softmax(2 z·c / τ)` over all codes c and H the entropy in nats:

    ```
    commitment_loss = β · mean (z − sg(q))²
    entropy_loss    = w · [E H(p(c | z)) − γ H(E p(c | z))]
    ```

    The first entropy makes each vector sure of its code, the second one makes all codes be used.
    Their difference is often negative. The first one is computed exactly, bit by bit: the softmax
    is a product of `σ(4 s z_i / τ)`. The second one is exact up to `entropy_group_bits` bits;
    beyond it, bits are divided into groups of that size, and the entropies of the groups are added
    up, which is an upper bound. The distribution of K codes for each vector is never formed.

    Masked positions get index −1 and zeros and count in no mean. Usage is counted for up to 2²⁰
    codes.

    Args:
        num_bits: D, at most 30. The input's last axis has as many numbers.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        entropy_weight: w; a number or a schedule. Defaults to `0.1`.
        diversity_weight: γ; a number or a schedule. Defaults to `1.0`.
        temperature: τ; a number or a schedule. Defaults to `0.01`.
        entropy_group_bits: bits in a group of the second entropy, at most 20; time grows with
            2^bits, memory with 2^(bits/2). Defaults to `10`.
        scale: s, the absolute value of a code's numbers: ½, ¼ and so on for the deeper ones of
            several in a `ResidualQuantizer`. Defaults to `1.0`.
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
    >>> layer = LookupFreeQuantizer(num_bits=3)
    >>> z_q, index = layer(np.array([[0.3, -2.0, 0.1]]), return_indices=True)
    >>> np.asarray(z_q).tolist(), np.asarray(index).tolist()
    ([[1.0, -1.0, 1.0]], [5])

    References:
        - [Language Model Beats Diffusion](https://arxiv.org/abs/2310.05737), §3
    """

    def __init__(
        self,
        num_bits: int,
        beta: Any = 0.25,
        entropy_weight: Any = 0.1,
        diversity_weight: Any = 1.0,
        temperature: Any = 0.01,
        entropy_group_bits: int = 10,
        scale: float = 1.0,
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
        self.scale = check_number("scale", scale, above_zero=True)

    @property
    def corner(self) -> float:
        """The `scale`."""
        return self.scale

    @property
    def passes_straight_through(self) -> bool:
        return True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
