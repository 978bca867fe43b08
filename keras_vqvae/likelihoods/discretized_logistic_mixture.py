"""A mixture of discretized logistics for each pixel, with channels that depend on one another."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods.families import LOGISTIC, learned_scale
from keras_vqvae.likelihoods.likelihood import Likelihood
from keras_vqvae.ops import invert_cumulative

__all__ = ["DiscretizedLogisticMixture"]


@keras.saving.register_keras_serializable(PACKAGE)
class DiscretizedLogisticMixture(Likelihood):
    """The likelihood of PixelCNN++: a mixture of K logistics in bins of one grey level.

    ```
    p(pixel) = Σ_k π_k Π_c P(x_c | μ_ck, s_ck)
    μ_ck     = m_ck + Σ_{j < c} α_cjk (x_j − 127.5)          in grey levels
    ```

    A pixel's channels share the component, and the location of each is moved by the channels
    before it: green by red, blue by red and green. P is the probability of `DiscretizedLogistic`.

    The decoder puts out `K (1 + 2 C + C (C − 1) / 2)` numbers a pixel, 10 K for RGB: the K logits
    of π, then `m` and the logs of `s` as `(K, C)` each, scaled as in `DiscretizedLogistic`, then
    `(K, C (C − 1) / 2)` of which tanh is α.

    Args:
        num_components: K. Defaults to `10`, the paper's.

    Raises:
        ValueError: for a `num_components` below 1.

    Example:
    >>> import numpy as np
    >>> likelihood = DiscretizedLogisticMixture(num_components=5)
    >>> [likelihood.num_parameters(channels) for channels in (1, 2, 3)]
    [15, 30, 50]
    >>> images = likelihood.sample(np.zeros((2, 4, 4, 50), "float32"), seed=0)
    >>> tuple(images.shape), tuple(likelihood.log_prob(images, np.zeros((2, 4, 4, 50))).shape)
    ((2, 4, 4, 3), (2,))

    References:
        - [PixelCNN++](https://arxiv.org/abs/1701.05517), §2.1 and §2.2
    """

    takes_any_numbers = True

    def __init__(self, num_components: int = 10) -> None:
        self.num_components = check_count("num_components", num_components)

    def num_parameters(self, channels: int) -> int:
        return self.num_components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def level_log_probs(self, levels: Any, parameters: Any) -> Any:
        log_weights, locations, scales, couplings = self._split(parameters)
        channels = locations.shape[-1]
        centred = (levels - 127.5) / 255.0
        moved = ops.stack(
            [
                _moved(locations, couplings, [centred[..., j : j + 1] for j in range(c)])
                for c in range(channels)
            ],
            axis=-1,
        )
        levels = ops.expand_dims(levels, -2)
        of_channels = LOGISTIC.level_log_probs(levels, moved, scales)
        of_components = log_weights + ops.sum(of_channels, axis=-1)
        return ops.logsumexp(of_components, axis=-1, keepdims=True)

    def mean(self, parameters: Any) -> Any:
        """The expected image on the unit scale.

        Exact for one channel. The expectation of a channel that is moved by others is taken at
        theirs, which is exact as long as nothing is clipped.
        """
        log_weights, locations, scales, couplings = self._split(parameters)
        means: list[Any] = []
        for c in range(locations.shape[-1]):
            moved = _moved(locations, couplings, [mean - 0.5 for mean in means])
            means.append(LOGISTIC.mean(moved, scales[..., c]))
        weights = ops.expand_dims(ops.exp(log_weights), -1)
        return ops.sum(weights * ops.stack(means, axis=-1), axis=-2)

    def num_uniforms(self, channels: int) -> int:
        return channels + 1  # the first for the component

    def draw(self, parameters: Any, uniforms: Any) -> Any:
        log_weights, locations, scales, couplings = self._split(parameters)
        weights = ops.reshape(ops.exp(log_weights), (-1, self.num_components))
        component = invert_cumulative(weights, ops.reshape(uniforms[..., 0], (-1,)))
        component = ops.reshape(component, ops.shape(uniforms)[:-1])
        chosen = ops.expand_dims(ops.one_hot(component, self.num_components, dtype="float32"), -1)
        locations, scales, couplings = (
            ops.sum(chosen * of_all, axis=-2, keepdims=True)
            for of_all in (locations, scales, couplings)
        )
        drawn: list[Any] = []
        for c in range(locations.shape[-1]):
            moved = _moved(locations, couplings, [value - 0.5 for value in drawn])
            drawn.append(LOGISTIC.draw(moved, scales[..., c], uniforms[..., c + 1 : c + 2]))
        return ops.concatenate(drawn, axis=-1)

    def _split(self, parameters: Any) -> tuple[Any, Any, Any, Any]:
        """Log-weights `(..., K)`, locations, scales `(..., K, C)`, couplings `(..., K, pairs)`."""
        parameters = ops.cast(parameters, "float32")
        channels = self.num_channels(parameters.shape[-1])
        components, pairs = self.num_components, channels * (channels - 1) // 2

        def part(first: int, width: int) -> Any:
            piece = parameters[..., first * components : (first + width) * components]
            return ops.reshape(piece, (*ops.shape(parameters)[:-1], components, width))

        return (
            ops.log_softmax(parameters[..., :components], axis=-1),
            part(1, channels),
            learned_scale(part(1 + channels, channels)),
            ops.tanh(part(1 + 2 * channels, pairs)),
        )

    def get_config(self) -> dict[str, Any]:
        return {"num_components": self.num_components}


def _moved(locations: Any, couplings: Any, before: list[Any]) -> Any:
    """The locations `(..., K)` of the channel that comes after these, centred `(..., 1 or K)`."""
    channel = len(before)
    first = channel * (channel - 1) // 2
    return locations[..., channel] + sum(
        couplings[..., first + j] * value for j, value in enumerate(before)
    )
