import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops as kops
from support import gradients, to_numpy

from keras_vqvae import ops
from keras_vqvae.compilation import CompiledFunction

# Bins as wide as a dozen scales, and as narrow as a ten-thousandth of one.
SCALES = [0.08, 0.2, 0.5, 0.999, 1.0, 3.0, 20.0, 128.0, 12_000.0]
# Dense around the mean, where the three cases of the normal meet, and out to the end of the image.
DISTANCES = np.concatenate(
    [np.linspace(-3, 3, 1201), np.linspace(-256, 256, 2049), np.geomspace(1e-6, 300, 400)]
).astype("float32")

# A few roundings of float32 (6e-8); and of a bin that holds all but 1e-9, that it does.
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def in_float64(distribution, distance, scale):
    """By scipy, from the tail that the bin is in, so that float64 has digits to spare."""
    near, far = (np.abs(distance) - 0.5) / scale, (np.abs(distance) + 0.5) / scale
    beside, beyond = distribution.logsf(near), distribution.logsf(far)
    around = near < 0
    outside = distribution.cdf(near) + distribution.sf(far)
    in_tail = beside + np.log(-np.expm1(beyond - beside))
    return np.where(around, np.log1p(-np.where(around, outside, 0.5)), in_tail)


BINS = [
    pytest.param(ops.log_normal_bin, scipy.stats.norm, id="normal"),
    pytest.param(ops.log_logistic_bin, scipy.stats.logistic, id="logistic"),
]
each_bin = pytest.mark.parametrize(("function", "distribution"), BINS)


def grid(distances, scales):
    """Every distance with every scale, float32."""
    pairs = np.meshgrid(np.float32(distances), np.float32(scales))
    return [values.reshape(-1) for values in pairs]


def slopes(function, distance, scale, **ends):
    """The derivatives by distance and by scale."""
    both, _ = gradients(
        lambda x: kops.sum(function(x[0], x[1], **ends)), np.stack([distance, scale])
    )
    return both


@each_bin
def test_bins_are_those_of_float64(function, distribution):
    distance, scale = grid(DISTANCES, SCALES)
    expected = in_float64(distribution, distance.astype("float64"), scale.astype("float64"))
    found = to_numpy(function(distance, scale))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, **CLOSE)


@each_bin
def test_ends_reach_to_infinity(function, distribution):
    distance, scale = grid(DISTANCES, SCALES)
    exact, wide = distance.astype("float64"), scale.astype("float64")
    below = distribution.logcdf((exact + 0.5) / wide)
    above = distribution.logsf((exact - 0.5) / wide)
    np.testing.assert_allclose(to_numpy(function(distance, scale, lowest=True)), below, **CLOSE)
    np.testing.assert_allclose(to_numpy(function(distance, scale, highest=True)), above, **CLOSE)
    marked = to_numpy(function(distance, scale, distance < -5.0, distance > 5.0))
    inside = in_float64(distribution, exact, wide)
    expected = np.where(exact < -5, below, np.where(exact > 5, above, inside))
    np.testing.assert_allclose(marked, expected, **CLOSE)


@each_bin
def test_compiled_gives_the_same(function, distribution):
    compiled = CompiledFunction(lambda d, s: function(d, s), list)
    arguments = [kops.convert_to_tensor(x) for x in grid(DISTANCES, SCALES)]
    # XLA has exponentials of its own.
    np.testing.assert_allclose(
        to_numpy(compiled(*arguments)), to_numpy(function(*arguments)), **CLOSE
    )


@each_bin
@pytest.mark.parametrize("end", [{}, {"lowest": True}, {"highest": True}])
def test_gradients_are_those_of_differences(function, distribution, end):
    """By distance and by scale, also where the cases of the normal meet (distance ± ½)."""
    distance, scale = grid([-200, -40.5, -3, -0.5, 0, 0.25, 0.5, 0.51, 1, 2.7, 99, 255], SCALES[1:])

    def log_prob(d, s):
        if end:
            at = (d + 0.5) / s if "lowest" in end else (0.5 - d) / s
            return distribution.logcdf(at)
        return in_float64(distribution, d, s)

    exact, wide = distance.astype("float64"), scale.astype("float64")
    step = 1e-5 * wide
    sides = [
        (log_prob(exact + step, wide), log_prob(exact - step, wide)),
        (log_prob(exact, wide + step), log_prob(exact, wide - step)),
    ]
    for found, (plus, minus) in zip(slopes(function, distance, scale, **end), sides, strict=True):
        expected = (plus - minus) / (2 * step)
        # The references have 10 digits, of which a difference over such a step leaves 5.
        error = 1e-4 * np.abs(expected) + 1e-10 * np.abs(plus) / step + 1e-6
        assert (np.abs(found - expected) < error).all()


@each_bin
def test_gradients_are_finite_wherever_the_value_is(function, distribution):
    distance, scale = grid(
        [0, 0.5, -0.5, 1e-20, 300, -300, 12_000, 1e6], [1e-3, 0.05, 0.5, 1.0, 7.0, 1e4, 1e6, 1e9]
    )
    for end in ({}, {"lowest": True}, {"highest": True}):
        assert np.isfinite(to_numpy(function(distance, scale, **end))).all()
        assert np.isfinite(slopes(function, distance, scale, **end)).all()


def test_log_normal_cdf_is_scipys():
    x = np.concatenate([np.linspace(-14, 14, 2001), [-1e4, 1e4, 0.0]]).astype("float32")
    expected = scipy.special.log_ndtr(x.astype("float64"))
    np.testing.assert_allclose(to_numpy(ops.log_normal_cdf(x)), expected, **CLOSE)
    # φ(0) / Φ(0) = 2 / √(2π); and far below the slope is −x.
    slope, _ = gradients(lambda x: kops.sum(ops.log_normal_cdf(x)), np.float32([0.0, -1e4, 1e4]))
    np.testing.assert_allclose(slope, [2 / np.sqrt(2 * np.pi), 1e4, 0], rtol=1e-5)


def test_log_one_minus_exp_keeps_all_digits():
    x = np.geomspace(1e-30, 80, 500).astype("float32")
    exact = x.astype("float64")
    expected = np.where(x < 1, np.log(-np.expm1(-exact)), np.log1p(-np.exp(-np.maximum(exact, 1))))
    np.testing.assert_allclose(to_numpy(ops.log_one_minus_exp(x)), expected, rtol=5e-7)
    slope, _ = gradients(lambda x: kops.sum(ops.log_one_minus_exp(x)), x)
    np.testing.assert_allclose(slope, 1 / np.expm1(exact), rtol=2e-6)
