"""The trunk of gated priors: layers of a vertical and a horizontal stack, one after another."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vqvae.layers import GatedMaskedConv2D
from keras_vqvae.layers.causal_layer import row_of

__all__ = ["TwoStackTrunk", "gated_layers"]


def gated_layers(
    filters: int,
    blocks: int,
    kernel_size: int,
    first_kernel_size: int,
    dropout: float,
    dtype: Any,
) -> list[GatedMaskedConv2D]:
    """A gated layer of mask A, and `blocks` of mask B."""
    return [
        GatedMaskedConv2D(filters, first_kernel_size, "A", dtype=dtype, name="first"),
        *(
            GatedMaskedConv2D(
                filters, kernel_size, "B", dropout=dropout, dtype=dtype, name=f"block_{i}"
            )
            for i in range(blocks)
        ),
    ]


class TwoStackTrunk(keras.layers.Layer):
    """Embedded codes to features: a chain of layers of two stacks.

    Args:
        layers: the first is a `GatedMaskedConv2D` of mask A. The others map the pair `(vertical,
            horizontal)` to such a pair, and have the step methods of that layer; the vertical
            output of a row is `state["vertical"]` after their `start_row`.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(self, layers: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = list(layers)

    def build(self, x_shape: Any, condition_shape: Any = None) -> None:
        shape: Any = tuple(x_shape)
        for layer in self.layers:
            layer.build(shape, condition_shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, x: Any, condition: Any = None, training: bool | None = None) -> Any:
        for layer in self.layers:
            x = layer(x, condition=condition, training=training)
        return x[1]

    def compute_output_shape(self, x_shape: Any, condition_shape: Any = None) -> Any:
        return (*x_shape[:-1], self.layers[0].filters)

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, grid: tuple[int, int], condition: Any) -> Any:
        return {
            "condition": {} if condition is None else {"map": condition},
            "layers": [layer.initial_state(batch_size, grid) for layer in self.layers],
        }

    def start_row(self, state: Any, row: Any) -> Any:
        condition = row_of(state["condition"]["map"], row) if state["condition"] else None
        states: list[Any] = []
        for layer, old in zip(self.layers, state["layers"], strict=True):
            vertical = states[-1]["vertical"] if states else None
            states.append(layer.start_row(old, row, vertical, condition))
        return {**state, "layers": states}

    def read(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        first, *blocks = zip(self.layers, state["layers"], strict=True)
        x = first[0].read(first[1], row, column)
        states = [first[1]]
        for layer, old in blocks:
            x, new = layer.step(x, old, row, column)
            states.append(new)
        return x, {**state, "layers": states}

    def write(self, x: Any, state: Any, row: Any, column: Any) -> Any:
        first, *others = state["layers"]
        return {**state, "layers": [self.layers[0].write(x, first, row, column), *others]}
