"""Where a position is: a learned vector for each row and each column."""

from typing import Any

import keras
from keras import ops

__all__ = ["GridPositions"]


class GridPositions(keras.layers.Layer):
    """Adds to each position the vector of its row and that of its column.

    Call arguments:
        x: `(batch, height, width, channels)`, of known height and width.
    """

    def build(self, input_shape: Any) -> None:
        _, height, width, channels = input_shape
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.rows, self.columns = (
            self.add_weight(name=name, shape=(length, channels), initializer=initializer)
            for name, length in (("rows", height), ("columns", width))
        )
        self.built = True

    def call(self, x: Any) -> Any:
        return x + ops.expand_dims(self.rows, 1) + self.columns

    def step(self, x: Any, row: Any, column: Any) -> Any:
        """One position: `(batch, channels)`."""
        # As in `call`: the weights in the dtype of computation, and added in the same order.
        rows, columns = (
            ops.cast(ops.convert_to_tensor(weight), self.compute_dtype)
            for weight in (self.rows, self.columns)
        )
        return x + ops.take(rows, row, axis=0) + ops.take(columns, column, axis=0)
