"""A stack of quantizers, each for what the ones before it left over."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.parts import check_one_size, own_arguments, spread_initializers
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse
from keras_vqvae.layers.residual_depths import ResidualDepths
from keras_vqvae.layers.vector_quantizer import VectorQuantizer
from keras_vqvae.ops import get_gradient_estimator, named_estimator, residual_beam_search
from keras_vqvae.seeds import part_seed

__all__ = ["ResidualVectorQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class ResidualVectorQuantizer(ResidualDepths):
    """Quantizes a vector, then what is left over, and so on, Q times (RVQ).

    ```
    r_0 = z_e,   q_i = nearest code of r_i in table i,   r_{i+1} = r_i − sg(q_i)
    z_q = Σ_i q_i
    ```

    A position has Q indices, `(..., Q)`. The gradient estimator is applied once, to the sum. Losses
    are means over the depths of those of `VectorQuantizer` on `r_i`, each weighted by its
    `depth_weights`:

    ```
    codebook_loss   = 1/Q Σ_i w_i ‖sg(r_i) − q_i‖²
    commitment_loss = 1/Q Σ_i w_i β ‖r_i − sg(q_i)‖²  =  1/Q Σ_i w_i β ‖z_e − sg(Σ_{j≤i} q_j)‖²
    ```

    With `dropout`, a training step uses only the first few depths of a batch or sample: deeper
    indices are −1, and deeper tables neither cost nor learn anything there. Evaluation uses all.
    `decode` takes −1 for dropped depths. With `beam_size` B > 1, evaluation (`encode` too) does not
    take the nearest code of each depth, but searches for codes whose sum is near the vector: the B
    best partial sums are kept. That costs B times as much, and the losses are those of other codes
    than in training: less is left over at the last depth, and may be more at the first. Masked
    positions get indices −1 and zeros.

    Args:
        num_quantizers: Q, the number of depths.
        num_embeddings: K, the number of codes of each depth; or a number for each depth.
        embedding_dim: D. By default taken from the input.
        beta: β, weight of the commitment loss. Defaults to `0.25`.
        shared_codebook: whether all depths use one table, which then learns once a step, from all
            depths together. Defaults to `False`.
        depth_weights: a weight `w_i` for each depth. Defaults to 1 for each.
        dropout: `None`, `"batch"`, `"sample"` or `layers.QuantizeDropout(...)`. Defaults to `None`.
        update: as in `VectorQuantizer`, and so the next ones; each depth has its own state.
        embeddings_initializer: where the codes start. `"kmeans"` starts each depth from its own
            residuals (a shared table from the vectors).
        revival: what happens to unused codes.
        estimator: how the gradient passes from the sum to the vectors.
        assignment: which code a vector gets in training.
        regularizer: one or several terms added to the loss of each table.
        beam_size: B, how many partial sums the search in evaluation keeps. Defaults to `1`: the
            nearest code of each depth.
        chunk_size: how many vectors a search compares at one time.
        seed: seed of the draws.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy, distances, statistics and
            losses are float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the tables learn from this call.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(..., Q)`.

    Raises:
        ValueError: for arguments out of range, or a shared table with several sizes.

    Example:
    >>> import numpy as np
    >>> layer = ResidualVectorQuantizer(num_quantizers=3, num_embeddings=8)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 2)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), layer.uniform_bits_per_position
    ((1, 7, 7, 2), (1, 7, 7, 3), 9.0)

    References:
        - [SoundStream](https://arxiv.org/abs/2107.03312), §III-C
        - [Autoregressive Image Generation using Residual Quantization](https://arxiv.org/abs/2203.01941),
          for the shared table and the losses
    """

    def __init__(
        self,
        num_quantizers: int,
        num_embeddings: int | Sequence[int],
        embedding_dim: int | None = None,
        beta: float = 0.25,
        shared_codebook: bool = False,
        depth_weights: Sequence[float] | None = None,
        dropout: Any = None,
        update: Any = "gradient",
        embeddings_initializer: Any = "uniform",
        revival: Any = None,
        estimator: Any = "straight_through",
        assignment: Any = "nearest",
        regularizer: Any = None,
        beam_size: int = 1,
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_quantizers, dropout, seed, depth_weights, **kwargs)
        self.beam_size = check_count("beam_size", beam_size)
        sizes = self.per_depth("num_embeddings", num_embeddings)
        if shared_codebook:
            check_one_size(sizes)
        self.shared_codebook = bool(shared_codebook)
        self._pass_gradient = get_gradient_estimator(estimator)
        self.estimator = named_estimator(self._pass_gradient)
        tables = 1 if self.shared_codebook else self.num_quantizers
        starts = spread_initializers(embeddings_initializer, tables)
        self.quantizers = [
            VectorQuantizer(
                sizes[i],
                embedding_dim,
                beta=beta,
                update=update,
                embeddings_initializer=starts[i],
                revival=revival,
                estimator=self.estimator,
                assignment=assignment,
                regularizer=regularizer,
                chunk_size=chunk_size,
                seed=part_seed(self.seed, i),
                dtype="float32",
                name=f"depth_{i}",
            )
            for i in range(tables)
        ]

    def at(self, depth: int) -> VectorQuantizer:
        part: VectorQuantizer = self.quantizers[0 if self.shared_codebook else depth]
        return part

    def ask(self, x: Any, kept: list[Any], training: bool) -> list[QuantizerOutput]:
        shared = self.quantizers[0] if training and self.shared_codebook else None
        if shared is not None:
            shared.codebook.initialize(x, kept[0])
        paths = None if training or self.beam_size == 1 else self._search_paths(x)
        # A shared table learns behind all depths: until then they see the same one.
        options = [
            {"learn": shared is None, "indices": None if paths is None else paths[:, i]}
            for i in range(self.num_quantizers)
        ]
        outputs, residuals = self.ask_in_turn(x, kept, training, options)
        if shared is not None:
            weights = None if kept[0] is None else ops.concatenate(kept)
            indices = ops.concatenate([output.indices for output in outputs])
            shared.learn(ops.concatenate(residuals), indices, weights)
        return outputs

    def add_up(
        self, vectors: Any, outputs: list[QuantizerOutput], total: Any, training: bool
    ) -> Any:
        seed = self.quantizers[0].codebook.seed_generator if training else None
        return self._pass_gradient(vectors, total, seed)

    def _search_paths(self, x: Any) -> Any:
        codebooks = [self.at(i).codebook for i in range(self.num_quantizers)]
        tables = [codebook.table() for codebook in codebooks]
        return residual_beam_search(x, tables, self.beam_size, codebooks[0].chunk_size)

    def tables(self) -> tuple[TableUse, ...]:
        if self.shared_codebook:
            return (TableUse("", self.quantizers[0], tuple(range(self.num_quantizers))),)
        return super().tables()

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(Q, K, D)`, or `(ΣK, D)` if depths differ in size; `(K, D)` of a shared table."""
        if self.shared_codebook:
            return self.quantizers[0].codebook_shape
        return super().codebook_shape

    def get_config(self) -> dict[str, Any]:
        config = {
            **own_arguments(self.quantizers[0]),
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "shared_codebook": self.shared_codebook,
            "beam_size": self.beam_size,
            "depth_weights": list(self.depth_weights),
        }
        config.pop("distance")
        return config
