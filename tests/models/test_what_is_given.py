"""Arguments of models that are looked at: batches of dark images, lists, pairs, labels."""

import numpy as np
import pytest
from support import grey_images

from keras_vqvae import models

DARK = np.concatenate([grey_images(2), (grey_images(2) > 128).astype("uint8")])


def vqvae():
    return models.convolutional_vqvae((8, 8, 1), num_embeddings=8, widths=(4,))


def vae():
    return models.convolutional_vae((8, 8, 1), embedding_dim=2, widths=(4,))


def pixelcnn(**kwargs):
    return models.PixelCNN((4, 4), 8, filters=8, residual_blocks=1, embedding_dim=4, **kwargs)


@pytest.mark.parametrize("of_data_set", [False, True])
def test_a_batch_of_dark_images_says_nothing_of_their_scale(of_data_set):
    given = (lambda: iter([DARK[:2], DARK[2:]])) if of_data_set else (lambda: DARK)
    model = vqvae()
    scores = model.reconstruction_log_prob(given(), batch_size=2)
    np.testing.assert_allclose(scores, model.reconstruction_log_prob(DARK, batch_size=4), rtol=1e-6)
    two = models.TwoStage(model, pixelcnn())
    assert two.log_prob(given(), batch_size=2).shape == (4,)
    assert vae().log_prob_bound(given(), batch_size=2).shape == (4,)
    with pytest.raises(ValueError, match=r"holds integers in \[0, 1\]"):
        model.reconstruction_log_prob(DARK[2:])


def test_samples_and_the_bound_have_noise_of_their_own():
    model = vae()
    drawn = np.round(np.clip(model.sample(64, seed=0), 0, 255)).astype("uint8")
    bounds = [model.log_prob_bound(drawn, seed=seed).mean() for seed in (0, 1, 2)]
    assert abs(bounds[0] - bounds[1]) < 5 * abs(bounds[1] - bounds[2]) + 0.02 * abs(bounds[1])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda codes: codes.tolist(), TypeError, "a list of 4 item"),
        (list, TypeError, r"Pass `np\.stack\(codes\)`"),
        (lambda codes: iter([codes + 0.5]), TypeError, "should be integers"),
        (lambda codes: iter([codes, codes + 8]), ValueError, r"should be in \[-1, 8\)"),
        (lambda codes: iter([codes[:, :2]]), ValueError, "shape"),
    ],
)
def test_codes_in_any_form_are_looked_at(given, error, message):
    with pytest.raises(error, match=message):
        vqvae().decode(given(np.zeros((4, 4, 4), "int32")))


def test_data_sets_of_codes_are_decoded():
    model, codes = vqvae(), np.arange(64).reshape(4, 4, 4) % 8
    found = model.decode(iter([codes[:3], codes[3:]]))
    np.testing.assert_array_equal(found, model.decode(codes))
    np.testing.assert_array_equal(model.decode([codes[:3], codes[3:]]), found)


def test_lists_of_latents_are_refused():
    model = models.convolutional_autoencoder((8, 8, 1), embedding_dim=1, widths=(4,))
    latents = model.encode(grey_images(3))
    with pytest.raises(TypeError, match=r"Pass `np\.stack\(latents\)`"):
        model.decode(list(latents))


def test_a_pair_of_codes_and_labels_is_predicted():
    model, codes, labels = pixelcnn(num_classes=3), np.zeros((6, 4, 4), "int32"), np.arange(6) % 3
    model.compile("sgd")
    expected = np.asarray(model(codes, labels=labels))
    for pair in ((codes, labels), [codes, labels]):
        np.testing.assert_allclose(model.predict(pair, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict_on_batch((codes, labels)), expected, atol=1e-5)


@pytest.mark.parametrize(
    "given", [{"labels": [1, 2]}, {"condition": np.ones((2, 3))}], ids=["labels", "condition"]
)
def test_what_a_prior_is_not_conditioned_on_is_refused(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"`{name}` should be left out: prior"):
        pixelcnn().sample(2, **given)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("likelihood", ["gaussian", "discretized_logistic"])
def test_images_of_no_known_shape_are_trained_on(likelihood):
    import tensorflow as tf

    model = models.convolutional_vqvae(
        (8, 8, 1), num_embeddings=8, widths=(4,), likelihood=likelihood
    )
    model.compile("sgd")
    images = grey_images(4)
    unknown = tf.TensorSpec((None, None, None, None), tf.uint8)
    pipeline = tf.data.Dataset.from_generator(lambda: iter([images]), output_signature=unknown)
    history = model.fit(pipeline.repeat(), steps_per_epoch=2, verbose=0).history
    assert np.isfinite(history["loss"][0])
