"""What quantizers give: their output, and the tables in them."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from keras_vqvae.codebooks import Codebook
    from keras_vqvae.layers.quantizer import Quantizer

__all__ = ["QuantizerOutput", "TableUse"]


class QuantizerOutput(NamedTuple):
    """What `Quantizer.discretize` gives.

    Attributes:
        quantized: `(..., D)`, the codes, with the gradient estimator applied.
        indices: int32 `(...)`, or `(..., Q)` for Q codes a position; −1 where masked.
        losses: the loss terms by name, scalars, weighted as they enter the loss: their sum is the
            quantizer's loss. Each is a mean over valid elements.
        codes: float32 `(..., D)`, the codes before the gradient estimator: quantizers made of
            others build on them. They carry a gradient to what the codes are computed from.
    """

    quantized: Any
    indices: Any
    losses: dict[str, Any]
    codes: Any


class TableUse(NamedTuple):
    """A table inside a quantizer.

    Attributes:
        name: its name in statistics; an empty one if it is the only one.
        quantizer: the quantizer, or the codebook, that counts its codes.
        positions: which of the Q indices of a position it answers.
    """

    name: str
    quantizer: "Quantizer | Codebook"
    positions: tuple[int, ...]
