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
            weights = ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(values))
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
