"""A vector cut into pieces, each quantized residually."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.channel_split import ChannelSplit
from keras_vqvae.layers.parts import own_arguments, spread_initializers
from keras_vqvae.layers.residual_vector_quantizer import ResidualVectorQuantizer
from keras_vqvae.seeds import check_seed, part_seed

__all__ = ["GroupedResidualVectorQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class GroupedResidualVectorQuantizer(ChannelSplit):
    """Cuts vectors into G pieces, each with a `ResidualVectorQuantizer` of Q depths of its own.

    ```
    z_e = [z_1, …, z_G],   z_q = [RVQ_1(z_1), …, RVQ_G(z_G)]
    ```

    A position has G·Q indices, `(..., G·Q)`: those of the first piece by depth, then those of the
    second. Losses (`codebook_loss`, `commitment_loss`) are means over pieces and depths. Masked
    positions get indices −1 and zeros; with `dropout`, each piece draws its own number of depths.

    Args:
        num_groups: G, the number of pieces.
        num_quantizers: Q, the number of depths.
        num_embeddings: K, the number of codes of each table; or a number for each depth.
        embedding_dim: D, the length of whole vectors, divisible by G. By default taken from the
            input.
        beta: β, weight of the commitment loss. Defaults to `0.25`.
        shared_codebook: whether the depths of a piece use one table. Defaults to `False`.
        depth_weights: a weight for each depth. Defaults to 1 for each.
        dropout: `None`, `"batch"`, `"sample"` or `layers.QuantizeDropout(...)`. Defaults to `None`.
        update: as in `VectorQuantizer`, and so the next ones; each table has its own state.
        embeddings_initializer: where the codes start.
        revival: what happens to unused codes.
        estimator: how the gradient passes.
        assignment: which code a vector gets in training.
        regularizer: one or several terms added to the loss of each table.
        beam_size: how many partial sums of a piece the search in evaluation keeps.
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
        `(..., D)`, or with `return_indices=True` also int32 `(..., G·Q)`.

    Raises:
        ValueError: for arguments out of range; from `build`, for a last axis that G does not
            divide.

    Example:
    >>> import numpy as np
    >>> layer = GroupedResidualVectorQuantizer(2, num_quantizers=3, num_embeddings=8)
    >>> tuple(layer(np.ones((1, 5, 6)), return_indices=True)[1].shape)
    (1, 5, 6)
    >>> layer.tables()[3].name
    'group_1/depth_0'

    References:
        - [HiFi-Codec](https://arxiv.org/abs/2305.02765), §3.2
    """

    def __init__(
        self,
        num_groups: int,
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
        super().__init__(**kwargs)
        self.num_groups = num_groups = check_count("num_groups", num_groups)
        dim = self.piece_dim(embedding_dim, num_groups)
        self.seed = check_seed(seed)
        num_quantizers = check_count("num_quantizers", num_quantizers)
        # Depth i of a piece takes seed + i.
        starts = spread_initializers(embeddings_initializer, num_groups, num_quantizers)
        self.quantizers = [
            ResidualVectorQuantizer(
                num_quantizers,
                num_embeddings,
                dim,
                beta=beta,
                shared_codebook=shared_codebook,
                depth_weights=depth_weights,
                dropout=dropout,
                update=update,
                embeddings_initializer=starts[i],
                revival=revival,
                estimator=estimator,
                assignment=assignment,
                regularizer=regularizer,
                beam_size=beam_size,
                chunk_size=chunk_size,
                seed=part_seed(self.seed, i * num_quantizers),
                dtype="float32",
                name=f"group_{i}",
            )
            for i in range(num_groups)
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **own_arguments(self.quantizers[0]),
            "num_groups": self.num_groups,
            "embedding_dim": self.embedding_dim,
            "seed": self.seed,
        }
