"""The contract of layers that can run over a whole grid or one position at a time."""

from typing import Any

import keras
from keras import ops

__all__ = ["CausalLayer", "at_position", "row_of"]


class CausalLayer(keras.layers.Layer):
    """A layer on grids whose output at a position depends on no later position in raster order.

    `call` takes the whole grid, `(batch, height, width, channels)`. The step methods give the same
    numbers one position at a time, so that sampling a grid computes nothing twice: what
    earlier positions contribute is kept in a state, and not computed again.

    A sampling loop runs, compiled as a whole,

    ```
    state = layer.initial_state(batch, (height, width))
    for row in range(height):
        state = layer.start_row(state, row)
        for column in range(width):
            y, state = layer.step(x, state, row, column)  # (batch, channels)
    ```

    States are nested structures of tensors with fixed shapes.
    """

    def initial_state(self, batch_size: int, grid_shape: tuple[int, int]) -> Any:
        """The state before the first position; an empty one by default."""
        return {}

    def start_row(self, state: Any, row: Any) -> Any:
        """What can be computed for a whole row before its first position is known."""
        return state

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """One position: `(batch, channels)` in and out, and the next state."""
        raise NotImplementedError


def at_position(grid: Any, row: Any, column: Any) -> Any:
    """`(batch, channels)` of a grid `(batch, height, width, channels)`, or of one of 1×1."""
    batch, height, width, channels = grid.shape
    start = (0, row if height > 1 else 0, column if width > 1 else 0, 0)
    return ops.slice(grid, start, (batch, 1, 1, channels))[:, 0, 0]


def row_of(grid: Any, row: Any) -> Any:
    """`(batch, width, channels)` of a grid `(batch, height, width, channels)`, or of one of 1×1."""
    batch, height, width, channels = grid.shape
    start = (0, row if height > 1 else 0, 0, 0)
    return ops.slice(grid, start, (batch, 1, width, channels))[:, 0]
