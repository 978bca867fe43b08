"""What the quantizers to signs share."""

from typing import Any

from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.layers.scheduled_quantizer import ScheduledQuantizer
from keras_vqvae.ops import (
    binary_entropy,
    check_index_bits,
    mean_distribution_entropy,
    mean_over_valid,
    mean_square,
    pack_digits,
    unpack_digits,
    with_value,
)

__all__ = ["BinaryQuantizer"]


class BinaryQuantizer(ScheduledQuantizer):
    """Vectors to corners of a cube, with entropy losses that need no table.

    A subclass gives `normalize` and `corner`.
    """

    def __init__(
        self,
        num_bits: int,
        beta: Any = 0.25,
        entropy_weight: Any = 0.1,
        diversity_weight: Any = 1.0,
        temperature: Any = 0.01,
        entropy_group_bits: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_bits = check_count("num_bits", num_bits)
        self.entropy_group_bits = check_count("entropy_group_bits", entropy_group_bits, highest=20)
        check_index_bits(
            (2,) * min(self.num_bits, 1_000),
            "Use fewer bits, or several indices by `GroupedQuantizer`. `num_bits` is log₂ of the "
            f"number of codes, 18 for 2**18 of them. Received: num_bits={num_bits}.",
        )
        self.set_numbers(
            beta=beta, entropy_weight=entropy_weight, diversity_weight=diversity_weight
        )
        self.set_numbers(above_zero=True, temperature=temperature)
        self._counter: Any = None

    @property
    def corner(self) -> float:
        """The absolute value of each number of a code."""
        raise NotImplementedError

    def normalize(self, x: Any) -> Any:
        """Maps vectors `(N, D)` to where they are compared with the corners."""
        return x

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_input_shape(input_shape)
        self._counter = self.make_counter()
        self.build_numbers()
        self.hand_on_frozen()
        self.built = True

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        x = self.normalize(x)
        bits = self._bits(x)
        codes = self._codes_of_bits(bits)
        indices = pack_digits(bits, (2,) * self.num_bits)
        commitment = mean_square(x - codes, valid)
        losses = {
            "commitment_loss": self.number("beta") * commitment,
            "entropy_loss": self.number("entropy_weight") * self._entropy_difference(x, valid),
        }
        if training:
            self.count(indices, valid, x)
            self.advance(valid)
        return self.restore(z_e, valid, with_value(x, codes), indices, losses, codes)

    def indices_of(self, z_e: Any) -> Any:
        x, _ = self.flatten(z_e)
        indices = pack_digits(self._bits(self.normalize(x)), (2,) * self.num_bits)
        return ops.reshape(indices, ops.shape(z_e)[:-1])

    def _bits(self, x: Any) -> Any:
        return ops.cast(x > 0, "int32")

    def _entropy_difference(self, x: Any, valid: Any) -> Any:
        if self.given_number("entropy_weight") == 0:
            # Not computed: of large groups it is the largest part of the work.
            return ops.zeros((), "float32")
        # softmax(2 x·c / τ) over all corners c is a product over bits of σ(4 |c| x / τ).
        logits = (4.0 * self.corner / self.positive_number("temperature")) * x
        of_each = mean_over_valid(binary_entropy(logits), valid) * self.num_bits
        of_mean = mean_distribution_entropy(ops.sigmoid(logits), self.entropy_group_bits, valid)
        return of_each - self.number("diversity_weight") * of_mean

    def _codes_of_bits(self, bits: Any) -> Any:
        return self.corner * (2.0 * ops.cast(bits, "float32") - 1.0)

    def codes_of(self, indices: Any) -> Any:
        bits = unpack_digits(ops.maximum(indices, 0), (2,) * self.num_bits)
        return ops.where(ops.expand_dims(indices >= 0, -1), self._codes_of_bits(bits), 0.0)

    @property
    def num_embeddings(self) -> int:
        """K = 2^`num_bits`."""
        return 2**self.num_bits

    @property
    def embedding_dim(self) -> int:
        """D, the number of bits."""
        return self.num_bits

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(K, D)`, of the table that is not stored."""
        return (self.num_embeddings, self.num_bits)

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("commitment_loss", "entropy_loss")

    @property
    def code_counts(self) -> Any:
        self.check_made("code_counts")
        return self._counter

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bits": self.num_bits,
            "entropy_group_bits": self.entropy_group_bits,
        }
