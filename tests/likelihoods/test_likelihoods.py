import math

import keras
import numpy as np
import pytest
import scipy.stats
from support import gradients, normal, to_numpy

from keras_vqvae import likelihoods
from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.likelihoods import Bernoulli, Gaussian
from keras_vqvae.ops import draw_uniforms


def unit_images(shape=(2, 3, 3, 1)):
    return np.random.default_rng(0).random(shape).astype("float32")


def test_gaussian_is_scipys_up_to_the_constant():
    images, outputs = unit_images(), normal((2, 3, 3, 1), 1, 0.3)
    scale = 0.2
    density = scipy.stats.norm.logpdf(images, outputs + 0.5, scale).mean(axis=(1, 2, 3))
    expected = -density - math.log(scale * math.sqrt(2 * math.pi))
    # float32 means of nine numbers.
    np.testing.assert_allclose(to_numpy(Gaussian(scale).loss(images, outputs)), expected, rtol=1e-5)


def test_gaussian_by_hand():
    # Zero means mid-grey: (0.75 − 0.5)² / (2·0.25²) = 0.5.
    image, zeros = np.full((1, 2, 2, 1), 0.75), np.zeros((1, 2, 2, 1))
    assert float(Gaussian(0.25).loss(image, zeros)[0]) == 0.5
    assert (to_numpy(Gaussian().mean(zeros)) == 0.5).all()


def test_from_variance_divides_the_squared_error_by_it():
    images, outputs = unit_images(), normal((2, 3, 3, 1), 1, 0.3)
    error = np.square(images - outputs - 0.5).mean(axis=(1, 2, 3))
    loss = to_numpy(Gaussian.from_variance(0.0633).loss(images, outputs))
    np.testing.assert_allclose(loss, error / 0.0633, rtol=1e-5)
    # The default is the one for a variance of 1/16, as its docstring says.
    assert Gaussian().scale == pytest.approx(Gaussian.from_variance(1 / 16).scale)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf, "1", None])
def test_gaussian_refuses_scales_that_are_not_positive(wrong):
    with pytest.raises(ValueError, match="`scale` should be"):
        Gaussian(scale=wrong)
    with pytest.raises(ValueError, match="`variance` should be"):
        Gaussian.from_variance(wrong)


def test_bernoulli_is_scipys_for_binary_images():
    images = np.round(unit_images())
    logits = normal((2, 3, 3, 1), 1, 3.0)
    p = 1 / (1 + np.exp(-np.float64(logits)))
    expected = -scipy.stats.bernoulli.logpmf(images, p).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(to_numpy(Bernoulli().loss(images, logits)), expected, rtol=1e-5)


def test_bernoulli_stays_finite_where_probabilities_round_to_zero():
    # −log p of the wrong value is |logit|; of the right one 0.
    images = np.array([0.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1, 1)
    logits = np.array([200.0, -200.0, -200.0, 200.0]).reshape(4, 1, 1, 1)
    assert to_numpy(Bernoulli().loss(images, logits)).tolist() == [200.0, 200.0, 0.0, 0.0]
    by_logits, _ = gradients(
        lambda x: keras.ops.sum(Bernoulli().loss(images, x)), logits.astype("float32")
    )
    np.testing.assert_allclose(by_logits.ravel(), [1, -1, 0, 0], atol=1e-6)


def test_bernoulli_takes_grey_as_a_coin():
    # At x = 0.25 and p = ½ both sides cost log 2.
    loss = Bernoulli().loss(np.full((1, 1, 1, 1), 0.25), np.zeros((1, 1, 1, 1)))
    assert float(loss[0]) == pytest.approx(math.log(2), rel=1e-6)
    assert float(to_numpy(Bernoulli().mean(np.zeros(1)))[0]) == 0.5


def test_bernoulli_scores_binary_images_and_refuses_others():
    images = np.round(unit_images())
    logits = normal((2, 3, 3, 1), 1, 3.0)
    p = 1 / (1 + np.exp(-np.float64(logits)))
    expected = scipy.stats.bernoulli.logpmf(images, p).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(to_numpy(Bernoulli().log_prob(images, logits)), expected, rtol=1e-5)
    grey = images.copy()
    grey[1, 0, 2, 0] = 0.5
    with pytest.raises(ValueError, match=r"scores binary images only.*such as 0\.5") as error:
        Bernoulli().log_prob(grey, logits)
    assert "'discretized_logistic'" in str(error.value)  # the remedy
    # Compiled code cannot raise: NaN for the image, and for no other.
    compiled = CompiledFunction(Bernoulli().log_prob, list)
    found = to_numpy(compiled(*(keras.ops.convert_to_tensor(x) for x in (grey, logits))))
    assert np.isnan(found).tolist() == [False, True]


def test_a_rounding_beside_black_and_white_is_no_grey_level():
    """As scaling leaves it, and as `log_prob` rounds it, compiled or not."""
    binary = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    nearly = np.nextafter(binary, np.float32(0.5))
    logits = normal((1, 1, 2, 1))
    np.testing.assert_array_equal(
        to_numpy(Bernoulli().log_prob(nearly, logits)),
        to_numpy(Bernoulli().log_prob(binary, logits)),
    )


NAMES = (
    *("gaussian", "gaussian_with_scale", "discretized_logistic", "discretized_logistic_mixture"),
    *("categorical", "bernoulli"),
)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_other_channels_are_refused(name):
    likelihood = likelihoods.get(name)
    # Of one channel, which would broadcast to three.
    parameters = np.zeros((2, 3, 3, likelihood.num_parameters(1)), "float32")
    images = np.zeros((2, 3, 3, 3), "float32")
    for function in (likelihood.loss, likelihood.log_prob):
        with pytest.raises(ValueError, match=r"`parameters` should hold .*images of 3 channels"):
            function(images, parameters)


@pytest.mark.parametrize("seed", [-1, 1.5, "7", 2**64])
def test_seeds_are_integers_from_zero(seed):
    with pytest.raises(ValueError, match=r"`seed` should be an integer ≥ 0"):
        Gaussian().sample(np.zeros((1, 2, 2, 1)), seed=seed)


def test_bernoullis_two_values_sum_to_one_and_are_drawn_at_their_rates():
    logits = np.linspace(-30, 30, 61).astype("float32").reshape(-1, 1, 1, 1)
    black, white = (
        np.exp(np.float64(Bernoulli().log_prob(np.full_like(logits, x), logits))) for x in (0, 1)
    )
    np.testing.assert_allclose(black + white, 1.0, atol=1e-6)
    uniforms = (np.arange(1000, dtype="float32") + 0.5) / 1000
    logits = np.full((1000, 1), math.log(3), "float32")
    assert to_numpy(Bernoulli().draw(logits, uniforms[:, None])).sum() == 750  # odds of 3 to 1


def test_pixels_are_drawn_from_a_stream_of_their_own():
    """One seed for codes and pixels ties neither to the other."""
    likelihood, parameters = Gaussian(), normal((3, 2, 2, 1), scale=0.1)
    found = to_numpy(likelihood.sample(parameters, seed=5))
    of_pixels, of_codes = (draw_uniforms(5, 0, 3, (2, 2, 1), stream=n) for n in (1, 0))
    np.testing.assert_array_equal(found, to_numpy(likelihood.draw(parameters, of_pixels)))
    assert (found != to_numpy(likelihood.draw(parameters, of_codes))).any()


def test_names_resolve():
    assert likelihoods.get("gaussian") == Gaussian()
    assert likelihoods.get("bernoulli") == Bernoulli()
    assert likelihoods.get(Gaussian(0.3)) == Gaussian(0.3)
    with pytest.raises(
        ValueError, match=r"`likelihood` should be one of \['bernoulli', 'categorical'"
    ):
        likelihoods.get("mse")
