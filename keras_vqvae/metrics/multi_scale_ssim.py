"""Structural similarity at several scales."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE
from keras_vqvae.metrics.image_pairs import ImagePairMetric, check_sides, unit_scale
from keras_vqvae.metrics.ssim import WINDOW

__all__ = ["MultiScaleSSIM"]


@keras.saving.register_keras_serializable(PACKAGE)
class MultiScaleSSIM(ImagePairMetric):
    """Multi-scale structural similarity (MS-SSIM), a mean over images; in [0, 1].

    ```
    MS-SSIM = SSIM_M^w_M · Π_{j<M} cs_j^w_j
    ```

    Scale j has images of half the size of scale j − 1 (2×2 means; odd sides are mirrored by a
    pixel); `cs` is `SSIM` without its first factor, which compares means; negative factors count as
    0; the result is a mean over channels. With the default factors it is `tf.image`'s
    `ssim_multiscale`.

    Args:
        value_range: what black and white are. Defaults to `(0, 255)`.
        power_factors: w, one for each of the M scales, the finest first. Images need sides of at
            least `11 · 2^(M−1)` pixels: 176 for the five of the paper, which are the default.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Raises:
        ValueError: for factors that are not positive, and for smaller images, when they are seen.

    Example:
    >>> import numpy as np
    >>> metric = MultiScaleSSIM(power_factors=(0.5, 0.5))
    >>> image = np.random.randint(0, 256, (1, 22, 22, 1))
    >>> metric.update_state(image, image)
    >>> round(float(metric.result()), 4)
    1.0

    References:
        - Z. Wang, E. P. Simoncelli, A. C. Bovik, Multiscale Structural Similarity for Image Quality
          Assessment, 2003
    """

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        power_factors: Sequence[float] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
        name: str = "ms_ssim",
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, name, **kwargs)
        self.power_factors = tuple(
            check_number("power_factors", w, above_zero=True, hint=", each of them")
            for w in power_factors
        )
        if not self.power_factors:
            raise ValueError(
                "`power_factors` should be positive numbers, one for each scale. "
                f"Received: power_factors={tuple(power_factors)}"
            )

    @property
    def least_side(self) -> int:
        """How many pixels a side should have, at least."""
        return WINDOW * 2 ** (len(self.power_factors) - 1)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes in images and their reconstructions, both `(batch, H, W, C)` in `value_range`."""
        y_true, y_pred = unit_scale(y_true, y_pred, self.value_range)
        remedy = "Give fewer `power_factors` for smaller ones, or use `SSIM`"
        check_sides(y_true.shape, self.least_side, "MultiScaleSSIM", remedy)
        channels = y_true.shape[-1]
        pair = [_channels_as_images(x) for x in (y_true, y_pred)]
        product: Any = 1.0
        for scale, weight in enumerate(self.power_factors):
            if scale:
                pair = [_halved(x) for x in pair]
            # So large a constant that the factor that compares means rounds to 1: what is left is
            # the other one.
            k1 = 0.01 if scale == len(self.power_factors) - 1 else 1e6
            factor = ops.image.ssim(
                *pair, max_val=1.0, filter_size=WINDOW, k1=k1, data_format="channels_last"
            )
            product = product * ops.power(ops.relu(factor), weight)
        self.add(ops.mean(ops.reshape(product, (-1, channels)), axis=-1), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_factors": list(self.power_factors)}


def _channels_as_images(images: Any) -> Any:
    """`(B, H, W, C)` to `(B·C, H, W, 1)`: the product over scales is taken in each channel."""
    height, width = images.shape[1:3]
    return ops.reshape(ops.transpose(images, (0, 3, 1, 2)), (-1, height, width, 1))


def _halved(images: Any) -> Any:
    height, width = images.shape[1:3]
    images = ops.pad(images, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="symmetric")
    return ops.average_pool(images, 2, 2, data_format="channels_last")
