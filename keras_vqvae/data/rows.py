"""Arrays as sources and batches: codes, and what `fit` is given as arrays."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.data.batches import Batch, ImageBatches
from keras_vqvae.data.source import ImageSource


class RowsSource(ImageSource):
    """The rows of an array of any shape and dtype; nothing of it is checked.

    Args:
        rows: array whose first axis counts.
        labels: int32 `(n,)`, or `None`.
        name: what to call it in reports.
    """

    def __init__(
        self,
        rows: npt.NDArray[Any],
        labels: npt.NDArray[np.int32] | None = None,
        name: str = "array",
    ) -> None:
        super().__init__(name, labels)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, 1)` of rows `(height, width)`; of others no true shape."""
        return (*self._rows.shape[1:3], 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's."""
        return self._rows.dtype

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self._rows[indices]

    def _fingerprint(self) -> str:
        raise NotImplementedError


class RowBatches(ImageBatches):
    """Batches of what `fit` takes as arrays, in an order that can be resumed at any step.

    Args:
        x: an array, or a tuple, list or dictionary of arrays with as many rows.
        y: the same, or `None` for batches of `x` alone.
        batch_size: rows in a batch.
        shuffle: whether each epoch has an order of its own.
        seed: decides the order.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        self._arrays = keras.tree.map_structure(np.asarray, x if y is None else (x, y))
        arrays = keras.tree.flatten(self._arrays)
        lengths = sorted({len(array) for array in arrays})
        if len(lengths) > 1:
            raise ValueError(
                f"`x` and `y` should have as many rows. Received: arrays with {lengths}"
            )
        super().__init__(RowsSource(arrays[0]), batch_size, shuffle=shuffle, seed=seed)

    def _make(self, epoch: int, indices: npt.NDArray[np.int64]) -> Batch:
        batch: Batch = keras.tree.map_structure(lambda rows: rows[indices], self._arrays)
        return batch
