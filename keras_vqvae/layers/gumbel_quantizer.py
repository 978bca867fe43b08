"""Quantization by a choice that is drawn."""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE, check_seed, derived_seed
from keras_vqvae.codebooks import Codebook, DataInitializer
from keras_vqvae.layers.codebook_quantizer import CodebookQuantizer
from keras_vqvae.layers.quantizer import QuantizerOutput
from keras_vqvae.ops import (
    categorical_entropy,
    default_chunk_size,
    highest_score,
    map_chunks,
    mean_over_valid,
    with_soft_gradient,
)

__all__ = ["GumbelQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class GumbelQuantizer(CodebookQuantizer):
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
    index −1 and zeros and count in no mean. N vectors need N × K numbers of memory.

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
        seed = check_seed(seed)
        self.set_numbers(above_zero=True, temperature=temperature)
        self.set_numbers(kl_weight=kl_weight)
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        self.codebook = Codebook(
            num_embeddings,
            embedding_dim,
            embeddings_initializer=embeddings_initializer,
            seed=seed,
            dtype="float32",
            name="codebook",
        )
        if isinstance(self.codebook.embeddings_initializer, DataInitializer):
            raise ValueError(
                "Codes are chosen by logits here, not by their distance, so there is no start from "
                "data. Pass a Keras initializer as `embeddings_initializer`. "
                f"Received: embeddings_initializer={embeddings_initializer!r}"
            )
        self.projection = keras.layers.Dense(
            num_embeddings,
            kernel_initializer=keras.initializers.GlorotUniform(derived_seed(seed, "projection")),
            dtype="float32",
            name="projection",
        )

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        super().build(input_shape)
        self.projection.build((None, input_shape[-1]))

    def build_numbers(self, always: tuple[str, ...] = ()) -> None:
        super().build_numbers(("temperature", *always))

    @property
    def temperature_weight(self) -> Any:
        """The scalar weight that holds the temperature, to be assigned to."""
        return self._number_weights["temperature"]

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        logits = self.projection(x)
        divergence = math.log(self.num_embeddings) - categorical_entropy(logits)
        divergence = mean_over_valid(ops.expand_dims(divergence, -1), valid)
        losses = {"kl_loss": self.number("kl_weight") * divergence}
        scores = logits + self._gumbel(logits) if training else logits
        indices = highest_score(scores)
        table = self.codebook.table_learning_from(x, training)
        codes = ops.take(table, indices, axis=0)
        p = ops.softmax(scores / self.positive_number("temperature"), axis=-1)
        quantized = with_soft_gradient(codes, p, table)
        if training:
            self.codebook.learn(x, indices, valid)
            self.advance(valid)
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    def indices_of(self, z_e: Any) -> Any:
        x, _ = self.flatten(z_e)
        indices = map_chunks(
            lambda rows: highest_score(self.projection(rows)),
            ops.stop_gradient(x),
            default_chunk_size(self.num_embeddings),
        )
        return ops.reshape(indices, ops.shape(z_e)[:-1])

    def _gumbel(self, logits: Any) -> Any:
        u = keras.random.uniform(
            ops.shape(logits), dtype="float32", seed=self.codebook.seed_generator
        )
        return -ops.log(-ops.log(ops.maximum(u, 1e-20)))  # u = 0 has no logarithm

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("kl_loss",)

    @property
    def learns_by_gradient(self) -> bool:
        return True

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.table_config(
                "num_embeddings", "embedding_dim", "embeddings_initializer", "seed"
            ),
        }
