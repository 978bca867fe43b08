"""Errors of reconstructions, summed up batch by batch."""

import math
from typing import Any

import numpy as np

from keras_vqvae.metrics import SSIM, MultiScaleSSIM

__all__ = ["Reconstructions"]


class Reconstructions:
    """What reconstructions lose, over all batches.

    Args:
        model: a built `models.Autoencoder`, or a model made of it.
        image_shape: `(height, width, channels)` of the images.
    """

    def __init__(self, model: Any, image_shape: tuple[int, int, int]) -> None:
        self._model = model
        self._squared, self._numbers = 0.0, 0
        side = min(image_shape[:2])
        every = (SSIM(model.value_range), MultiScaleSSIM(model.value_range))
        # Those that images of this size have.
        self._similarities = [metric for metric in every if side >= metric.least_side]
        # Of all images in nats; `None` if some have no probability.
        self._log_prob: float | None = 0.0

    def update(self, images: Any, latents: Any, decoded: Any) -> None:
        """Takes a batch of images in, what `encode` gives of them, and their reconstructions."""
        low, high = self._model.value_range
        error = (decoded.astype(np.float32) - images.astype(np.float32)) / (high - low)
        self._squared += float(np.sum(np.square(error), dtype=np.float64))
        self._numbers += error.size
        for metric in self._similarities:
            metric.update_state(images, decoded)
        if self._log_prob is not None and not self._scored(images):
            self._log_prob = None
        if self._log_prob is not None:
            log_probs = self._model.log_prob_given(images, latents, len(images))
            self._log_prob += float(np.sum(log_probs, dtype=np.float64))

    def result(self) -> dict[str, float]:
        """The figures by name; those that images of this kind do not have are left out."""
        mse = self._squared / self._numbers
        figures = {"mse": mse, "psnr_db": -10.0 * math.log10(mse) if mse else math.inf}
        figures |= {metric.name: float(metric.result()) for metric in self._similarities}
        if self._log_prob is not None:
            bits = -self._log_prob / math.log(2.0)
            figures["reconstruction_bits_per_dimension"] = bits / self._numbers
        return figures

    def _scored(self, images: Any) -> bool:
        """Whether the likelihood gives images like these a probability."""
        low, high = self._model.value_range
        try:
            self._model.likelihood.check_scores((images.astype(np.float32) - low) / (high - low))
        except ValueError:
            return False
        return True
