"""What quantizers with one explicit table share."""

from typing import Any

from keras import ops

from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.scheduled_quantizer import ScheduledQuantizer
from keras_vqvae.ops import finite_everywhere, mean_square

__all__ = ["CodebookQuantizer"]


class CodebookQuantizer(ScheduledQuantizer):
    """One index a position into one table, `self.codebook`, made by the subclass.

    The subclass says how a code is chosen and how it learns.
    """

    codebook: Codebook

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_input_shape(input_shape)
        self.codebook.build((None, input_shape[-1]))
        self.build_numbers()
        self.hand_on_frozen()
        self.built = True

    def flatten(self, z_e: Any, mask: Any = None) -> tuple[Any, Any]:
        self.check_built("discretize")
        return super().flatten(z_e, mask)

    def table_losses(self, x: Any, codes: Any, valid: Any) -> tuple[dict[str, Any], Any]:
        """`‖sg(x) − q‖²`, if the table learns by it, and `β ‖x − sg(q)‖²`, for `(N, D)` each.

        Returns:
            The losses by name, and the second one without β, for `learn_from`.
        """
        losses = {}
        if "codebook_loss" in self.loss_names:
            losses["codebook_loss"] = mean_square(ops.stop_gradient(x) - codes, valid)
        commitment = mean_square(x - ops.stop_gradient(codes), valid)
        losses["commitment_loss"] = self.number("beta") * commitment
        return losses, commitment

    def learn_from(self, x: Any, indices: Any, valid: Any, commitment: Any) -> None:
        """A training step of the table; from `table_losses` it is known whether `x` is finite.

        Not by a loss that β has scaled: where β is 0, a compiler may take it for 0, NaN or not.
        """
        self.codebook.learn(x, indices, valid, finite_everywhere(commitment))

    def codes_of(self, indices: Any) -> Any:
        return self.codebook.lookup(indices)

    @property
    def num_embeddings(self) -> int:
        """K, the number of codes."""
        return self.codebook.num_embeddings

    @property
    def embedding_dim(self) -> int | None:
        """D, the length of a code; `None` until it is known."""
        return self.codebook.embedding_dim

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(K, D)`."""
        return (self.num_embeddings, self.embedding_dim)

    @property
    def embeddings(self) -> Any:
        """The table's weight, float32 `(K, D)`.

        Where codes are made of it, as by the map of `SimVQ`, they are `codebook.table()`.
        """
        self.check_made("embeddings")
        return self.codebook.embeddings

    @property
    def code_counts(self) -> Any:
        self.check_made("code_counts")
        return self.codebook.code_counts

    def table_config(self, *keys: str) -> dict[str, Any]:
        """These entries of the table's config."""
        config = self.codebook.get_config()
        return {key: config[key] for key in keys}
