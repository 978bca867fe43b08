"""Likelihoods of grey levels in float64, written down anew with scipy."""

import numpy as np
import scipy.special
import scipy.stats

LEVELS = np.arange(256.0)
# From a fifth of a grey level to half of all of them; and locations on a level, between two, just
# beside an end, and beyond both ends.
SCALES = (0.2, 0.5, 1.0, 3.7, 20.0, 128.0)
LOCATIONS = (-90.0, -3.25, -0.4, 0.0, 0.5, 77.0, 127.5, 200.3, 254.6, 255.0, 260.0, 400.0)


def outputs_for(location, scale):
    """The two numbers `(a, b)` of a decoder that stand for these, in grey levels; float32."""
    a = np.float32(np.asarray(location) / 255 - 0.5)
    b = np.float32(6 * np.arctanh(np.log(8 * np.asarray(scale) / 255) / 6))
    return a, b


def meaning_of(a, b):
    """Location and scale in grey levels that two float32 numbers stand for, in float64."""
    return 255 * (np.float64(a) + 0.5), 255 / 8 * np.exp(6 * np.tanh(np.float64(b) / 6))


def level_log_probs(distribution, levels, location, scale):
    """`log P` of levels under a rounded and clipped symmetric distribution of scipy."""
    levels = np.asarray(levels, "float64")
    distance = levels - location
    near, far = (np.abs(distance) - 0.5) / scale, (np.abs(distance) + 0.5) / scale
    beside, beyond = distribution.logsf(near), distribution.logsf(far)
    around = near < 0
    outside = distribution.cdf(near) + distribution.sf(far)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = beside + np.log(-np.expm1(beyond - beside))
    inside = np.where(around, np.log1p(-np.where(around, outside, 0.5)), tail)
    black = distribution.logcdf((distance + 0.5) / scale)
    white = distribution.logsf((distance - 0.5) / scale)
    return np.where(levels == 0, black, np.where(levels == 255, white, inside))


def mixture_log_prob(levels, logits, a, b, couplings):
    """`log p` of one pixel: levels (C,), logits (K,), a and b (K, C), couplings (K, C, C)."""
    per_component = scipy.special.log_softmax(np.float64(logits))
    centred = (np.float64(levels) - 127.5) / 255
    for k in range(len(logits)):
        for c in range(len(levels)):
            location, scale = meaning_of(a[k, c], b[k, c])
            location += 255 * sum(
                np.tanh(np.float64(couplings[k, c, j])) * centred[j] for j in range(c)
            )
            per_component[k] += level_log_probs(scipy.stats.logistic, levels[c], location, scale)
    return scipy.special.logsumexp(per_component)
