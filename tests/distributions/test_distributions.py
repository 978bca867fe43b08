import itertools

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from models_for_tests import any_size, vqvae
from support import grey_images, to_numpy

from keras_vqvae import layers, models
from keras_vqvae.ops import draw_normals

pytestmark = pytest.mark.tensorflow_only
distributions = pytest.importorskip("keras_vqvae.distributions")
tf = pytest.importorskip("tensorflow")
tfd = pytest.importorskip("tensorflow_probability").distributions


def make_prior(num_embeddings=3, code_shape=(2, 2), **kwargs):
    return models.PixelCNN(
        code_shape, num_embeddings, filters=4, residual_blocks=1, embedding_dim=2, **kwargs
    )


def all_grids(num_embeddings=3):
    values = itertools.product(range(num_embeddings), repeat=4)
    return np.array(list(values), "int32").reshape(-1, 2, 2)


@pytest.fixture
def two_stage():
    model = vqvae(
        layers.VectorQuantizer(3, embeddings_initializer="random_normal"),
        likelihood="gaussian",
    )
    model.build((None, 8, 8, 1))
    return models.TwoStage(model, make_prior())


def variational():
    return models.convolutional_vae((8, 8, 1), 2, (4,), likelihood="discretized_logistic")


# -- codes ----------------------------------------------------------------------------------------


def test_codes_have_the_priors_probabilities():
    prior, grids = make_prior(), all_grids()
    codes = distributions.CodeDistribution(prior)
    assert codes.event_shape == (2, 2)
    assert codes.batch_shape == ()
    assert codes.dtype == tf.int32
    log_prob = to_numpy(codes.log_prob(grids))
    assert log_prob.dtype == np.float32
    np.testing.assert_allclose(log_prob, prior.log_prob(grids), rtol=1e-5)
    assert scipy.special.logsumexp(log_prob) == pytest.approx(0.0, abs=1e-5)
    shaped = codes.log_prob(grids.reshape(3, 27, 2, 2))
    np.testing.assert_allclose(to_numpy(shaped).ravel(), log_prob, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(codes.log_prob(grids[5])), log_prob[5], rtol=1e-5)


def test_codes_are_sampled_at_their_probabilities():
    codes, grids = distributions.CodeDistribution(make_prior(2)), all_grids(2)
    samples = to_numpy(codes.sample(4000, seed=(1, 2)))
    assert samples.shape == (4000, 2, 2)
    counts = np.bincount(samples.reshape(-1, 4) @ [8, 4, 2, 1], minlength=16)
    expected = 4000 * np.exp(np.float64(codes.log_prob(grids)))
    assert scipy.stats.chisquare(counts, expected * 4000 / expected.sum()).pvalue > 0.01
    np.testing.assert_array_equal(codes.sample(4000, seed=(1, 2)), samples)
    assert not np.array_equal(codes.sample(4000, seed=(1, 3)), samples)
    assert codes.sample(seed=3).shape == (2, 2)
    assert codes.sample((2, 3), seed=3).shape == (2, 3, 2, 2)


def test_labels_are_the_batch():
    prior, grids = make_prior(num_classes=4), all_grids()
    codes = distributions.CodeDistribution(prior, labels=[[0], [3]])
    assert codes.batch_shape == (2, 1)
    samples = codes.sample(5, seed=[1, 2])
    assert samples.shape == (5, 2, 1, 2, 2)
    log_prob = to_numpy(codes.log_prob(samples))
    assert log_prob.shape == (5, 2, 1)
    for member, label in enumerate((0, 3)):
        rows = to_numpy(samples)[:, member, 0]
        expected = prior.log_prob(rows, np.full(5, label))
        np.testing.assert_allclose(log_prob[:, member, 0], expected, rtol=1e-5)
    both = to_numpy(codes.log_prob(grids[7]))  # one grid, for each member
    expected = prior.log_prob(np.stack([grids[7]] * 2), np.array([0, 3]))
    np.testing.assert_allclose(both.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize("labels", [2, -1, [0, 2], [[0], [-1]]])
def test_labels_out_of_range_are_refused(labels):
    prior = make_prior(num_classes=2)
    with pytest.raises(ValueError, match=r"`labels` should be in \[0, 2\)"):
        distributions.CodeDistribution(prior, labels)


def test_no_label_is_one_of_a_prior_with_label_dropout():
    prior = make_prior(num_classes=2, label_dropout=0.1)
    codes = distributions.CodeDistribution(prior, [-1, 1])
    assert codes.sample(3, seed=1).shape == (3, 2, 2, 2)
    with pytest.raises(ValueError, match=r"`labels` should be in \[-1, 2\)"):
        distributions.CodeDistribution(prior, -2)


def test_log_prob_in_graphs_and_under_xla():
    codes, grids = distributions.CodeDistribution(make_prior()), all_grids()
    expected = to_numpy(codes.log_prob(grids))
    for jit_compile in (False, True):
        compiled = tf.function(codes.log_prob, jit_compile=jit_compile)
        np.testing.assert_allclose(to_numpy(compiled(tf.constant(grids))), expected, rtol=1e-5)
    sample = tf.function(lambda: codes.sample(2, seed=tf.constant([1, 2])))
    np.testing.assert_array_equal(sample(), codes.sample(2, seed=tf.constant([1, 2])))


def test_gradients_reach_the_prior_and_training_is_followed():
    prior, grids = make_prior(), all_grids()
    codes = distributions.CodeDistribution(prior)
    before = to_numpy(codes.log_prob(grids))
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(codes.log_prob(grids[:4]))
    found = tape.gradient(loss, [v.value for v in prior.trainable_variables])
    assert all(g is not None for g in found)
    prior.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    prior.fit(np.repeat(grids[:1], 16, axis=0), epochs=3, verbose=0)
    assert codes.log_prob(grids[0]) > before[0]


def test_codes_of_several_depths():
    prior = make_prior(3, (2, 2, 2))
    codes = distributions.CodeDistribution(prior)
    samples = codes.sample(3, seed=1)
    assert samples.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(
        to_numpy(codes.log_prob(samples)), prior.log_prob(to_numpy(samples)), rtol=1e-5
    )


# -- images ---------------------------------------------------------------------------------------


def test_images_given_codes(two_stage):
    model, images = two_stage.vqvae, grey_images(4)
    codes = model.encode(images)
    given = distributions.ImagesGivenLatents(model, codes)
    assert given.batch_shape == (4,)
    assert given.event_shape == (8, 8, 1)
    np.testing.assert_allclose(
        to_numpy(given.log_prob(images)), model.log_prob_given(images, codes), rtol=1e-5
    )
    np.testing.assert_allclose(to_numpy(given.mean()), model.decode(codes), atol=1e-3)
    each = to_numpy(given.log_prob(images[:, None]))  # every image under every grid
    assert each.shape == (4, 4)
    np.testing.assert_allclose(np.diag(each), to_numpy(given.log_prob(images)), rtol=1e-5)
    samples = to_numpy(given.sample(300, seed=1))
    assert samples.shape == (300, 4, 8, 8, 1)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, np.round(samples), atol=1e-3)
    assert 0 <= samples.min() < samples.max() <= 255
    # σ is 45 levels; means of 300, of values that are clipped to [0, 255].
    location = 255 * (to_numpy(model.decoder(model.decoder_input(codes))) + 0.5)
    normals = scipy.stats.norm(location[..., None], 255 * np.sqrt(1 / 32))
    inner = np.linspace(0, 255, 1001)
    expected = scipy.integrate.trapezoid(normals.sf(inner), inner, axis=-1)
    assert np.abs(samples.mean(axis=0) - expected).max() < 5 * 45 / np.sqrt(300)


def test_value_range_is_that_of_the_model():
    model = models.convolutional_autoencoder(
        (8, 8, 1), 2, (4,), likelihood="discretized_logistic", value_range=(-1, 1)
    )
    images = (grey_images(2) / 127.5 - 1).astype("float32")
    given = distributions.ImagesGivenLatents(model, model.encode(images))
    np.testing.assert_allclose(
        to_numpy(given.log_prob(images)), model.reconstruction_log_prob(images), rtol=1e-5
    )
    samples = to_numpy(given.sample(seed=1))
    assert -1 <= samples.min() < -0.5
    assert 0.5 < samples.max() <= 1


def test_two_stages_give_the_bound(two_stage):
    images = distributions.TwoStageDistribution(two_stage)
    data = grey_images(6)
    expected = two_stage.log_prob(data)
    np.testing.assert_allclose(to_numpy(images.log_prob(data)), expected, rtol=1e-5)
    shaped = to_numpy(images.log_prob(data.reshape(2, 3, 8, 8, 1)))
    np.testing.assert_allclose(shaped.ravel(), expected, rtol=1e-5)
    samples = images.sample(3, seed=(1, 2))
    assert samples.shape == (3, 8, 8, 1)
    assert np.isfinite(to_numpy(images.log_prob(samples))).all()
    np.testing.assert_array_equal(images.sample(3, seed=(1, 2)), samples)


def test_a_vae_gives_its_bound():
    model, data = variational(), grey_images(5)
    images = distributions.VAEDistribution(model, samples=4)
    noise = draw_normals(0, 0, 4, model.latent_shape)
    unit = np.float32(data / 255)
    z_e = model.encoder(unit - 0.5)
    weights = [to_numpy(model.log_weights(unit, z_e, one[None])) for one in noise]
    expected = scipy.special.logsumexp(np.float64(weights), axis=0) - np.log(4)
    np.testing.assert_allclose(to_numpy(images.log_prob(data)), expected, rtol=1e-5)
    assert images.sample((2, 3), seed=1).shape == (2, 3, 8, 8, 1)


@pytest.mark.parametrize("kind", ["sequential", "named"])
def test_joint_distributions_of_codes_and_images(two_stage, kind):
    def of_images(codes):
        return distributions.ImagesGivenLatents(two_stage.vqvae, codes)

    of_codes = distributions.CodeDistribution(two_stage.prior)
    if kind == "sequential":
        joint = tfd.JointDistributionSequential([of_codes, of_images])
        codes, images = joint.sample(3, seed=1)
        drawn = [codes, images]
    else:
        joint = tfd.JointDistributionNamed({"codes": of_codes, "images": of_images})
        drawn = joint.sample(3, seed=1)
        codes, images = drawn["codes"], drawn["images"]
    assert codes.shape == (3, 2, 2)
    assert images.shape == (3, 8, 8, 1)
    log_prob = to_numpy(joint.log_prob(drawn))
    parts = of_codes.log_prob(codes) + of_images(codes).log_prob(images)
    np.testing.assert_allclose(log_prob, to_numpy(parts), rtol=1e-6)


def test_a_mixture_of_labels_in_a_joint_distribution():
    prior = make_prior(num_classes=3)
    joint = tfd.JointDistributionNamed(
        {
            "label": tfd.Categorical(probs=[0.2, 0.3, 0.5]),
            "codes": lambda label: distributions.CodeDistribution(prior, label),
        }
    )
    drawn = joint.sample(6, seed=2)
    labels, codes = (to_numpy(drawn[name]) for name in ("label", "codes"))
    expected = np.log([0.2, 0.3, 0.5])[labels] + prior.log_prob(codes, labels)
    np.testing.assert_allclose(to_numpy(joint.log_prob(drawn)), expected, rtol=1e-5)


def test_batches_of_any_size_in_a_function(two_stage):
    """As a data set gives them."""
    images, vae = grey_images(3), variational()
    codes = two_stage.vqvae.encode(images)
    for distribution, values in (
        (distributions.TwoStageDistribution(two_stage), images.astype("float32")),
        (distributions.VAEDistribution(vae), images.astype("float32")),
        (distributions.CodeDistribution(two_stage.prior), codes),
    ):
        signature = tf.TensorSpec((None, *values.shape[1:]), values.dtype)
        found = tf.function(distribution.log_prob, input_signature=[signature])(values)
        np.testing.assert_allclose(found, distribution.log_prob(values), rtol=1e-5)


def test_a_slice_is_that_of_the_batch(two_stage):
    prior = make_prior(num_classes=3)
    codes = distributions.CodeDistribution(prior, [[0, 1, 2], [2, 1, 0]])
    assert codes[1].batch_shape == (3,)
    assert codes[1, 2].batch_shape == ()
    grid = all_grids()[7]
    np.testing.assert_allclose(
        to_numpy(codes[:, 1:].log_prob(grid)), to_numpy(codes.log_prob(grid))[:, 1:], rtol=1e-6
    )
    latents = all_grids()[:6].reshape(3, 2, 2, 2)
    images = distributions.ImagesGivenLatents(two_stage.vqvae, latents)
    assert images[1].batch_shape == (2,)
    np.testing.assert_array_equal(images[..., 1].mean(), to_numpy(images.mean())[:, 1])
    of_classes = models.TwoStage(two_stage.vqvae, prior)
    assert distributions.TwoStageDistribution(of_classes, [0, 2, 1])[1:].batch_shape == (2,)


@pytest.mark.parametrize("shape", [(2,), (3, 2, 1), (1, 2)])
def test_codes_of_another_shape_do_not_broadcast(shape):
    codes = distributions.CodeDistribution(make_prior())
    with pytest.raises(ValueError, match=r"`value` of CodeDistribution .*\(\.\.\., 2, 2\)"):
        codes.log_prob(np.zeros(shape, "int32"))


def test_images_of_another_shape_do_not_broadcast(two_stage):
    for distribution in (
        distributions.ImagesGivenLatents(two_stage.vqvae, all_grids()[0]),
        distributions.TwoStageDistribution(two_stage),
        distributions.VAEDistribution(variational()),
    ):
        for shape in ((8, 8), (3, 1, 8, 1)):
            with pytest.raises(ValueError, match=r"`value` of .*\(\.\.\., 8, 8, 1\)"):
                distribution.log_prob(np.zeros(shape, "float32"))


# -- errors ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused(two_stage, monkeypatch):
    plain, conditional = make_prior(), make_prior(num_classes=2)
    with pytest.raises(ValueError, match=r"`labels` should be given: .* 2 classes"):
        distributions.CodeDistribution(conditional)
    with pytest.raises(ValueError, match="`labels` are for a prior with `num_classes`"):
        distributions.CodeDistribution(plain, labels=1)
    with pytest.raises(ValueError, match="should not be conditioned on vectors or grids"):
        distributions.CodeDistribution(make_prior(condition_shape=(2,)))
    with pytest.raises(ValueError, match=r"`value` should be in \[0, 3\)"):
        distributions.CodeDistribution(plain).log_prob(np.full((2, 2), 3))
    with pytest.raises(ValueError, match=r"`latents` should have shape \(..., 2, 2\)"):
        distributions.ImagesGivenLatents(two_stage.vqvae, np.zeros((2, 3), "int32"))
    with pytest.raises(ValueError, match="`samples` should be a positive integer"):
        distributions.VAEDistribution(variational(), samples=0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="set KERAS_BACKEND to 'tensorflow'"):
        distributions.CodeDistribution(plain)


def test_many_samples_are_drawn_in_parts_of_one_size(monkeypatch):
    prior = models.PixelCNN((2, 2), 5, filters=4, residual_blocks=1, embedding_dim=4, num_classes=3)
    codes = distributions.CodeDistribution(prior, labels=[0, 1, 2])
    at_once = codes.sample(5, seed=[1, 2])
    sizes, draw = [], prior.draw_codes
    monkeypatch.setattr(prior, "chunk_of_samples", lambda: 4)
    monkeypatch.setattr(
        prior, "draw_codes", lambda u, labels: sizes.append(u.shape[0]) or draw(u, labels)
    )
    np.testing.assert_array_equal(codes.sample(5, seed=[1, 2]), at_once)
    assert sizes == [4, 4, 4, 4]


def test_latents_are_looked_at_as_decode_does():
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    with pytest.raises(TypeError, match="should be integers"):
        distributions.ImagesGivenLatents(vqvae, tf.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match=r"should be in \[-1, 5\)"):
        distributions.ImagesGivenLatents(vqvae, tf.fill((1, 4, 4), 5))
    of_any_size = any_size(models.VQVAE, layers.VectorQuantizer(5))
    of_any_size.build((None, None, None, 1))
    with pytest.raises(ValueError, match="`model` should be for images of one size"):
        distributions.ImagesGivenLatents(of_any_size, tf.zeros((1, 4, 4), tf.int32))
