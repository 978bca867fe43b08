import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from models_for_tests import Pairs, decoder, encoder
from support import grey_images, to_numpy, values_of

from keras_vqvae import models
from keras_vqvae.ops import draw_normals

schedules = keras.optimizers.schedules


def vae(likelihood="gaussian", channels=1, dim=3, **kwargs):
    """A compiled, eager VAE of 8×8 images and 2×2 latents."""
    model = models.VAE(
        encoder(dim=2 * dim),
        decoder(channels=channels, dim=dim),
        **{"likelihood": likelihood, "seed": 1, **kwargs},
    )
    model.compile("adam", run_eagerly=True)
    return model


def evaluation(model, images, **kwargs):
    return model.evaluate(images, verbose=0, return_dict=True, **kwargs)


def posterior(model, images):
    """Mean and standard deviation by NumPy, float64."""
    encoded = np.float64(to_numpy(model.encoder(np.float32(images / 255 - 0.5))))
    mean, log_variance = np.split(encoded, 2, axis=-1)
    return mean, np.exp(0.5 * log_variance)


def divergence(mean, deviation):
    """By scipy: the entropy of q, and the mean of the standard normal's −log under it."""
    cross = 0.5 * (mean**2 + deviation**2) + 0.5 * math.log(2 * math.pi)
    return (cross - scipy.stats.norm.entropy(mean, deviation)).sum(axis=(1, 2, 3))


def test_the_terms_are_numpys():
    model, images = vae(beta=0.5), grey_images(6)
    mean, deviation = posterior(model, images)
    logs = evaluation(model, images)
    expected = 0.5 * divergence(mean, deviation).mean() / 64
    assert logs["kl_loss"] == pytest.approx(expected, rel=1e-5)
    latents = mean + deviation * draw_normals(0, 0, 1, (2, 2, 3))
    outputs = np.float64(to_numpy(model.decoder(np.float32(latents))))
    squared = np.square(images / 255 - outputs - 0.5).mean()
    assert logs["reconstruction_loss"] == pytest.approx(squared / (2 / 32), rel=1e-4)
    assert logs["loss"] == pytest.approx(logs["kl_loss"] + logs["reconstruction_loss"], rel=1e-6)


def test_training_draws_from_the_posterior_anew_each_time():
    keras.utils.set_random_seed(0)
    model = vae()
    model.build((None, 8, 8, 1))
    # Mean 2 and standard deviation 0.5.
    z_e = np.concatenate(
        [np.full((500, 2, 2, 3), 2.0), np.full((500, 2, 2, 3), 2 * np.log(0.5))], -1
    )
    z_e = z_e.astype("float32")
    first, second = (to_numpy(model.through_bottleneck(z_e, True).latent) for _ in range(2))
    assert not np.array_equal(first, second)
    assert scipy.stats.kstest(first.ravel(), scipy.stats.norm(2.0, 0.5).cdf).pvalue > 0.01
    fixed, again = (to_numpy(model.through_bottleneck(z_e, False).latent) for _ in range(2))
    np.testing.assert_array_equal(fixed, again)
    np.testing.assert_array_equal(fixed[0], fixed[1])  # the same for each image


def test_calls_take_the_mean():
    model, images = vae(), grey_images(3)
    mean, _ = posterior(model, images)
    latents = model.encode(images)
    np.testing.assert_allclose(latents, mean, atol=1e-5)
    np.testing.assert_allclose(model.decode(latents), model.reconstruct(images), atol=1e-4)
    np.testing.assert_allclose(to_numpy(model(images)), model.reconstruct(images), atol=1e-4)
    assert model.encoder_model().output_shape == (None, 2, 2, 3)
    assert model.decoder_model().input_shape == (None, 2, 2, 3)
    in_training = to_numpy(model(images, training=True))
    assert np.abs(in_training - model.reconstruct(images)).max() > 1


def test_gradients_reach_both_halves_of_the_encoder():
    model = vae(beta=0.0)
    model.build((None, 8, 8, 1))
    before = to_numpy(model.encoder.layers[-1].kernel)
    model.fit(grey_images(4), verbose=0)
    moved = np.abs(to_numpy(model.encoder.layers[-1].kernel) - before).max(axis=(0, 1, 2))
    assert (moved > 0).all()  # through z alone: the means, and the deviations


def test_beta_by_schedule(tmp_path):
    # 4 · ½^step
    model = vae(beta=schedules.ExponentialDecay(4.0, decay_steps=1, decay_rate=0.5))
    plain = vae(beta=1.0)
    images = grey_images(4)
    plain.build((None, 8, 8, 1))
    model.build((None, 8, 8, 1))
    for mine, other in zip(model.encoder.weights, plain.encoder.weights, strict=True):
        other.assign(mine)
    assert evaluation(model, images)["kl_loss"] == pytest.approx(
        4 * evaluation(plain, images)["kl_loss"], rel=1e-6
    )
    model.fit(images, batch_size=2, verbose=0)
    assert float(model.number("beta")) == 1.0
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert float(again.number("beta")) == 1.0
    again.fit(images, batch_size=4, verbose=0)
    assert float(again.number("beta")) == 0.5


# -- the bound ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """A VAE of one latent, an image, `log p(x)` and the evidence lower bound, by quadrature."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = models.VAE(
        keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 4, 4)]),
        keras.Sequential([keras.Input((1, 1, 1)), layers.Conv2DTranspose(2, 4, 4)]),
        likelihood="discretized_logistic",
    )
    model.build((None, 4, 4, 1))
    image = grey_images(1, side=4)
    z = np.linspace(-9, 9, 3001)
    outputs = model.decoder(np.float32(z).reshape(-1, 1, 1, 1))
    unit = np.repeat(np.float32(image / 255), len(z), axis=0)
    given = np.float64(to_numpy(model.likelihood.log_prob(unit, outputs)))
    mean, deviation = (x.item() for x in posterior(model, image))
    q = scipy.stats.norm.pdf(z, mean, deviation) * (z[1] - z[0])
    exact = scipy.special.logsumexp(given + scipy.stats.norm.logpdf(z)) + math.log(z[1] - z[0])
    elbo = q @ given - divergence(*(np.full((1, 1, 1, 1), x) for x in (mean, deviation)))[0]
    return model, image, exact, elbo


def test_the_bound_of_one_sample_is_the_elbo_in_expectation(small):
    model, image, exact, elbo = small
    # An image's noise goes by its index: many draws of the same image.
    bounds = model.log_prob_bound(np.repeat(image, 4000, axis=0), batch_size=1000)
    assert bounds.shape == (4000,)
    error = bounds.std() / np.sqrt(len(bounds))
    assert abs(bounds.mean() - elbo) < 4 * error
    assert elbo < exact
    assert 4 * error < 0.5 * (exact - elbo)  # the test can tell them apart


def test_more_samples_tighten_the_bound(small):
    model, image, exact, elbo = small
    images = np.repeat(image, 500, axis=0)
    means = [model.log_prob_bound(images, samples=s, batch_size=500).mean() for s in (1, 4, 32)]
    assert means[0] < means[1] < means[2]
    assert abs(means[2] - exact) < 0.2 * (exact - elbo)


def test_the_bound_depends_on_seed_and_index_alone():
    model, images = vae(), grey_images(5)
    whole = model.log_prob_bound(images, samples=3)
    assert whole.dtype == np.float64
    # Other batch sizes may choose other kernels: the last digits of float32.
    np.testing.assert_allclose(model.log_prob_bound(images, 3, batch_size=2), whole, rtol=1e-5)
    even = model.log_prob_bound(images[:4], samples=3)
    np.testing.assert_allclose(model.log_prob_bound(Pairs(images[:4]), 3), even, rtol=1e-5)
    assert not np.allclose(model.log_prob_bound(images, samples=3, seed=1), whole, rtol=1e-5)
    assert model.log_prob_bound(images[:0]).shape == (0,)


def test_the_bound_and_encoding_do_not_disturb_each_other():
    """Both have the encoder compiled, one for images on the unit scale."""
    images = grey_images(4)

    def same():
        keras.utils.set_random_seed(1)
        return vae()

    bound, latents = same().log_prob_bound(images), same().encode(images)
    for first in ("encode", "log_prob_bound"):
        model = same()
        getattr(model, first)(images)
        np.testing.assert_allclose(model.encode(images), latents, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.log_prob_bound(images), bound, rtol=1e-5)


def test_the_bound_follows_training():
    model, images = vae(), grey_images(4)
    before = model.log_prob_bound(images)
    model.fit(images, verbose=0)
    assert not np.allclose(model.log_prob_bound(images), before, rtol=1e-7)


def test_the_bound_refuses_what_cannot_be_scored():
    with pytest.raises(ValueError, match="scores binary images only"):
        vae("bernoulli").log_prob_bound(grey_images(2))
    binary = np.uint8(255) * (grey_images(2) > 127)
    assert np.isfinite(vae("bernoulli").log_prob_bound(binary)).all()
    for arguments in ({"samples": 0}, {"samples": 2.0}, {"seed": -1}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` should be a"):
            vae().log_prob_bound(grey_images(2), **arguments)
    with pytest.raises(ValueError, match="should be images of shape"):
        vae().log_prob_bound(grey_images(2, side=12))


# -- samples, and the rest ------------------------------------------------------------------------


def test_samples_are_decoded_normals():
    model = vae()
    images = model.sample(5, seed=3)
    in_parts = [model.sample(2, seed=3), model.sample(3, seed=3, first=2)]
    np.testing.assert_allclose(np.concatenate(in_parts), images, atol=1e-4)
    assert images.shape == (5, 8, 8, 1)
    np.testing.assert_allclose(images, model.decode(draw_normals(3, 0, 5, (2, 2, 3))), atol=1e-4)
    np.testing.assert_allclose(model.sample(2, seed=3, batch_size=1), images[:2], atol=1e-4)
    keras.utils.set_random_seed(9)
    drawn = model.sample(2)
    keras.utils.set_random_seed(9)
    np.testing.assert_array_equal(model.sample(2), drawn)
    assert model.sample(0).shape == (0, 8, 8, 1)
    with pytest.raises(ValueError, match="`n` should be an integer ≥ 0"):
        model.sample(-1)


def test_a_seed_fixes_the_noise_of_training():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = vae(seed=5)
        model.fit(grey_images(4), shuffle=False, verbose=0)
        found.append(values_of(model.decoder))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_builders_give_the_encoder_and_decoder_of_the_vqvae():
    options = {"embedding_dim": 3, "widths": (4,), "likelihood": "discretized_logistic"}
    vqvae = models.convolutional_vqvae((8, 8, 1), 5, **options)
    autoencoder = models.convolutional_autoencoder((8, 8, 1), **options)
    variational = models.convolutional_vae((8, 8, 1), beta=0.5, value_range=(0, 1), **options)
    for model in (autoencoder, variational):
        assert model.built
        assert model.decoder.count_params() == vqvae.decoder.count_params()
    assert autoencoder.encoder.count_params() == vqvae.encoder.count_params()
    # 1×1 from 4 channels to D more, with biases.
    assert variational.encoder.count_params() == vqvae.encoder.count_params() + 3 * (4 + 1)
    assert variational.beta == 0.5
    assert variational.value_range == (0.0, 1.0)


def test_images_given_latents(tmp_path):
    model, images = models.convolutional_autoencoder((8, 8, 1), 3, (4,)), grey_images(5)
    latents = model.encode(images)
    outputs = model.decoder(latents)
    expected = to_numpy(model.likelihood.log_prob(np.float32(images / 255), outputs))
    found = model.log_prob_given(images, latents, batch_size=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruction_log_prob(images), expected, rtol=1e-5)
    np.testing.assert_allclose(
        model.reconstruction_log_prob(Pairs(images[:4])), expected[:4], rtol=1e-5
    )
    with pytest.raises(ValueError, match="`latents` should be as many as `images`"):
        model.log_prob_given(images, latents[:2])


@pytest.mark.parametrize("wrong", [-1.0, "much", None])
def test_beta_must_be_a_number_or_a_schedule(wrong):
    with pytest.raises(ValueError, match="`beta` should be ≥ 0, or a schedule"):
        vae(beta=wrong)


def test_encoders_and_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="should give 2 D channels"):
        models.VAE(encoder(dim=3), decoder(dim=3)).build((None, 8, 8, 1))
    with pytest.raises(ValueError, match="needs images of one size"):
        models.VAE(keras.layers.Conv2D(2, 4, 4), keras.layers.Conv2DTranspose(1, 4, 4)).build(
            (None, None, None, 1)
        )
