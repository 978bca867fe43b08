"""Distributions with a location and a scale, as distributions of grey levels."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_vqvae.ops import log_logistic_bin, log_normal_bin

__all__ = ["LOGISTIC", "NORMAL", "Family", "learned_scale"]

# A decoder that puts out 0 means a scale of 32 grey levels; what it puts out bends towards this.
_SCALE_AT_ZERO = 255.0 / 8.0
_LARGEST_LOG = 6.0


class Family(NamedTuple):
    """A continuous distribution of which a grey level gets the probability of its bin.

    The bin of a level reaches half a level to both sides, those of black and white to infinity. So
    this is the continuous variable, rounded and clipped. Locations are centred and on the unit
    scale, in which 0 is mid-grey; scales are in grey levels.

    Attributes:
        log_bin: `(distance, scale, lowest, highest)` to log-probability, as `ops.log_normal_bin`.
        quantile: of the standard distribution.
        ramp: the integral of its cumulative distribution function from −∞.
    """

    log_bin: Callable[..., Any]
    quantile: Callable[[Any], Any]
    ramp: Callable[[Any], Any]

    def level_log_probs(self, levels: Any, location: Any, scale: Any) -> Any:
        """The log-probabilities of levels in [0, 255], elementwise, float32."""
        # level − 127.5 − 255 location, in an order in which hardly a digit is lost: the product
        # with 256 is exact, and so are the differences where they are small.
        distance = (levels - 127.5 - 256.0 * location) + location
        return self.log_bin(distance, scale, levels < 0.5, levels > 254.5)

    def mean(self, location: Any, scale: Any) -> Any:
        """The mean of the clipped variable on the unit scale.

        That of the rounded one is within a tenth of a level of it, for scales above a tenth.
        """
        above, below = 255.0 * (location + 0.5) / scale, 255.0 * (location - 0.5) / scale
        return (self.ramp(above) - self.ramp(below)) * (scale / 255.0)

    def draw(self, location: Any, scale: Any, uniforms: Any) -> Any:
        """Levels on the unit scale, multiples of 1/255, at given uniforms in [0, 1)."""
        # Uniforms are multiples of 2⁻²⁴: 0 is moved to the middle of its step.
        inner = ops.clip(uniforms, 2.0**-25, 1.0 - 2.0**-24)
        value = 127.5 + 255.0 * location + scale * self.quantile(inner)
        return ops.clip(ops.floor(value + 0.5), 0.0, 255.0) / 255.0


def learned_scale(output: Any) -> Any:
    """The scale in grey levels that a decoder's output stands for.

    ```
    s = 255/8 · exp(6 tanh(a / 6))
    ```

    The exponential keeps it positive, and its bounds, 0.08 and 12 859 grey levels, keep squares of
    distances finite; the gradient fades out towards them, and is not cut off.
    """
    return _SCALE_AT_ZERO * ops.exp(_LARGEST_LOG * ops.tanh(output / _LARGEST_LOG))


def _normal_ramp(x: Any) -> Any:
    cumulative = 0.5 * (1.0 + ops.erf(x / math.sqrt(2.0)))
    return x * cumulative + ops.exp(-0.5 * ops.square(x)) / math.sqrt(2.0 * math.pi)


NORMAL = Family(
    log_bin=log_normal_bin,
    quantile=lambda u: math.sqrt(2.0) * ops.erfinv(2.0 * u - 1.0),
    ramp=_normal_ramp,
)
LOGISTIC = Family(
    log_bin=log_logistic_bin,
    quantile=lambda u: ops.log(u) - ops.log1p(-u),
    ramp=ops.softplus,
)
