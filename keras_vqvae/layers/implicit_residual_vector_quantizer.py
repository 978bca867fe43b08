"""Residual quantization with codes that a network makes."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.implicit_depth import ImplicitDepth
from keras_vqvae.layers.parts import own_arguments, spread_initializers
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.layers.residual_depths import ResidualDepths
from keras_vqvae.seeds import part_seed

__all__ = ["ImplicitResidualVectorQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class ImplicitResidualVectorQuantizer(ResidualDepths):
    """Residual quantization whose codes depend on those chosen before (QINCo).

    A `ResidualVectorQuantizer` has one table a depth for all vectors. Here a network bends each
    depth's table for the sum `s_i` of the codes before, so that it fits what is left over there:

    ```
    s_0 = 0,   q_i = nearest to z_e − s_i of the K vectors f_i(e_k, s_i),   s_{i+1} = s_i + sg(q_i)
    z_q = Σ_i q_i

    f_0(e, s) = e
    f_i(e, s) = block_L(… block_1(e + A_i e + B_i s + b_i)),   block(v) = v + W relu(V v + a) + c
    ```

    `A`, `B` and `W` start at zero: the first step is that of a `ResidualVectorQuantizer`. Tables
    and networks learn by gradient from `codebook_loss`, each depth from its own; losses, dropout
    and masks are as in `ResidualVectorQuantizer`, and the gradient of the sum is handed to the
    vector once, straight through. A vector costs K runs of each network to encode, and one to
    decode; the K vectors exist for a chunk of vectors at a time, and gradients for the chosen ones
    alone.

    Args:
        num_quantizers: Q, the number of depths.
        num_embeddings: K, the number of codes of each depth; or a number for each depth.
        embedding_dim: D. By default taken from the input.
        num_blocks: L, the blocks of each network. Defaults to `2`.
        hidden_dim: numbers within a block. Defaults to `256`.
        beta: β, weight of the commitment loss; a number or a schedule. Defaults to `0.25`.
        depth_weights: a weight `w_i` for each depth. Defaults to 1 for each.
        dropout: `None`, `"batch"`, `"sample"` or `layers.QuantizeDropout(...)`. Defaults to `None`.
        embeddings_initializer: where the tables start; `"kmeans"`: each from its own residuals.
            Defaults to `"uniform"` (±1/K).
        chunk_size: how many vectors are compared at one time. By default as many as keep the
            largest array within 16 MiB on a CPU, 32 MiB on an accelerator.
        seed: seed of the draws.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the tables learn from this call, and depths are dropped.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(..., Q)`.

    Raises:
        ValueError: for arguments out of range.

    Example:
    >>> import numpy as np
    >>> layer = ImplicitResidualVectorQuantizer(3, 8, num_blocks=1, hidden_dim=16)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 4)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), layer.codebook_shape
    ((1, 7, 7, 4), (1, 7, 7, 3), (3, 8, 4))

    References:
        - [Residual Quantization with Implicit Neural Codebooks](https://arxiv.org/abs/2401.14732)
    """

    def __init__(
        self,
        num_quantizers: int,
        num_embeddings: int | Sequence[int],
        embedding_dim: int | None = None,
        num_blocks: int = 2,
        hidden_dim: int = 256,
        beta: Any = 0.25,
        depth_weights: Sequence[float] | None = None,
        dropout: Any = None,
        embeddings_initializer: Any = "uniform",
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_quantizers, dropout, seed, depth_weights, **kwargs)
        self.num_blocks = check_count("num_blocks", num_blocks)
        self.hidden_dim = check_count("hidden_dim", hidden_dim)
        sizes = self.per_depth("num_embeddings", num_embeddings)
        starts = spread_initializers(embeddings_initializer, self.num_quantizers)
        self.quantizers = [
            ImplicitDepth(
                sizes[i],
                embedding_dim,
                num_blocks=self.num_blocks if i else None,
                hidden_dim=self.hidden_dim,
                beta=beta,
                embeddings_initializer=starts[i],
                chunk_size=chunk_size,
                seed=part_seed(self.seed, i),
                dtype="float32",
                name=f"depth_{i}",
            )
            for i in range(self.num_quantizers)
        ]

    def ask(self, x: Any, kept: list[Any], training: bool) -> list[QuantizerOutput]:
        residual, before, outputs = x, ops.zeros_like(x), []
        for part, used in zip(self.quantizers, kept, strict=True):
            output = part.discretize(residual, training=training, mask=used, context=before)
            outputs.append(output)
            taken = self.taken(output)
            residual, before = residual - taken, before + taken
        return outputs

    def codes_of(self, indices: Any) -> Any:
        total = self.quantizers[0].codes_of(indices[..., 0])
        for i, part in enumerate(self.quantizers[1:], start=1):
            total = total + part.codes_at(indices[..., i], total)
        return total

    def get_config(self) -> dict[str, Any]:
        return {
            **own_arguments(self.quantizers[0]),
            **super().get_config(),
            **self.quantizers[0].table_config("embeddings_initializer", "chunk_size"),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "num_blocks": self.num_blocks,
            "hidden_dim": self.hidden_dim,
            "depth_weights": list(self.depth_weights),
        }
