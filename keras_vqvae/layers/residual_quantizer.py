"""What quantizers of several depths share: their number, and dropping the deeper ones."""

from numbers import Integral
from typing import Any

import keras
from keras import ops

from keras_vqvae.layers.composite import Composite
from keras_vqvae.layers.quantize_dropout import get_quantize_dropout
from keras_vqvae.saved_generator import SavedGenerator

__all__ = ["ResidualQuantizer"]


class ResidualQuantizer(SavedGenerator, Composite):
    """Q indices a position, each for what the ones before it left over.

    A subclass gives what a `Quantizer` with several indices gives, and asks `kept` in its
    `discretize` how much of each depth is in use.
    """

    def __init__(self, num_quantizers: int, dropout: Any, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        wrong = isinstance(num_quantizers, bool) or not isinstance(num_quantizers, Integral)
        if wrong or num_quantizers < 1:
            raise ValueError(
                "`num_quantizers` should be a positive integer. "
                f"Received: num_quantizers={num_quantizers!r}"
            )
        self.num_quantizers = int(num_quantizers)
        self.dropout = get_quantize_dropout(dropout)
        self.seed = seed
        self.seed_generator: Any = None
        if self.dropout is not None:
            self.dropout.check(self.num_quantizers)
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_last_axis(input_shape)
        for part in self.quantizers:
            part.build((None, input_shape[-1]))
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

    def get_config(self) -> dict[str, Any]:
        dropout = self.dropout
        return {
            **super().get_config(),
            "num_quantizers": self.num_quantizers,
            "dropout": None if dropout is None else keras.saving.serialize_keras_object(dropout),
            "seed": self.seed,
        }
