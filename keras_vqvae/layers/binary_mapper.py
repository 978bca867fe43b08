"""Quantization by bits that are drawn."""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.drawn_code_quantizer import DrawnCodeQuantizer
from keras_vqvae.ops import binary_entropy, joint_of_bits, pack_digits

__all__ = ["BinaryMapper"]

_ONE_BIT = math.log(2.0)  # in nats


@keras.saving.register_keras_serializable(PACKAGE)
class BinaryMapper(DrawnCodeQuantizer):
    """Draws the H bits of an index, each by itself, with free bits (the Free Transformer).

    ```
    a       = z_e · A + b                            H logits, a 1×1 convolution
    B_h     ~ Bernoulli(σ(a_h))                      in training; in evaluation B_h = [a_h > 0]
    k       = Σ_h B_h 2^h,   z_q = e_k               one of K = 2^H codes
    p_j     = Π_h P(B_h = bit h of j)
    kl_loss = w max(0, Σ_h (log 2 − H_b(σ(a_h))) − κ)     from bits that are even, beyond κ nats
    ```

    The value is the code of the drawn index; the gradient is that of `Σ_j p_j e_j`. It reaches the
    logits, and through the chosen row the table. H logits name 2^H codes, where `GumbelQuantizer`
    needs one for each. Up to κ nats a position are free: without a threshold the divergence, which
    is least where codes say nothing, presses them to say nothing.

    The threshold holds for each position, and the loss is the mean over positions. It is the same
    in training and in evaluation, the drawn indices are not. Masked positions get index −1 and
    zeros and count in no mean. N vectors need N × K numbers of memory.

    Args:
        num_bits: H, 1 to 20.
        embedding_dim: D. By default taken from the input.
        free_nats: κ ≥ 0; a number, or a schedule out of `keras.optimizers.schedules` over the
            training steps. Defaults to `log 2`, one bit.
        kl_weight: w; a number or a schedule. Defaults to `1.0`.
        embeddings_initializer: where the codes start, a Keras initializer. By default N(0, 1).
        seed: seed of the draws and of the start.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether bits are drawn, and codes counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for arguments out of range, or a start from data; from `build`, for a last axis
            that is not D.

    Example:
    >>> import numpy as np
    >>> layer = BinaryMapper(8)
    >>> z_q, indices = layer(np.ones((2, 10, 4)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), layer.num_embeddings
    ((2, 10, 4), (2, 10), 256)

    References:
        - [The Free Transformer](https://arxiv.org/abs/2510.17558), whose binary mapper and table
          this is
        - [Improved Variational Inference with Inverse Autoregressive
          Flow](https://arxiv.org/abs/1606.04934), for free bits
    """

    def __init__(
        self,
        num_bits: int,
        embedding_dim: int | None = None,
        free_nats: Any = _ONE_BIT,
        kl_weight: Any = 1.0,
        embeddings_initializer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_bits = check_count("num_bits", num_bits, highest=20)
        self.set_numbers(free_nats=free_nats)
        self.make_parts(
            2**self.num_bits, self.num_bits, embedding_dim, kl_weight, embeddings_initializer, seed
        )

    def divergence(self, logits: Any) -> Any:
        nats = self.num_bits * _ONE_BIT - ops.sum(binary_entropy(logits), axis=-1)
        return ops.relu(nats - self.number("free_nats"))

    def choose(self, logits: Any, training: bool) -> tuple[Any, Any]:
        p = ops.sigmoid(logits)
        bits = self.uniforms(logits) < p if training else logits > 0
        return self._packed(bits), joint_of_bits(p)

    def indices_of(self, z_e: Any) -> Any:
        x, _ = self.flatten(z_e)
        indices = self._packed(self.projection(ops.stop_gradient(x)) > 0)
        return ops.reshape(indices, ops.shape(z_e)[:-1])

    def _packed(self, bits: Any) -> Any:
        return pack_digits(ops.cast(bits, "int32"), (2,) * self.num_bits)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bits": self.num_bits,
            **self.table_config("embedding_dim", "embeddings_initializer", "seed"),
        }
