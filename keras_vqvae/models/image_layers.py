"""Small layers that turn the arithmetic around encoder and decoder into functional models."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods import get as get_likelihood

__all__ = ["FromUnitScale", "ToUnitScale"]


class _Scaling(keras.layers.Layer):
    def __init__(self, value_range: tuple[float, float], **kwargs: Any) -> None:
        # float32 whatever the policy: 8-bit images must come through exactly.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.value_range = tuple(value_range)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value_range": self.value_range}


@keras.saving.register_keras_serializable(PACKAGE)
class ToUnitScale(_Scaling):
    """Images in `value_range` to float32 in [0, 1]."""

    def call(self, images: Any) -> Any:
        low, high = self.value_range
        return (ops.cast(images, "float32") - low) / (high - low)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@keras.saving.register_keras_serializable(PACKAGE)
class FromUnitScale(_Scaling):
    """A decoder's output to the expected image, clipped to `value_range`, float32."""

    def __init__(self, likelihood: Any, value_range: tuple[float, float], **kwargs: Any) -> None:
        super().__init__(value_range, **kwargs)
        self.likelihood = get_likelihood(likelihood)

    def call(self, parameters: Any) -> Any:
        low, high = self.value_range
        return low + (high - low) * ops.clip(self.likelihood.mean(parameters), 0.0, 1.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.likelihood.num_channels(input_shape[-1]))

    def get_config(self) -> dict[str, Any]:
        likelihood = keras.saving.serialize_keras_object(self.likelihood)
        return {**super().get_config(), "likelihood": likelihood}
