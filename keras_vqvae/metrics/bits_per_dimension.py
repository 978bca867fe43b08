"""What images cost, in bits for each number of them."""

import math
from typing import Any

import keras

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.metrics.running_mean import RunningMean

__all__ = ["BitsPerDimension"]


@keras.saving.register_keras_serializable(PACKAGE)
class BitsPerDimension(RunningMean):
    """Mean of `−log2 p(image)`, divided by the dimensions of an image.

    ```
    bits per dimension = −mean(log p) / (dimensions · ln 2)        log p in nats
    ```

    Eight bits are what an 8-bit image costs as it is. Parts of a cost add up if they are divided by
    the same number, that of the *image's* dimensions: one metric for the reconstruction, log p(x |
    z), one for the codes under a fitted prior, log p(z), and codes under a uniform prior are
    `bits_per_image / dimensions` without any metric.

    Args:
        dimensions: numbers in an image: height · width · channels.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Example:
    >>> import numpy as np
    >>> metric = BitsPerDimension(dimensions=4)
    >>> metric.update_state(np.log([1 / 256, 1 / 16]))  # 8 and 4 bits an image
    >>> round(float(metric.result()), 4)
    1.5

    References:
        - [A note on the evaluation of generative models](https://arxiv.org/abs/1511.01844), §3.1
    """

    def __init__(self, dimensions: int, name: str = "bits_per_dimension", **kwargs: Any) -> None:
        hint = ", height · width · channels of an image"
        dimensions = check_count("dimensions", dimensions, hint=hint)
        super().__init__(name=name, **kwargs)
        self.dimensions = dimensions

    def update_state(self, log_probs: Any, sample_weight: Any = None) -> None:
        """Takes in log-probabilities of whole images, in nats, `(batch,)`."""
        shape = tuple(keras.ops.shape(log_probs))
        if len(shape) != 1:
            raise ValueError(
                "`log_probs` should have one number an image, shape (batch,). "
                f"Received: shape {shape}"
            )
        self.add(log_probs, sample_weight)

    def result(self) -> Any:
        return -self.mean() / (self.dimensions * math.log(2.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dimensions": self.dimensions}
