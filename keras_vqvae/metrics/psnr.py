"""Peak signal-to-noise ratio."""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.metrics.image_pairs import ImagePairMetric, unit_scale

__all__ = ["PSNR"]


@keras.saving.register_keras_serializable(PACKAGE)
class PSNR(ImagePairMetric):
    """Peak signal-to-noise ratio of reconstructions, in dB.

    ```
    PSNR = −10 log10(mean squared error on the [0, 1] scale)
    ```

    Over `"pixels"`, the error is the mean over everything seen. Over `"images"`, each image has its
    own ratio and the result is their mean, as published figures often are; it is the larger of the
    two, and infinite as soon as one image is reconstructed exactly. Either way it is the same for
    every split into batches, which a mean of the batches' ratios is not.

    Args:
        value_range: what black and white are. Defaults to `(0, 255)`.
        over: what the mean is over: `"pixels"` or `"images"`. Defaults to `"pixels"`.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Example:
    >>> import numpy as np
    >>> metric = PSNR()
    >>> metric.update_state(np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 25.5))
    >>> round(float(metric.result()), 3)
    20.0
    """

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        over: str = "pixels",
        name: str = "psnr",
        **kwargs: Any,
    ) -> None:
        if over not in ("pixels", "images"):
            raise ValueError(f"`over` should be 'pixels' or 'images'. Received: over={over!r}")
        super().__init__(value_range, name, **kwargs)
        self.over = over

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes in images and their reconstructions, both `(batch, H, W, C)` in `value_range`."""
        y_true, y_pred = unit_scale(y_true, y_pred, self.value_range)
        errors = ops.mean(ops.square(y_true - y_pred), axis=(1, 2, 3))
        if self.over == "images":
            self.add(_decibel(errors), sample_weight)
        else:
            height, width, channels = ops.shape(y_true)[1:]
            self.add(errors, sample_weight, ops.cast(height * width * channels, "float32"))

    def result(self) -> Any:
        if self.over == "images":
            return self.mean()
        return ops.where(self._sums[2] > 0, _decibel(self.mean()), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "over": self.over}


def _decibel(error: Any) -> Any:
    return -10.0 / math.log(10.0) * ops.log(error)
