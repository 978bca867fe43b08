"""A Gaussian of fixed scale: squared error, in nats."""

import math
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods.families import NORMAL
from keras_vqvae.likelihoods.likelihood import Likelihood, mean_over_dimensions

__all__ = ["Gaussian"]


@keras.saving.register_keras_serializable(PACKAGE)
class Gaussian(Likelihood):
    """Independent Gaussians of one fixed scale σ around the decoder's output.

    ```
    loss = (x − μ)² / (2 σ²)        nats per dimension, without log(σ √2π)
    ```

    The decoder puts out `μ − ½`, so that zero means mid-grey. `log_prob` is another thing: the
    Gaussian integrated over the bin of a grey level, the bins of 0 and 255 open to the outside.

    The authors divide the squared error by the variance of the data; that is this likelihood with
    `σ² = variance / 2`, and `Gaussian.from_variance(variance)` makes it. The default is the one
    for a variance of 1/16 (CIFAR-10 has 0.0633, Fashion-MNIST 0.1246).

    Args:
        scale: σ on the unit scale, positive. Defaults to `sqrt(1/32)`, 45 grey levels.

    Example:
    >>> import numpy as np
    >>> image, output = np.full((1, 2, 2, 1), 0.75), np.zeros((1, 2, 2, 1))
    >>> float(Gaussian(scale=0.25).loss(image, output)[0])
    0.5
    """

    takes_any_numbers = True

    def __init__(self, scale: float = math.sqrt(1 / 32)) -> None:
        self.scale = check_number("scale", scale, above_zero=True)

    @classmethod
    def from_variance(cls, variance: float) -> "Gaussian":
        """The likelihood whose loss is the squared error divided by `variance` (unit scale)."""
        hint = ", the variance of the images on the unit scale"
        variance = check_number("variance", variance, above_zero=True, hint=hint)
        return cls(scale=math.sqrt(variance / 2))

    def loss(self, images: Any, parameters: Any) -> Any:
        images, parameters = self.checked(images, parameters)
        error = ops.square(images - self.mean(parameters))
        return mean_over_dimensions(error) / (2.0 * self.scale**2)

    def level_log_probs(self, levels: Any, parameters: Any) -> Any:
        return NORMAL.level_log_probs(levels, parameters, self._scale_in_levels())

    def mean(self, parameters: Any) -> Any:
        """The decoder's location on the unit scale, which is what the loss fits to the images."""
        return ops.cast(parameters, "float32") + 0.5

    def draw(self, parameters: Any, uniforms: Any) -> Any:
        return NORMAL.draw(ops.cast(parameters, "float32"), self._scale_in_levels(), uniforms)

    def _scale_in_levels(self) -> Any:
        return ops.convert_to_tensor(255.0 * self.scale, "float32")

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale}
