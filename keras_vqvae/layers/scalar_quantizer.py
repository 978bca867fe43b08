"""What quantizers without a table share that round each number to one of a few levels."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from keras import ops

from keras_vqvae.layers.quantizer import Quantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import check_index_bits, pack_digits, unpack_digits, with_value

__all__ = ["ScalarQuantizer", "check_levels"]


class ScalarQuantizer(Quantizer):
    """Each number takes one of its levels; there are K = Π levels codes that nobody stores.

    A subclass gives `bounded` and `scaled`, and `passed_on` if training does not round. Steps and
    digits are `(D, N)`: along rows of D numbers TensorFlow takes twice as long.
    """

    def __init__(self, levels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.levels = check_levels(levels)
        check_index_bits(self.levels, "Use fewer levels, or several indices by `GroupedQuantizer`.")
        self.sizes = np.array(self.levels, "float32")[:, np.newaxis]
        self._counter: Any = None

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_input_shape(input_shape)
        self._counter = self.make_counter()
        self.hand_on_frozen()
        self.built = True

    def bounded(self, x: Any) -> Any:
        """What is rounded: steps of one level above the lowest one, of numbers without bounds."""
        raise self._missing("bounded")

    def scaled(self, steps: Any) -> Any:
        """Levels, or what they were rounded from, to codes."""
        raise self._missing("scaled")

    def rounded(self, steps: Any) -> Any:
        """The nearest level, float32: in [0, L) for what is bounded."""
        return ops.stop_gradient(ops.floor(steps + 0.5))

    def passed_on(self, steps: Any, digits: Any, training: bool) -> Any:
        """The steps that the decoder sees, with their gradient: levels, straight through."""
        return with_value(steps, digits)

    def losses_of(self, columns: Any, valid: Any) -> dict[str, Any]:
        """Losses of the numbers `(D, N)`, of which rows `valid` `(N,)` count."""
        return {}

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        columns = ops.transpose(x)
        steps = self.bounded(columns)
        digits = self.rounded(steps)
        value = self.passed_on(steps, digits, training)
        indices = self.packed(digits)
        losses = self.losses_of(columns, valid)
        if training:
            self.count(indices, valid, x)
        quantized, codes = (ops.transpose(self.scaled(v)) for v in (value, digits))
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    def packed(self, digits: Any) -> Any:
        """The indices `(N,)` of levels."""
        # A number that is not finite has no digit, and gets any index of the table.
        return ops.clip(pack_digits(digits, self.levels, axis=0), 0, self.num_embeddings - 1)

    def codes_of(self, indices: Any) -> Any:
        indices = ops.convert_to_tensor(indices)
        digits = unpack_digits(ops.reshape(ops.maximum(indices, 0), (-1,)), self.levels)
        codes = ops.transpose(self.scaled(ops.cast(ops.transpose(digits), "float32")))
        codes = ops.reshape(codes, (*ops.shape(indices), self.embedding_dim))
        return ops.where(ops.expand_dims(indices >= 0, -1), codes, 0.0)

    @property
    def num_embeddings(self) -> int:
        """K = Π levels."""
        return math.prod(self.levels)

    @property
    def embedding_dim(self) -> int:
        """D, the number of levels."""
        return len(self.levels)

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(K, D)`, of the table that is not stored."""
        return (self.num_embeddings, self.embedding_dim)

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ()

    @property
    def code_counts(self) -> Any:
        self.check_made("code_counts")
        return self._counter

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels)}


def check_levels(levels: Any) -> tuple[int, ...]:
    """The numbers of levels as integers.

    Raises:
        ValueError: if they are no sequence of integers ≥ 2.
    """
    sequence = hasattr(levels, "__len__") and not isinstance(levels, str) and len(levels) > 0
    if not sequence or any(isinstance(n, bool) or not isinstance(n, Integral) for n in levels):
        raise ValueError(
            f"`levels` should be a sequence of integers ≥ 2. Received: levels={levels!r}"
        )
    if min(levels) < 2 or max(levels) > 2**20:
        raise ValueError(
            "`levels` should be integers from 2 to 2**20, beyond which float32 holds no finer "
            f"ones. Received: levels={levels!r}"
        )
    return tuple(int(n) for n in levels)
