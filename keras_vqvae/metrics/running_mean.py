"""What the metrics share that are a mean over images."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.ops import two_sum


class RunningMean(keras.metrics.Metric):
    """A weighted mean of one number an image, over all batches since the last reset.

    Sums are kept in two float32 numbers each, what they are and what rounding took from them, so
    that the mean is the same for every split into batches, and for millions of them.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        names = ("total", "total_rest", "weight", "weight_rest")
        self._sums = [self.add_weight((), "zeros", "float32", f"sum_of_{n}") for n in names]

    def add(self, values: Any, sample_weight: Any = None, size: float = 1.0) -> None:
        """Takes in `values` `(batch,)`, each counted `sample_weight` (`(batch,)`) times `size`."""
        values = ops.cast(values, "float32")
        weights = ops.ones_like(values)
        if sample_weight is not None:
            weights = _of_images(sample_weight, values)
            # What does not count may be infinite, and 0 · ∞ is NaN.
            values = ops.where(weights == 0.0, 0.0, values)
        for i, term in ((0, ops.sum(values * weights)), (2, ops.sum(weights))):
            total, lost = two_sum(self._sums[i], size * term)
            self._sums[i].assign(total)
            self._sums[i + 1].assign_add(lost)

    def result(self) -> Any:
        return self.mean()

    def mean(self) -> Any:
        """The mean, float32; 0 before any update, as with `keras.metrics.Mean`."""
        total, total_rest, weight, weight_rest = self._sums
        return ops.divide_no_nan(total + total_rest, weight + weight_rest)


def _of_images(sample_weight: Any, values: Any) -> Any:
    """The weights as float32 `(batch,)`."""
    weights = ops.cast(sample_weight, "float32")
    shape, count = tuple(weights.shape), values.shape[0]
    one_each = bool(shape) and (None in (shape[0], count) or shape[0] == count)
    if not one_each or any(side != 1 for side in shape[1:]):
        raise ValueError(
            "`sample_weight` should have one number an image, shape (batch,). "
            f"Received: shape {shape} for a batch of {count}"
        )
    return ops.reshape(weights, ops.shape(values))
