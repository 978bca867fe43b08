"""What likelihoods share whose decoder gives a location and a scale for each channel."""

from typing import Any

from keras import ops

from keras_vqvae.likelihoods.families import Family, learned_scale
from keras_vqvae.likelihoods.likelihood import Likelihood

__all__ = ["LocationScale"]


class LocationScale(Likelihood):
    """Base: of `2 C` numbers a pixel, first the C locations, then the C logs of scales."""

    parameters_per_channel = 2
    takes_any_numbers = True
    family: Family

    def level_log_probs(self, levels: Any, parameters: Any) -> Any:
        return self.family.level_log_probs(levels, *self._split(parameters))

    def mean(self, parameters: Any) -> Any:
        return self.family.mean(*self._split(parameters))

    def draw(self, parameters: Any, uniforms: Any) -> Any:
        return self.family.draw(*self._split(parameters), uniforms)

    def _split(self, parameters: Any) -> tuple[Any, Any]:
        location, log_scale = ops.split(ops.cast(parameters, "float32"), 2, axis=-1)
        return location, learned_scale(log_scale)
