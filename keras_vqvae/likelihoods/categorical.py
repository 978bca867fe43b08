"""A probability of its own for each of the 256 grey levels."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods.likelihood import Likelihood
from keras_vqvae.ops import invert_cumulative

__all__ = ["Categorical"]

_LEVELS = 256


@keras.saving.register_keras_serializable(PACKAGE)
class Categorical(Likelihood):
    """Independent distributions over the 256 grey levels of each channel.

    ```
    loss = −log softmax(logits)[x]        nats per dimension
    ```

    The decoder puts out 256 logits for each channel: those of the first channel, then those of the
    second. It can represent any distribution, and knows nothing of near and far: it needs more data
    than the others, and 256 times the memory.

    Example:
    >>> import numpy as np
    >>> loss = Categorical().loss(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 768)))
    >>> round(float(loss[0]), 4)  # log 256
    5.5452

    References:
        - [Pixel Recurrent Neural Networks](https://arxiv.org/abs/1601.06759), §2.2
    """

    parameters_per_channel = _LEVELS
    takes_any_numbers = True

    def level_log_probs(self, levels: Any, parameters: Any) -> Any:
        indices = ops.cast(ops.clip(ops.round(levels), 0.0, _LEVELS - 1.0), "int32")
        return -ops.sparse_categorical_crossentropy(
            indices, self._logits(parameters), from_logits=True
        )

    def mean(self, parameters: Any) -> Any:
        values = ops.arange(_LEVELS, dtype="float32") / (_LEVELS - 1)
        return ops.sum(ops.softmax(self._logits(parameters), axis=-1) * values, axis=-1)

    def draw(self, parameters: Any, uniforms: Any) -> Any:
        weights = ops.reshape(ops.softmax(self._logits(parameters), axis=-1), (-1, _LEVELS))
        levels = invert_cumulative(weights, ops.reshape(uniforms, (-1,)))
        return ops.cast(ops.reshape(levels, ops.shape(uniforms)), "float32") / (_LEVELS - 1)

    def _logits(self, parameters: Any) -> Any:
        parameters = ops.cast(parameters, "float32")
        channels = self.num_channels(parameters.shape[-1])
        return ops.reshape(parameters, (*ops.shape(parameters)[:-1], channels, _LEVELS))
