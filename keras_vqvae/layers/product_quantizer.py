"""A vector cut into pieces, quantized by a table of each or one of all."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.channel_split import ChannelSplit
from keras_vqvae.layers.parts import (
    check_one_size,
    one_for_each,
    own_arguments,
    spread_initializers,
)
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse
from keras_vqvae.layers.vector_quantizer import VectorQuantizer
from keras_vqvae.seeds import check_seed, part_seed

__all__ = ["ProductQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class ProductQuantizer(ChannelSplit):
    """Cuts vectors into G pieces and quantizes each with a table of K codes: K^G codes in all.

    ```
    z_e = [z_1, …, z_G],   z_q = [q_1, …, q_G],   q_g = nearest code of z_g in table g
    ```

    A position has G indices, `(..., G)`. Each piece is a `VectorQuantizer`, gradient estimator
    included; the losses are means over the pieces of theirs (`codebook_loss` and
    `commitment_loss`). Masked positions get indices −1 and zeros. Pieces are also called heads,
    usually behind a projection: `ProjectedQuantizer(ProductQuantizer(heads, K), codebook_dim=...)`.

    Args:
        num_groups: G, the number of pieces.
        num_embeddings: K, the number of codes of each table; or a number for each.
        embedding_dim: D, the length of whole vectors, divisible by G. By default taken from the
            input.
        beta: β, weight of the commitment loss. Defaults to `0.25`.
        shared_codebook: whether all pieces use one table, which then learns once a step, from all
            pieces together. Defaults to `False`.
        update: as in `VectorQuantizer`, and so the next ones; each table has its own state.
        embeddings_initializer: where the codes start.
        revival: what happens to unused codes.
        distance: `"euclidean"` or `"cosine"`, of pieces.
        estimator: how the gradient passes.
        assignment: which code a vector gets in training.
        regularizer: one or several terms added to the loss of each table.
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
        `(..., D)`, or with `return_indices=True` also int32 `(..., G)`.

    Raises:
        ValueError: for arguments out of range, or a shared table with several sizes; from `build`,
            for a last axis that G does not divide.

    Example:
    >>> import numpy as np
    >>> layer = ProductQuantizer(num_groups=2, num_embeddings=8)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 6)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), layer.codebook_shape
    ((1, 7, 7, 6), (1, 7, 7, 2), (2, 8, 3))

    References:
        - [Product Quantization for Nearest Neighbor Search](https://doi.org/10.1109/TPAMI.2010.57)
        - [vq-wav2vec](https://arxiv.org/abs/1910.05453), §3.3
    """

    def __init__(
        self,
        num_groups: int,
        num_embeddings: int | Sequence[int],
        embedding_dim: int | None = None,
        beta: float = 0.25,
        shared_codebook: bool = False,
        update: Any = "gradient",
        embeddings_initializer: Any = "uniform",
        revival: Any = None,
        distance: Any = "euclidean",
        estimator: Any = "straight_through",
        assignment: Any = "nearest",
        regularizer: Any = None,
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_groups = num_groups = check_count("num_groups", num_groups)
        dim = self.piece_dim(embedding_dim, num_groups)
        sizes = one_for_each("num_embeddings", num_embeddings, num_groups, "groups")
        self.seed = check_seed(seed)
        self.shared_codebook = bool(shared_codebook)
        if shared_codebook:
            check_one_size(sizes)
        tables = 1 if shared_codebook else num_groups
        starts = spread_initializers(embeddings_initializer, tables)
        self.quantizers = [
            VectorQuantizer(
                sizes[i],
                dim,
                beta=beta,
                update=update,
                embeddings_initializer=starts[i],
                revival=revival,
                distance=distance,
                estimator=estimator,
                assignment=assignment,
                regularizer=regularizer,
                chunk_size=chunk_size,
                seed=part_seed(self.seed, i),
                dtype="float32",
                name=f"group_{i}",
            )
            for i in range(tables)
        ]

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        if not self.shared_codebook:
            return super().discretize(z_e, training=training, mask=mask)
        self.check_built("discretize")
        # To one table, the pieces are so many more vectors.
        z_e = ops.convert_to_tensor(z_e)
        self.check_input_shape(z_e.shape)
        shape, pieces = ops.shape(z_e), self._pieces(z_e)
        if mask is not None:
            mask = ops.expand_dims(self.checked_mask(z_e, mask), -1)
            mask = ops.repeat(mask, self.num_groups, axis=-1)
        output = self.quantizers[0].discretize(pieces, training=training, mask=mask)
        return output._replace(
            quantized=self.like_input(z_e, ops.reshape(output.quantized, shape)),
            codes=ops.reshape(output.codes, shape),
        )

    def indices_of(self, z_e: Any) -> Any:
        if not self.shared_codebook:
            return super().indices_of(z_e)
        self.check_built("encode")
        self.check_input_shape(z_e.shape)
        return self.quantizers[0].indices_of(self._pieces(z_e))

    def _pieces(self, z_e: Any) -> Any:
        """`(..., D)` as `(..., G, D/G)`."""
        groups = self.num_groups
        return ops.reshape(z_e, (*ops.shape(z_e)[:-1], groups, z_e.shape[-1] // groups))

    def codes_of(self, indices: Any) -> Any:
        if not self.shared_codebook:
            return super().codes_of(indices)
        return ops.reshape(
            self.quantizers[0].codes_of(indices), (*ops.shape(indices)[:-1], self.embedding_dim)
        )

    @property
    def table_sizes(self) -> tuple[int, ...]:
        shared = self.shared_codebook
        return super().table_sizes * (self.num_groups if shared else 1)

    def tables(self) -> tuple[TableUse, ...]:
        if self.shared_codebook:
            return (TableUse("", self.quantizers[0], tuple(range(self.num_groups))),)
        return super().tables()

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(G, K, D/G)`, or `(ΣK, D/G)` if tables differ in size; `(K, D/G)` of a shared table."""
        if self.shared_codebook:
            return self.quantizers[0].codebook_shape
        return super().codebook_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **own_arguments(self.quantizers[0]),
            "num_groups": self.num_groups,
            "shared_codebook": self.shared_codebook,
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "seed": self.seed,
        }
