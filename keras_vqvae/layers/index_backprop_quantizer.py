"""A table all of whose codes get a gradient, chosen or not."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.codebook_quantizer import CodebookQuantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import (
    all_reduce_sum,
    categorical_entropy,
    default_chunk_size,
    entropy,
    full_product,
    highest_score,
    map_chunks,
    mean_over_valid,
    mean_square,
    take_rows,
    with_soft_gradient,
)

__all__ = ["IndexBackpropQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class IndexBackpropQuantizer(CodebookQuantizer):
    """Chooses the code of the largest dot product, with a softmax behind the choice (IBQ).

    ```
    p   = softmax(z_e · Cᵀ),   k = argmax_j p_j
    z_q = [onehot(k) + p − sg(p)] · C                 e_k, with the gradient of p
    ```

    Vectors get their gradient through p, not as it is, and so does every code of the table, whether
    it was chosen or not: all of them move with the vectors, and none is left behind. The losses
    are the paper's, means over the elements of valid positions:

    ```
    quantization_loss = ‖z_e − z_q‖²                  through p, to vectors and table
    codebook_loss     = ‖sg(z_e) − e_k‖²
    commitment_loss   = β ‖z_e − sg(e_k)‖²
    entropy_loss      = w [E H(p_τ) − γ H(E p_τ)],  p_τ = softmax(z_e · Cᵀ / τ)      if w is given
    ```

    The entropy loss makes each vector sure of its code and all codes be used. β stands before the
    commitment loss, as in `VectorQuantizer`; the authors' code has it before `codebook_loss`.
    Masked positions get index −1 and zeros and count in no mean. N vectors need N × K numbers of
    memory; `encode` takes a chunk at a time.

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D. By default taken from the input.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        entropy_weight: w; a number or a schedule. Defaults to `0.0`: no such loss.
        diversity_weight: γ; a number or a schedule. Defaults to `1.0`.
        entropy_temperature: τ of the entropy loss; a number or a schedule. Defaults to `0.01`.
        embeddings_initializer: where the codes start: `"uniform"` (±1/K), `"kmeans"`,
            `codebooks.KMeans(...)` or a Keras initializer. Defaults to `"uniform"`.
        seed: seed of the draws.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the codes are counted, and a start from data is made.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for arguments out of range; from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = IndexBackpropQuantizer(num_embeddings=16, entropy_weight=0.05)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 4)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), len(layer.losses)
    ((1, 7, 7, 4), (1, 7, 7), 4)

    References:
        - [Scalable Image Tokenization with Index Backpropagation
          Quantization](https://arxiv.org/abs/2412.02692)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int | None = None,
        beta: Any = 0.25,
        entropy_weight: Any = 0.0,
        diversity_weight: Any = 1.0,
        entropy_temperature: Any = 0.01,
        embeddings_initializer: Any = "uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.set_numbers(
            beta=beta, entropy_weight=entropy_weight, diversity_weight=diversity_weight
        )
        self.set_numbers(above_zero=True, entropy_temperature=entropy_temperature)
        self.codebook = Codebook(
            num_embeddings,
            embedding_dim,
            embeddings_initializer=embeddings_initializer,
            seed=seed,
            dtype="float32",
            name="codebook",
        )

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        if training:
            self.codebook.initialize(x, valid)
        table = self.codebook.table_learning_from(x, training)
        logits = full_product(x, ops.transpose(table))
        indices = highest_score(logits)
        codes = take_rows(table, indices)
        quantized = with_soft_gradient(codes, ops.softmax(logits, axis=-1), table)
        losses, commitment = self.table_losses(x, codes, valid)
        losses = {"quantization_loss": mean_square(x - quantized, valid), **losses}
        if "entropy_loss" in self.loss_names:
            difference = self._entropy_difference(logits, valid)
            losses["entropy_loss"] = self.number("entropy_weight") * difference
        if training:
            self.learn_from(x, indices, valid, commitment)
            self.advance(valid)
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    def indices_of(self, z_e: Any) -> Any:
        x, _ = self.flatten(z_e)
        columns = ops.transpose(self.codebook.table())
        indices = map_chunks(
            lambda rows: highest_score(full_product(rows, columns)),
            ops.stop_gradient(x),
            default_chunk_size(self.num_embeddings),
        )
        return ops.reshape(indices, ops.shape(z_e)[:-1])

    def _entropy_difference(self, logits: Any, valid: Any) -> Any:
        logits = logits / self.positive_number("entropy_temperature")
        of_each = mean_over_valid(ops.expand_dims(categorical_entropy(logits), -1), valid)
        p = ops.softmax(logits, axis=-1)
        if valid is not None:
            p = p * ops.expand_dims(valid, -1)
        total = all_reduce_sum(ops.sum(p, axis=0))
        return of_each - self.number("diversity_weight") * entropy(total)

    @property
    def loss_names(self) -> tuple[str, ...]:
        by_entropy = self.is_scheduled("entropy_weight") or self.entropy_weight > 0
        terms = ("quantization_loss", "codebook_loss", "commitment_loss")
        return (*terms, "entropy_loss") if by_entropy else terms

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.table_config(
                "num_embeddings", "embedding_dim", "embeddings_initializer", "seed"
            ),
        }
