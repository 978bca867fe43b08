"""Codes that follow mean and spread of the vectors all together."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.checks import check_share
from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks.update_rules import GradientUpdate
from keras_vqvae.ops import all_reduce_sum

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["AffineUpdate"]


@keras.saving.register_keras_serializable(PACKAGE)
class AffineUpdate(GradientUpdate):
    """A table that learns by gradient, seen through a map that gives it the vectors' statistics.

    ```
    e' = (e − μ_c) σ_b / σ_c + μ_b        per dimension
    ```

    Here `μ_b`, `σ_b` are moving averages over the vectors of batches, and `μ_c`, `σ_c` over the
    rows of the stored table. When the encoder drifts, all codes move with it, those that nothing
    chooses too. Search, lookup and losses see e'; `embeddings` holds e. A training step uses the
    statistics of the steps before it, the first one the table as it is; evaluation changes none.
    A spread within the rounding of float32 is none: where all codes are alike, σ_b / σ_c is 1, and
    where all vectors are, σ_b is the rounding, so that the map has an inverse.

    The stored table gets the gradient of e' times σ_b / σ_c, 10⁴ for the default start of 4 096
    codes. Optimizers that scale their steps, such as Adam, take it as it is; for plain SGD start
    with a table about as wide as the vectors (`embeddings_initializer="kmeans"`).

    Args:
        batch_decay: decay of the vectors' averages a step, in [0, 1). Defaults to `0.99`.
        table_decay: decay of the table's averages, in [0, 1). Defaults to `0.9`.

    References:
        - [Straightening Out the Straight-Through Estimator](https://arxiv.org/abs/2305.08842)
    """

    def __init__(self, batch_decay: float = 0.99, table_decay: float = 0.9) -> None:
        self.batch_decay = check_share("batch_decay", batch_decay)
        self.table_decay = check_share("table_decay", table_decay)

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        D = (codebook.embedding_dim,)
        return {
            "batch_mean": codebook.add_statistic("batch_mean", D),
            "batch_variance": codebook.add_statistic("batch_variance", D, "ones"),
            "table_mean": codebook.add_statistic("table_mean", D),
            "table_variance": codebook.add_statistic("table_variance", D, "ones"),
            "started": codebook.add_statistic("statistics_started", ()),
        }

    def _map(self, codebook: "Codebook") -> tuple[Any, Any, Any]:
        """μ_b, μ_c and σ_b / σ_c."""
        state = {k: ops.convert_to_tensor(v) for k, v in codebook.update_state.items()}
        batch_mean, table_mean = state["batch_mean"], state["table_mean"]
        batch_variance, table_variance = state["batch_variance"], state["table_variance"]
        least_batch, least_table = _least_variance(batch_mean), _least_variance(table_mean)
        # Roots first: the ratio of the squares may be beyond float32.
        spread = ops.sqrt(ops.maximum(batch_variance, least_batch))
        scale = spread / ops.sqrt(ops.maximum(table_variance, least_table))
        # Codes that are all alike have no spread that could be scaled.
        return batch_mean, table_mean, ops.where(table_variance > least_table, scale, 1.0)

    def transform(self, codebook: "Codebook", stored: Any) -> Any:
        batch_mean, table_mean, scale = self._map(codebook)
        return (stored - table_mean) * scale + batch_mean

    def inverse_transform(self, codebook: "Codebook", codes: Any) -> Any:
        batch_mean, table_mean, scale = self._map(codebook)
        return (codes - batch_mean) / scale + table_mean

    def step(
        self,
        codebook: "Codebook",
        vectors: Any,
        indices: Any,
        weights: Any,
        counts: Any,
        usable: Any,
    ) -> None:
        total = ops.maximum(ops.sum(counts), 1.0)
        rows = 1.0 if weights is None else ops.expand_dims(weights, -1)
        batch_mean = all_reduce_sum(ops.sum(vectors * rows, axis=0)) / total
        square = ops.square(vectors - batch_mean) * rows
        table = ops.stop_gradient(ops.convert_to_tensor(codebook.embeddings))
        found = {
            "batch_mean": (batch_mean, self.batch_decay),
            "batch_variance": (all_reduce_sum(ops.sum(square, axis=0)) / total, self.batch_decay),
            "table_mean": (ops.mean(table, axis=0), self.table_decay),
            "table_variance": (ops.var(table, axis=0), self.table_decay),
        }
        state = codebook.update_state
        started = ops.convert_to_tensor(state["started"])
        for name, (value, decay) in found.items():
            old = ops.convert_to_tensor(state[name])
            kept = decay * started  # the first batch is taken as it is
            state[name].assign(ops.where(usable, kept * old + (1.0 - kept) * value, old))
        state["started"].assign(ops.maximum(started, ops.cast(usable, "float32")))

    def get_config(self) -> dict[str, Any]:
        return {"batch_decay": self.batch_decay, "table_decay": self.table_decay}


def _least_variance(mean: Any) -> Any:
    """The variance below which numbers around `mean` are alike, but for rounding in float32."""
    return ops.maximum(ops.square(1e-6 * mean), 1e-37)
