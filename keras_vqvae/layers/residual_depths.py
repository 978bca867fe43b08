"""What residual quantizers share: the sum over depths, and dropping the deeper ones."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count, check_number
from keras_vqvae.layers.composite import Composite
from keras_vqvae.layers.parts import known_dim, mean_losses, one_for_each, stacked_shape
from keras_vqvae.layers.quantize_dropout import get_quantize_dropout
from keras_vqvae.layers.quantizer import Quantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse
from keras_vqvae.layers.scheduled_numbers import has_schedule
from keras_vqvae.ops import all_reduce_sum, straight_through, within_batch
from keras_vqvae.saved_generator import SavedGenerator
from keras_vqvae.seeds import check_seed, derived_seed

__all__ = ["ResidualDepths"]


class ResidualDepths(SavedGenerator, Composite):
    """Q indices a position, each for what the ones before it left over; their codes add up.

    A subclass makes `self.quantizers`. If these are not one for each depth it gives `at`, it
    overrides `ask` where a depth is to be told more than its residual, and `taken` and `add_up`
    where the gradient takes another way.
    """

    def __init__(
        self,
        num_quantizers: int,
        dropout: Any = None,
        seed: int | None = None,
        depth_weights: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_quantizers = check_count("num_quantizers", num_quantizers)
        self.dropout = get_quantize_dropout(dropout)
        self.seed = check_seed(seed)
        self.seed_generator: Any = None
        if self.dropout is not None:
            self.dropout.check(self.num_quantizers, "depths")
            # Not `seed`, with which depth 0 draws: which code it is would say what is dropped.
            self.seed_generator = keras.random.SeedGenerator(derived_seed(self.seed, "dropout"))
        weights = self.per_depth("depth_weights", 1.0 if depth_weights is None else depth_weights)
        self.depth_weights = tuple(check_number("depth_weights", w) for w in weights)

    def per_depth(self, argument: str, value: Any) -> tuple[Any, ...]:
        """A value for each depth, out of one for all or as many as there are depths."""
        return one_for_each(argument, value, self.num_quantizers, "depths")

    def at(self, depth: int) -> Quantizer:
        """The quantizer of a depth."""
        return self.quantizers[depth]

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_input_shape(input_shape)
        for part in self.quantizers:
            part.build((None, input_shape[-1]))
        self.hand_on_frozen()
        self.built = True

    def kept(self, z_e: Any, valid: Any, training: bool) -> list[Any]:
        """For each depth which rows of `flatten(z_e)` it answers: float32 `(N,)`, or `None`: all.

        Draws from the dropout, if there is one, in training.
        """
        if not training or self.dropout is None:
            return [valid] * self.num_quantizers
        depths = self.dropout.draw(ops.shape(z_e)[:-1], self.num_quantizers, self.seed_generator)
        weights = 1.0 if valid is None else valid
        return [ops.cast(depths > i, "float32") * weights for i in range(self.num_quantizers)]

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        kept = self.kept(z_e, valid, training)
        with within_batch(x) if training else nullcontext():
            outputs = self.ask(x, kept, training)
        if training and self.dropout is not None:
            self._advance_dropped(kept)
        total = outputs[0].codes
        for output in outputs[1:]:
            total = total + output.codes
        indices = ops.stack([output.indices for output in outputs], axis=-1)
        losses = mean_losses([output.losses for output in outputs], self.depth_weights)
        quantized = self.add_up(x, outputs, total, training)
        return self.restore(z_e, valid, quantized, indices, losses, total)

    def _advance_dropped(self, kept: list[Any]) -> None:
        """Schedules of depths that were dropped altogether take this step as those of the first."""
        # Of a table that all depths share the step is taken already.
        for part, used in zip(self.quantizers[1:], kept[1:], strict=False):
            layers = [layer for layer in part._flatten_layers() if has_schedule(layer)]
            if layers:
                missed = ops.where(all_reduce_sum(ops.sum(used)) > 0, 0.0, kept[0])
            for layer in layers:
                layer.advance(missed)

    def ask(self, x: Any, kept: list[Any], training: bool) -> list[QuantizerOutput]:
        """The outputs of the depths for vectors `(N, D)` of float32, `kept` as `kept` gives it."""
        return self.ask_in_turn(x, kept, training, [{}] * self.num_quantizers)[0]

    def ask_in_turn(
        self, x: Any, kept: list[Any], training: bool, options: Sequence[dict[str, Any]]
    ) -> tuple[list[QuantizerOutput], list[Any]]:
        """As `ask`, with further arguments for each depth's `discretize`.

        Returns:
            The outputs, and the vectors `(N, D)` that each depth was given.
        """
        residuals, outputs = [x], []
        for i, used in enumerate(kept):
            part = self.at(i)
            output = part.discretize(residuals[i], training=training, mask=used, **options[i])
            outputs.append(output)
            residuals.append(residuals[i] - self.taken(output))
        return outputs, residuals[:-1]

    def taken(self, output: QuantizerOutput) -> Any:
        """What a depth leaves out of the next one's vectors, `(N, D)`."""
        # A table learns from its own depth alone.
        return ops.stop_gradient(output.codes)

    def add_up(
        self, vectors: Any, outputs: list[QuantizerOutput], total: Any, training: bool
    ) -> Any:
        """The sum of the depths `(N, D)`, with its gradient; `total` is that of their codes."""
        return straight_through(vectors, total)

    def codes_of(self, indices: Any) -> Any:
        total = self.at(0).codes_of(indices[..., 0])
        for i in range(1, self.num_quantizers):  # in the order of `discretize`, for equal bits
            total = total + self.at(i).codes_of(indices[..., i])
        return total

    @property
    def table_sizes(self) -> tuple[int, ...]:
        return tuple(self.at(i).num_embeddings for i in range(self.num_quantizers))

    def tables(self) -> tuple[TableUse, ...]:
        return tuple(
            TableUse(f"depth_{i}", part.tables()[0].quantizer, (i,))
            for i, part in enumerate(self.quantizers)
        )

    @property
    def embedding_dim(self) -> int | None:
        """D, the length of a code; `None` until it is known."""
        return known_dim(self.quantizers)

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(Q, K, D)`, or `(ΣK, D)` if depths differ in size; D of the codes as they are stored."""
        return stacked_shape([self.at(i) for i in range(self.num_quantizers)])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_quantizers": self.num_quantizers,
            "dropout": keras.saving.serialize_keras_object(self.dropout),
            "seed": self.seed,
        }
