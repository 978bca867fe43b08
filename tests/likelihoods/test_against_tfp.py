"""Every likelihood beside tensorflow_probability's distribution of the same name, in float64."""

import numpy as np
import pytest
from likelihood_support import LEVELS, LOCATIONS, SCALES, meaning_of, outputs_for
from support import normal, to_numpy

from keras_vqvae import likelihoods

pytestmark = pytest.mark.tensorflow_only

LOCATION, SCALE = (x.ravel() for x in np.meshgrid(LOCATIONS, SCALES))


@pytest.fixture(scope="module")
def tfp():
    return pytest.importorskip("tensorflow_probability")


def quantized(tfp, kind, location, scale):
    """Rounded and clipped to levels: `QuantizedDistribution` rounds up, hence the half."""
    distribution = getattr(tfp.distributions, kind)(location, scale)
    shifted = tfp.distributions.TransformedDistribution(
        distribution, tfp.bijectors.Shift(np.float64(-0.5))
    )
    return tfp.distributions.QuantizedDistribution(shifted, low=np.float64(0), high=np.float64(255))


def scored(likelihood, rows):
    """`log_prob` of all levels by ours, (256, rows)."""
    rows = np.float32(rows)
    images = np.repeat(LEVELS.astype("float32") / 255, len(rows)).reshape(-1, 1, 1, 1)
    log_prob = likelihood.log_prob(images, np.tile(rows, (256, 1))[:, None, None])
    return to_numpy(log_prob).reshape(256, -1)


@pytest.mark.parametrize(
    ("likelihood", "kind"),
    [
        (likelihoods.GaussianWithScale(), "Normal"),
        (likelihoods.DiscretizedLogistic(), "Logistic"),
    ],
    ids=["normal", "logistic"],
)
def test_learned_scales_are_tfps(tfp, likelihood, kind):
    a, b = outputs_for(LOCATION, SCALE)
    oracle = quantized(tfp, kind, *meaning_of(a, b))
    expected = to_numpy(oracle.log_prob(LEVELS[:, None]))
    np.testing.assert_allclose(
        scored(likelihood, np.stack([a, b], axis=1)), expected, rtol=5e-6, atol=1e-9
    )


def test_the_fixed_scale_is_tfps(tfp):
    a, _ = outputs_for(np.array(LOCATIONS), 1.0)
    for scale in SCALES:
        oracle = quantized(tfp, "Normal", 255 * (np.float64(a) + 0.5), scale)
        expected = to_numpy(oracle.log_prob(LEVELS[:, None]))
        found = scored(likelihoods.Gaussian(scale / 255), a[:, None])
        np.testing.assert_allclose(found, expected, rtol=5e-6, atol=1e-9)


def test_the_mixture_is_tfps(tfp):
    tfd, components, rows = tfp.distributions, 3, 40
    logits = normal((rows, components))
    rng = np.random.default_rng(1)
    a, b = outputs_for(
        rng.uniform(-20, 275, (rows, components)),
        np.exp(rng.uniform(-1.6, 4.8, (rows, components))),
    )
    oracle = tfd.MixtureSameFamily(
        tfd.Categorical(logits=np.float64(logits)), quantized(tfp, "Logistic", *meaning_of(a, b))
    )
    expected = to_numpy(oracle.log_prob(LEVELS[:, None]))
    found = scored(likelihoods.DiscretizedLogisticMixture(3), np.concatenate([logits, a, b], 1))
    np.testing.assert_allclose(found, expected, rtol=5e-6, atol=2e-7)


def test_categorical_and_bernoulli_are_tfps(tfp):
    logits = normal((5, 256), scale=4.0)
    oracle = tfp.distributions.Categorical(logits=np.float64(logits))
    expected = to_numpy(oracle.log_prob(LEVELS[:, None]))
    np.testing.assert_allclose(
        scored(likelihoods.Categorical(), logits), expected, rtol=1e-5, atol=1e-6
    )
    logits = np.linspace(-40, 40, 81)[:, None, None, None]
    oracle = tfp.distributions.Bernoulli(logits=np.float64(np.float32(logits)))
    for value in (0.0, 1.0):
        images = np.full(logits.shape, value)
        np.testing.assert_allclose(
            to_numpy(likelihoods.Bernoulli().log_prob(images, logits)),
            to_numpy(oracle.log_prob(np.float64(images)))[:, 0, 0, 0],
            rtol=1e-6,
        )
