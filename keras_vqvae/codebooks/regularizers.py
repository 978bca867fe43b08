"""Losses that keep a table in good use, beside those that fit it."""

import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.checks import as_divisor, check_schedulable
from keras_vqvae.choices import PACKAGE, Choice
from keras_vqvae.codebooks.distances import Cosine
from keras_vqvae.ops import all_reduce_sum, around_middle, mean_over_valid

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = [
    "CrossEntropyCommitment",
    "Diversity",
    "Orthogonality",
    "Regularizer",
    "get_regularizers",
]


class Regularizer(Choice):
    """A term of a quantizer's loss that looks at the table as a whole.

    Args:
        weight: factor of the term, ≥ 0; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps.

    Attributes:
        loss_name: its name among the losses.
        needs_trainable_table: whether it has a gradient to the table alone, so that it would do
            nothing for one that does not learn by gradient.
    """

    loss_name: str
    needs_trainable_table = False
    schedulable: tuple[str, ...] = ("weight",)

    def __init__(self, weight: Any) -> None:
        self.weight = check_schedulable("weight", weight)

    @property
    def prefix(self) -> str:
        """What its numbers begin with among those of a layer: `diversity` of `diversity_weight`."""
        return self.loss_name.removesuffix("_loss")

    def loss(self, codebook: "Codebook", vectors: Any, indices: Any, weights: Any = None) -> Any:
        """The term as it enters the loss, a scalar.

        Args:
            codebook: the codebook with the table.
            vectors: float32 `(N, D)`, normalised, with their gradient.
            indices: int32 `(N,)`, the code of each.
            weights: float32 `(N,)`, 0 for masked rows, or `None`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return self.numbers_config()


@keras.saving.register_keras_serializable(PACKAGE)
class Orthogonality(Regularizer):
    """Pushes codes to point in different directions.

    ```
    orthogonality_loss = weight · (1/K² Σ_ij cos²(e_i, e_j) − 1/K)
    ```

    It is 0 when codes are orthogonal, which at most D of them can be; K > D codes spread evenly
    reach 1/D − 1/K. Since `Σ_ij cos²(e_i, e_j)` is also the squared norm of the D × D matrix
    `Σ_k ê_k ê_kᵀ`, it costs K·D² and not K²·D, and no subset of the codes has to be drawn.

    Args:
        weight: a number or a schedule; `layer.number` calls it `"orthogonality_weight"`. Defaults
            to `10.0`.

    References:
        - [Translation-equivariant Image Quantizer](https://arxiv.org/abs/2112.00384)
    """

    loss_name = "orthogonality_loss"
    needs_trainable_table = True

    def __init__(self, weight: Any = 10.0) -> None:
        super().__init__(weight)

    def loss(self, codebook: "Codebook", vectors: Any, indices: Any, weights: Any = None) -> Any:
        unit = Cosine().normalize(codebook.table_learning_from(vectors))
        K, D = unit.shape
        product = ops.matmul(unit, ops.transpose(unit))
        if D < K:
            product = ops.matmul(ops.transpose(unit), unit)
        return self.weight * (ops.sum(ops.square(product)) / float(K) ** 2 - 1.0 / K)


@keras.saving.register_keras_serializable(PACKAGE)
class Diversity(Regularizer):
    """Asks that a batch as a whole uses all codes alike.

    ```
    p_n = softmax_k(−‖x_n − e_k‖² / τ),   p̄ = mean_n p_n
    diversity_loss = weight · (log K − H(p̄))       in nats
    ```

    It is 0 when all codes are used alike and `weight · log K` when one is used alone; with several
    replicas, p̄ is the mean over the vectors of all. The gradient reaches vectors, and codes if the
    table learns by gradient. It holds N × K numbers, and is meant for batches and tables for which
    that is little.

    Args:
        weight: a number or a schedule; `layer.number` calls it `"diversity_weight"`. Defaults to
            `0.1`.
        temperature: τ > 0; likewise, `"diversity_temperature"`. Defaults to `0.01`.

    References:
        - [wav2vec 2.0](https://arxiv.org/abs/2006.11477), §3.2, for such a term
    """

    loss_name = "diversity_loss"

    schedulable = ("weight", "temperature")

    def __init__(self, weight: Any = 0.1, temperature: Any = 0.01) -> None:
        super().__init__(weight)
        self.temperature = check_schedulable("temperature", temperature, above_zero=True)

    def loss(self, codebook: "Codebook", vectors: Any, indices: Any, weights: Any = None) -> Any:
        table = codebook.table_learning_from(vectors)
        shares = ops.softmax(_logits(vectors, table, self.temperature), axis=-1)
        if weights is None:
            count = ops.cast(ops.shape(shares)[0], "float32")
        else:
            shares, count = shares * ops.expand_dims(weights, -1), ops.sum(weights)
        total = all_reduce_sum(ops.sum(shares, axis=0))
        mean = total / ops.maximum(all_reduce_sum(count), 1.0)
        # Written so that a batch without vectors, whose mean is 0, costs 0.
        logs = ops.log(ops.maximum(mean, 1e-30)) + math.log(codebook.num_embeddings)
        return self.weight * ops.sum(mean * logs)


@keras.saving.register_keras_serializable(PACKAGE)
class CrossEntropyCommitment(Regularizer):
    """Keeps vectors nearer to their code than to all others, whatever the distance itself.

    ```
    cross_entropy_loss = −weight · mean_n log softmax_k(−‖x_n − e_k‖² / τ)[k_n]       in nats
    ```

    with k_n the code of x_n. It stands beside the commitment loss, or with `beta=0` in its place.
    The gradient reaches vectors alone: codes are held still. It holds N × K numbers, and is meant
    for batches and tables for which that is little.

    Args:
        weight: a number or a schedule; `layer.number` calls it `"cross_entropy_weight"`. Defaults
            to `0.25`.
        temperature: τ > 0; likewise, `"cross_entropy_temperature"`. Defaults to `1.0`.
    """

    loss_name = "cross_entropy_loss"
    schedulable = ("weight", "temperature")

    def __init__(self, weight: Any = 0.25, temperature: Any = 1.0) -> None:
        super().__init__(weight)
        self.temperature = check_schedulable("temperature", temperature, above_zero=True)

    def loss(self, codebook: "Codebook", vectors: Any, indices: Any, weights: Any = None) -> Any:
        table = ops.stop_gradient(codebook.table())
        logits = _logits(vectors, table, self.temperature)
        # From the highest, so that a small temperature drowns nothing. Keras refuses no rows
        # without `initial`.
        logits = logits - ops.max(logits, axis=-1, keepdims=True, initial=-float("inf"))
        chosen = ops.take_along_axis(logits, ops.expand_dims(indices, -1), axis=-1)
        costs = ops.logsumexp(logits, axis=-1, keepdims=True) - chosen
        return self.weight * mean_over_valid(costs, weights)


def _logits(vectors: Any, table: Any, temperature: Any) -> Any:
    """`−‖x − e_k‖² / τ` less what is the same for all k: `(N, D)` and `(K, D)` to `(N, K)`."""
    vectors, table = around_middle(vectors, table)
    scores = ops.matmul(vectors, ops.transpose(table)) - 0.5 * ops.sum(ops.square(table), axis=-1)
    return scores * (2.0 / as_divisor(temperature))


def get_regularizers(identifier: Any) -> tuple[Regularizer, ...]:
    """One or several, as instances or configs; `None` for none.

    Raises:
        ValueError: for something else, or two of a kind.
    """
    if identifier is None:
        return ()
    given = identifier if isinstance(identifier, list | tuple) else [identifier]
    found = tuple(
        keras.saving.deserialize_keras_object(one) if isinstance(one, dict) else one
        for one in given
    )
    if not all(isinstance(one, Regularizer) for one in found):
        raise ValueError(
            "`regularizer` should be `None`, an object such as `codebooks.Orthogonality()`, or a "
            f"list of them. Received: regularizer={identifier!r}"
        )
    if len({one.loss_name for one in found}) < len(found):
        raise ValueError(
            "`regularizer` should hold one object of a kind; add up their weights. "
            f"Received: regularizer={identifier!r}"
        )
    return found
