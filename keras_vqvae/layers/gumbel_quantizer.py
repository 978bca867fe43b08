"""Quantization by a choice that is drawn."""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.drawn_code_quantizer import DrawnCodeQuantizer
from keras_vqvae.ops import categorical_entropy, default_chunk_size, highest_score, map_chunks

__all__ = ["GumbelQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class GumbelQuantizer(DrawnCodeQuantizer):
    """Draws one of K codes from a distribution that each vector gives (Gumbel-softmax, dVAE).

    ```
    a     = z_e · A + b                              K logits, a 1×1 convolution; p = softmax(a)
    k     = argmax_j (a_j + g_j),  g_j ~ Gumbel(0, 1)      in training: k is drawn from p
    k     = argmax_j a_j                                   in evaluation
    z_q   = e_k
    kl_loss = w Σ_j p_j log(p_j K)                         KL divergence from the uniform p
    ```

    The value is the code of the drawn index; the gradient is that of `softmax((a + g) / τ) · E`
    (the straight-through Gumbel-softmax). It reaches the logits, and through the chosen row the
    table. A high temperature τ gives a smooth, biased gradient, a low one a noisy one: it is
    lowered over training. It lives in a weight, so compiled steps see it change; give a schedule,
    or assign to `layer.temperature_weight` in a callback at the beginning of an epoch.

    `kl_loss` keeps codes in use, and is the KL term of the discrete VAE under a uniform prior. The
    loss is the same in training and in evaluation, the drawn indices are not. Masked positions get
    index −1 and zeros and count in no mean. N vectors need N × K numbers of memory;
    `encode` takes a chunk at a time.

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D. By default taken from the input.
        temperature: τ; a number, or a schedule out of `keras.optimizers.schedules` over the
            training steps. Defaults to `1.0`.
        kl_weight: w; a number or a schedule. Defaults to `5e-4`.
        embeddings_initializer: where the codes start, a Keras initializer. By default N(0, 1).
        seed: seed of the draws and of the start.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether codes are drawn, and counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for arguments out of range, or a start from data; from `build`, for a last axis
            that is not D.

    Example:
    >>> import keras, numpy as np
    >>> layer = GumbelQuantizer(
    ...     512, temperature=keras.optimizers.schedules.CosineDecay(1.0, 150_000, alpha=1 / 16)
    ... )
    >>> z_q, indices = layer(np.ones((1, 7, 7, 4)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), float(layer.number("temperature"))
    ((1, 7, 7, 4), (1, 7, 7), 1.0)

    References:
        - [Categorical Reparameterization with Gumbel-Softmax](https://arxiv.org/abs/1611.01144)
        - [Zero-Shot Text-to-Image Generation](https://arxiv.org/abs/2102.12092), §2.1, the dVAE
        - [vq-wav2vec](https://arxiv.org/abs/1910.05453), §3.1
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int | None = None,
        temperature: Any = 1.0,
        kl_weight: Any = 5e-4,
        embeddings_initializer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.set_numbers(above_zero=True, temperature=temperature)
        self.make_parts(
            num_embeddings, num_embeddings, embedding_dim, kl_weight, embeddings_initializer, seed
        )

    def build_numbers(self, always: tuple[str, ...] = ()) -> None:
        super().build_numbers(("temperature", *always))

    @property
    def temperature_weight(self) -> Any:
        """The scalar weight that holds the temperature, to be assigned to."""
        self.check_made("temperature_weight")
        return self._number_weights["temperature"]

    def divergence(self, logits: Any) -> Any:
        return math.log(self.num_embeddings) - categorical_entropy(logits)

    def choose(self, logits: Any, training: bool) -> tuple[Any, Any]:
        scores = logits + self._gumbel(logits) if training else logits
        p = ops.softmax(scores / self.positive_number("temperature"), axis=-1)
        return highest_score(scores), p

    def indices_of(self, z_e: Any) -> Any:
        x, _ = self.flatten(z_e)
        indices = map_chunks(
            lambda rows: highest_score(self.projection(rows)),
            ops.stop_gradient(x),
            default_chunk_size(self.num_embeddings),
        )
        return ops.reshape(indices, ops.shape(z_e)[:-1])

    def _gumbel(self, logits: Any) -> Any:
        u = ops.maximum(self.uniforms(logits), 1e-20)  # u = 0 has no logarithm
        return -ops.log(-ops.log(u))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.table_config(
                "num_embeddings", "embedding_dim", "embeddings_initializer", "seed"
            ),
        }
