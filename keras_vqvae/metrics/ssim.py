"""Structural similarity."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.metrics.image_pairs import ImagePairMetric, check_sides, unit_scale

__all__ = ["SSIM"]

# Side of the Gaussian window, in pixels.
WINDOW = 11


@keras.saving.register_keras_serializable(PACKAGE)
class SSIM(ImagePairMetric):
    """Structural similarity of images and their reconstructions, a mean over images; at most 1.

    ```
    SSIM = mean of (2 μx μy + c1) (2 σxy + c2) / ((μx² + μy² + c1) (σx² + σy² + c2))
    ```

    over the channels and the places of a Gaussian window of 11×11 pixels, σ = 1.5, that lies within
    the image; `c1 = 0.01²` and `c2 = 0.03²` on the [0, 1] scale. It is `keras.ops.image.ssim`, and
    equals scikit-image's with `gaussian_weights=True, use_sample_covariance=False`. Variances are
    differences in float32: of images that are flat and bright all over, the figure may be 0.001
    off, and so far above 1.

    Args:
        value_range: what black and white are. Defaults to `(0, 255)`.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Raises:
        ValueError: for images with a side below 11 pixels, when they are seen.

    Example:
    >>> import numpy as np
    >>> metric, image = SSIM(), np.random.randint(0, 256, (1, 16, 16, 1))
    >>> metric.update_state(image, image)
    >>> round(float(metric.result()), 4)
    1.0

    References:
        - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, Image Quality Assessment: From Error
          Visibility to Structural Similarity, 2004
    """

    def __init__(
        self, value_range: tuple[float, float] = (0, 255), name: str = "ssim", **kwargs: Any
    ) -> None:
        super().__init__(value_range, name, **kwargs)

    @property
    def least_side(self) -> int:
        """How many pixels a side should have, at least."""
        return WINDOW

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes in images and their reconstructions, both `(batch, H, W, C)` in `value_range`."""
        y_true, y_pred = unit_scale(y_true, y_pred, self.value_range)
        check_sides(y_true.shape, self.least_side, "SSIM", "Use `PSNR` for smaller ones")
        values = ops.image.ssim(
            y_true, y_pred, max_val=1.0, filter_size=WINDOW, data_format="channels_last"
        )
        self.add(values, sample_weight)
