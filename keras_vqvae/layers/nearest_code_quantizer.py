"""What quantizers to the nearest code of a table share."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.layers.codebook_quantizer import CodebookQuantizer
from keras_vqvae.ops import (
    estimator_places_vectors,
    estimator_replaces_codebook_loss,
    get_gradient_estimator,
    named_estimator,
    straight_through,
    take_rows,
)

__all__ = ["NearestCodeQuantizer"]


class NearestCodeQuantizer(CodebookQuantizer):
    """The nearest code, through which the gradient passes by an estimator.

    The subclass calls `set_estimator` in its constructor and `choose` in its `discretize`.
    """

    _pass_gradient: Any

    def set_estimator(self, estimator: Any) -> None:
        """Resolves the estimator and keeps it, as a name if it was given as one."""
        self._pass_gradient = get_gradient_estimator(estimator)
        self.estimator = named_estimator(self._pass_gradient)

    def check_codes_to_join(self) -> None:
        """Refuses a table of one code for an estimator that places vectors between codes."""
        if estimator_places_vectors(self._pass_gradient) and self.num_embeddings < 2:
            raise ValueError(
                f"`estimator={self.estimator!r}` joins codes by lines. Pass `num_embeddings` of at "
                f"least 2. Received: num_embeddings={self.num_embeddings}"
            )

    def choose(
        self, x: Any, training: bool, valid: Any = None, indices: Any = None
    ) -> tuple[Any, Any, Any]:
        """Where vectors go: by the table's assignment, or by an estimator that does it itself.

        Args:
            x: float32 `(N, D)`.
            training: whether this is a training step.
            valid: float32 `(N,)`, 0 for rows that are to matter to no other, or `None`.
            indices: int32 `(N,)`, the code of each vector where that is chosen already.

        Returns:
            The value `(N, D)` with its gradient, the codes `(N, D)`, and int32 indices `(N,)`.
        """
        codebook = self.codebook
        seed = codebook.seed_generator if training else None
        if indices is not None:
            codes = codebook.lookup(indices)
            return self._pass_gradient(x, codes, seed), codes, indices
        table = codebook.table_learning_from(x, training)
        if training and estimator_places_vectors(self._pass_gradient):
            return self._pass_gradient.place(x, table, seed, codebook.chunk_size)
        if training:
            assignment = self.option_now("assignment", codebook.assignment)
            indices = assignment.choose(codebook, x, table, valid)
        else:
            indices = codebook.search(x, table)
        codes = take_rows(table, indices)
        return self._pass_gradient(x, codes, seed), codes, indices

    def indices_of(self, z_e: Any) -> Any:
        x, _ = self.flatten(z_e)
        indices = self.codebook.search(self.codebook.distance.normalize(x))
        return ops.reshape(indices, ops.shape(z_e)[:-1])

    @property
    def passes_straight_through(self) -> bool:
        return self._pass_gradient is straight_through

    @property
    def loss_names(self) -> tuple[str, ...]:
        replaced = estimator_replaces_codebook_loss(self._pass_gradient)
        by_loss = self.learns_by_gradient and not replaced
        return ("codebook_loss",) * by_loss + ("commitment_loss",)

    def get_config(self) -> dict[str, Any]:
        estimator = self.estimator
        if not isinstance(estimator, str):
            estimator = keras.saving.serialize_keras_object(estimator)
        return {**super().get_config(), "estimator": estimator}
