"""What every likelihood of grey levels must show: sums, values, gradients, draws and means."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops
from likelihood_support import (
    LEVELS,
    LOCATIONS,
    SCALES,
    level_log_probs,
    meaning_of,
    mixture_log_prob,
    outputs_for,
)
from support import gradients, normal, to_numpy

from keras_vqvae.likelihoods import (
    Categorical,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Gaussian,
    GaussianWithScale,
)
from keras_vqvae.likelihoods.families import LOGISTIC, NORMAL

PAIRS = list(itertools.product(LOCATIONS, SCALES))


def all_levels(likelihood, parameters):
    """`log_prob` of all 256 images of one pixel for each row of parameters: float64 (rows, 256)."""
    parameters = np.asarray(parameters, "float32")
    images = np.tile(LEVELS.astype("float32") / 255, len(parameters)).reshape(-1, 1, 1, 1)
    rows = np.repeat(parameters, 256, axis=0)[:, None, None, :]
    return np.float64(to_numpy(likelihood.log_prob(images, rows))).reshape(-1, 256)


def two_outputs():
    return np.stack([outputs_for(*pair) for pair in PAIRS])


def with_two_outputs(likelihood, distribution):
    outputs = two_outputs()
    location, scale = (x[:, None] for x in meaning_of(*outputs.T))
    return all_levels(likelihood, outputs), level_log_probs(distribution, LEVELS, location, scale)


def gaussian_of_fixed_scale():
    found, expected = [], []
    locations = np.stack([outputs_for(x, 1.0)[0] for x in LOCATIONS])
    for scale in SCALES:
        found.append(all_levels(Gaussian(scale / 255), locations[:, None]))
        exact = 255 * (np.float64(locations)[:, None] + 0.5)
        expected.append(level_log_probs(scipy.stats.norm, LEVELS, exact, scale))
    return np.concatenate(found), np.concatenate(expected)


def mixture_of_two():
    """Each location and scale beside a component elsewhere."""
    outputs = two_outputs()
    other = np.roll(outputs, 5, axis=0)
    logits = np.tile(np.float32([0.3, -1.2]), (len(outputs), 1))
    rows = np.concatenate(
        [logits, outputs[:, :1], other[:, :1], outputs[:, 1:], other[:, 1:]], axis=1
    )
    weights = scipy.special.log_softmax(np.float64(logits), axis=1)
    parts = []
    for k, component in enumerate((outputs, other)):
        location, scale = (x[:, None] for x in meaning_of(*component.T))
        parts.append(
            weights[:, k : k + 1] + level_log_probs(scipy.stats.logistic, LEVELS, location, scale)
        )
    return all_levels(DiscretizedLogisticMixture(2), rows), np.logaddexp(*parts)


KINDS = {
    "gaussian": gaussian_of_fixed_scale,
    "gaussian_with_scale": lambda: with_two_outputs(GaussianWithScale(), scipy.stats.norm),
    "discretized_logistic": lambda: with_two_outputs(DiscretizedLogistic(), scipy.stats.logistic),
    "mixture": mixture_of_two,
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_levels_are_those_of_float64_and_sum_to_one(kind):
    found, expected = KINDS[kind]()
    np.testing.assert_allclose(scipy.special.logsumexp(found, axis=1), 0.0, atol=2e-6)
    # The reference itself is a distribution.
    np.testing.assert_allclose(scipy.special.logsumexp(expected, axis=1), 0.0, atol=1e-9)
    # Float32 holds 7 digits; the scale goes through tanh and exp. Where all but 1e-9 of the
    # probability is on one level, only that is asked for; a mixture rounds its weights, too.
    atol = 2e-7 if kind == "mixture" else 1e-9
    np.testing.assert_allclose(found, expected, rtol=5e-6, atol=atol)


def test_a_mixture_of_coupled_channels_sums_to_one_over_all_pixels():
    rng = np.random.default_rng(0)
    likelihood = DiscretizedLogisticMixture(3)
    parameters = rng.normal(size=(1, 1, 1, likelihood.num_parameters(2))).astype("float32")
    pixels = np.stack(np.meshgrid(LEVELS, LEVELS), axis=-1).reshape(-1, 1, 1, 2) / 255
    rows = np.broadcast_to(parameters, (len(pixels), *parameters.shape[1:]))
    log_prob = np.float64(to_numpy(likelihood.log_prob(pixels.astype("float32"), rows)))
    assert scipy.special.logsumexp(log_prob) == pytest.approx(0.0, abs=2e-6)


@pytest.mark.parametrize("scale", [0.2, 1.0, 20.0, 128.0])
def test_a_mixture_of_coupled_channels_is_that_of_float64(scale):
    rng, components, channels = np.random.default_rng(1), 4, 3
    logits = rng.normal(size=components).astype("float32")
    a, b = outputs_for(rng.uniform(0, 255, (components, channels)), scale)
    b = np.broadcast_to(b, a.shape)
    couplings = np.zeros((components, channels, channels), "float32")
    below = np.tril_indices(channels, -1)  # (1, 0), (2, 0), (2, 1), as the decoder gives them
    couplings[:, *below] = rng.normal(size=(components, 3))
    row = np.concatenate([logits, a.ravel(), b.ravel(), couplings[:, *below].ravel()])
    # Pixels anywhere, and pixels near to where a component expects them.
    pixels = rng.integers(0, 256, (60, channels))
    centred = (pixels - 127.5) / 255
    near = 127.5 + 255 * (a[0] + np.einsum("cj,nj->nc", np.tanh(couplings[0]), centred))
    pixels = np.concatenate([pixels, np.clip(np.round(near), 0, 255)])
    expected = [mixture_log_prob(p, logits, a, b, couplings) for p in pixels]
    images = np.float32(pixels / 255)[:, None, None]
    rows = np.broadcast_to(row, (len(pixels), 1, 1, len(row)))
    found = to_numpy(DiscretizedLogisticMixture(components).log_prob(images, rows))
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_categorical_is_scipys_softmax():
    logits = normal((7, 256), scale=5.0)
    found = all_levels(Categorical(), logits)
    expected = scipy.special.log_softmax(np.float64(logits), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # The logits of a channel are neighbours: the second channel's are the second 256.
    two = np.concatenate([logits[:1], logits[1:2]], axis=1)[:, None, None]
    image = np.float32([[[[10 / 255, 200 / 255]]]])
    log_prob = float(Categorical().log_prob(image, two)[0])
    assert log_prob == pytest.approx(expected[0, 10] + expected[1, 200], rel=1e-5)


# -- the two faces --------------------------------------------------------------------------------


def spread_outputs(likelihood, channels=1):
    """Random parameters of 64 pixels, and some for each level of an image."""
    return normal((1, 8, 8, likelihood.num_parameters(channels)), scale=0.7)


@pytest.mark.parametrize(
    "likelihood",
    [GaussianWithScale(), DiscretizedLogistic(), DiscretizedLogisticMixture(3), Categorical()],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_log_prob_by_dimension(likelihood, channels):
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 8, channels)) / np.float32(255)
    parameters = spread_outputs(likelihood, channels)
    loss = float(likelihood.loss(images, parameters)[0])
    log_prob = float(likelihood.log_prob(images, parameters)[0])
    assert loss == pytest.approx(-log_prob / (64 * channels), rel=1e-5)


def test_a_fixed_gaussians_loss_is_no_log_prob():
    image, outputs = np.full((1, 2, 2, 1), 0.8, "float32"), np.full((1, 2, 2, 1), 0.3, "float32")
    assert float(Gaussian().loss(image, outputs)[0]) == pytest.approx(0.0, abs=1e-12)
    # At its mean, a Gaussian of 45.08 levels puts 1/(σ√2π) on a level.
    scale = 255 * np.sqrt(1 / 32)
    expected = 4 * np.log(1 / (scale * np.sqrt(2 * np.pi)))
    assert float(Gaussian().log_prob(image, outputs)[0]) == pytest.approx(expected, rel=1e-4)


def test_log_prob_takes_the_nearest_level():
    likelihood, outputs = DiscretizedLogistic(), normal((1, 2, 2, 2))
    exact = np.full((1, 2, 2, 1), 100 / 255)
    nearby = exact + 0.4 / 255
    assert float(likelihood.log_prob(nearby, outputs)[0]) == float(
        likelihood.log_prob(exact, outputs)[0]
    )
    # The loss is that of a bin around the value itself.
    assert float(likelihood.loss(nearby, outputs)[0]) != float(likelihood.loss(exact, outputs)[0])


@pytest.mark.parametrize(
    "likelihood",
    [
        Gaussian(0.2 / 255),
        GaussianWithScale(),
        DiscretizedLogistic(),
        DiscretizedLogisticMixture(2),
        Categorical(),
    ],
    ids=lambda x: type(x).__name__,
)
def test_gradients_are_finite_everywhere(likelihood):
    """At both ends, on levels and between, for locations and scales far beyond the image."""
    count = likelihood.num_parameters(1)
    values = np.float32([-1e4, -60, -6, -0.5, 0, 0.1, 0.5, 6, 60, 1e4])
    rows = np.stack(
        [np.resize([x, y], count) for x, y in itertools.product(values, values)]
        + [np.repeat([x, y], -(-count // 2))[:count] for x, y in itertools.product(values, values)]
    )
    images = np.float32([0, 0.3 / 255, 77 / 255, 127.5 / 255, 254.7 / 255, 1])
    rows = np.repeat(rows, len(images), axis=0)[:, None, None]
    images = np.tile(images, len(rows) // len(images)).reshape(-1, 1, 1, 1)
    for face in (likelihood.loss, likelihood.log_prob):
        by_parameters, _ = gradients(lambda p, f=face: ops.sum(f(images, p)), rows)
        assert np.isfinite(by_parameters).all()


# -- draws and means ------------------------------------------------------------------------------


def rates_of_draws(likelihood, row, count=20_000):
    """Shares of the 256 levels at uniforms that are spread evenly."""
    rows = np.broadcast_to(np.float32(row), (count, len(row)))
    even = (np.arange(count, dtype="float32") + 0.5) / count
    uniforms = even[:, None]
    if likelihood.num_uniforms(1) == 2:  # a component and a level, evenly in the plane
        uniforms = np.stack([even, (np.arange(count) * 0.6180339887) % 1.0], axis=1)
    levels = 255 * to_numpy(likelihood.draw(rows, np.float32(uniforms)))
    return np.bincount(np.round(levels[:, 0]).astype(int), minlength=256) / count


def rows_for_draws():
    near_black, wide = outputs_for(3.0, 2.0), outputs_for(140.0, 60.0)
    return {
        "gaussian": (Gaussian(30 / 255), outputs_for(20.0, 1.0)[:1]),
        "gaussian_with_scale": (GaussianWithScale(), wide),
        "discretized_logistic": (DiscretizedLogistic(), near_black),
        "mixture": (
            DiscretizedLogisticMixture(2),
            np.float32([0.5, -0.5, near_black[0], wide[0], near_black[1], wide[1]]),
        ),
        "categorical": (Categorical(), normal((256,), scale=2.0)),
    }


@pytest.mark.parametrize("kind", rows_for_draws())
def test_levels_are_drawn_at_their_probabilities(kind):
    likelihood, row = rows_for_draws()[kind]
    probabilities = np.exp(all_levels(likelihood, np.float32(row)[None]))[0]
    rates = rates_of_draws(likelihood, row)
    # Even uniforms miss a share by 1/20000 at an end of it; in the plane by some times that.
    np.testing.assert_allclose(rates, probabilities, atol=1e-3 if kind == "mixture" else 1.1e-4)


@pytest.mark.parametrize(
    ("family", "distribution"), [(NORMAL, scipy.stats.norm), (LOGISTIC, scipy.stats.logistic)]
)
def test_a_uniform_of_zero_is_a_rare_level_and_not_black(family, distribution):
    """It is one of 2²⁴ uniforms: the middle of what it stands for is 2⁻²⁵."""
    uniforms = np.float32([0.0, 1.0 - 2.0**-24])
    found = 255 * to_numpy(family.draw(np.zeros(2, "float32"), np.float32(4.0), uniforms))
    expected = 127.5 + 4.0 * distribution.ppf([2.0**-25, 1.0 - 2.0**-24])
    np.testing.assert_allclose(found, expected, atol=1.0)  # a level


@pytest.mark.parametrize("kind", [k for k in rows_for_draws() if k != "gaussian"])
def test_the_mean_is_the_expected_level(kind):
    likelihood, row = rows_for_draws()[kind]
    probabilities = np.exp(all_levels(likelihood, np.float32(row)[None]))[0]
    mean = 255 * float(likelihood.mean(np.float32(row)[None])[0, 0])
    # Of the clipped variable: a tenth of a level from that of the rounded one.
    assert mean == pytest.approx(probabilities @ LEVELS, abs=0.1)


def test_coupled_channels_follow_one_another():
    """Green is red's, and blue the opposite of green: α = tanh(9) = 1, tanh(−9) = −1."""
    narrow = outputs_for(0.0, 0.2)[1]
    middle = np.zeros(3)
    row = np.float32([0, *middle, outputs_for(0, 60)[1], narrow, narrow, 9, 0, -9])
    likelihood = DiscretizedLogisticMixture(1)
    rows = np.broadcast_to(row, (500, 1, 1, 10))
    pixels = 255 * to_numpy(likelihood.sample(rows, seed=0))[:, 0, 0] - 127.5
    assert pixels[:, 0].std() > 50
    assert np.abs(pixels[:, 1] - pixels[:, 0]).max() < 3  # twelve scales
    assert np.abs(pixels[:, 2] + pixels[:, 1]).max() < 3
    moved = row.copy()
    moved[1] = 40 / 255  # red's location: the others' means follow
    mean = 255 * to_numpy(likelihood.mean(moved[None, None, None]))[0, 0, 0] - 127.5
    np.testing.assert_allclose(mean, np.array([1, 1, -1]) * mean[0], atol=0.01)
    assert mean[0] > 25


@pytest.mark.parametrize("wrong", [0, -1, 2.5])
def test_a_mixture_needs_components(wrong):
    with pytest.raises(ValueError, match="`num_components` should be a positive integer"):
        DiscretizedLogisticMixture(wrong)
