import itertools

import keras
import numpy as np
import pytest
import scipy.special
from models_for_tests import Pairs, decoder, encoder
from support import to_numpy

from keras_vqvae import layers, models, ops


def _images(n=24):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


def _vqvae():
    return models.convolutional_vqvae((8, 8, 1), num_embeddings=6, embedding_dim=4, widths=(4, 4))


def _prior(vqvae, **kwargs):
    return models.PixelCNN(
        vqvae.code_shape, vqvae.num_embeddings, filters=8, residual_blocks=1, **kwargs
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of both stages, trained once for all tests."""
    keras.utils.set_random_seed(0)
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae))
    model.fit(_images(), epochs=(1, 1), verbose=0)
    folder = tmp_path_factory.mktemp("two_stage")
    model.save(folder)
    return folder


@pytest.fixture
def fitted(saved):
    return models.TwoStage.load(saved)


def test_models_in_the_wrong_order_are_refused():
    vqvae = _vqvae()
    with pytest.raises(TypeError, match=r"`vqvae` should be a `models.VQVAE`. Received: <PixelCNN"):
        models.TwoStage(_prior(vqvae), vqvae)
    with pytest.raises(TypeError, match=r"`prior` should be a `models.CodePrior`.*<VQVAE"):
        models.TwoStage(vqvae, vqvae)


def test_fit_trains_both_stages_and_returns_both_histories():
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae))
    first, second = model.fit(_images(), epochs=(2, 3), validation_data=_images(8), verbose=0)
    assert len(first.history["val_loss"]) == 2
    assert len(second.history["val_bits_per_code"]) == 3


@pytest.mark.parametrize("form", [tuple, list])
def test_validation_data_is_what_keras_takes(form):
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae))
    images, labels = _images(4), np.arange(4)
    for several in ((images,), (images, labels), (images, labels, None)):
        _, second = model.fit(images, epochs=(0, 1), validation_data=form(several), verbose=0)
        assert len(second.history["val_bits_per_code"]) == 1
    with pytest.raises(ValueError, match="takes no sample weights"):
        model.fit(images, validation_data=form((images, labels, np.ones(4))), verbose=0)


def test_a_stage_of_no_epochs_is_left_as_it_is(fitted):
    before = fitted.vqvae.fingerprint()
    first, second = fitted.fit(_images(), epochs=(0, 1), verbose=0)
    assert first is None
    assert second is not None
    assert fitted.vqvae.fingerprint() == before


def test_samples_are_the_decoded_samples_of_the_prior(fitted):
    codes = fitted.prior.sample(3, seed=5)
    np.testing.assert_array_equal(fitted.sample(3, seed=5), fitted.vqvae.decode(codes))
    assert fitted.sample(0).shape == (0, 8, 8, 1)


# -- likelihood -----------------------------------------------------------------------------------


def test_log_prob_is_reconstruction_plus_codes_to_the_last_digit(fitted):
    images = _images(5)
    terms = fitted.log_prob_terms(images)
    log_prob = fitted.log_prob(images)
    assert log_prob.dtype == np.float64
    np.testing.assert_array_equal(log_prob, terms.reconstruction + terms.codes)
    codes = fitted.vqvae.encode(images)
    np.testing.assert_array_equal(terms.codes, np.float64(fitted.prior.log_prob(codes)))
    decoded = fitted.vqvae.decoder(fitted.vqvae.quantizer.decode(codes))
    given = fitted.vqvae.likelihood.log_prob(np.float32(images / 255), decoded)
    # Compiled and not: the last digits of float32.
    np.testing.assert_allclose(terms.reconstruction, to_numpy(given), rtol=1e-5)
    bits = [ops.bits_per_dimension(x, (8, 8, 1)) for x in (log_prob, *terms)]
    np.testing.assert_allclose(bits[0], bits[1] + bits[2], rtol=1e-15)


def test_log_prob_is_one_term_of_the_sum_over_all_grids():
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=3, embedding_dim=2, widths=(4, 4))
    model = models.TwoStage(vqvae, _prior(vqvae))
    model.fit(_images(), epochs=(1, 1), verbose=0)
    grids = np.array(list(itertools.product(range(3), repeat=4)), "int32").reshape(-1, 2, 2)
    image = _images(1)
    given = vqvae.log_prob_given(np.repeat(image, len(grids), axis=0), grids)
    joint = np.float64(given) + model.prior.log_prob(grids)
    own = np.flatnonzero((grids == vqvae.encode(image)).all(axis=(1, 2))).item()
    log_prob = model.log_prob(image).item()
    assert log_prob == pytest.approx(joint[own], rel=1e-5)
    assert log_prob < scipy.special.logsumexp(joint)


def test_log_prob_does_not_depend_on_the_batches(fitted):
    images = _images(6)
    whole = fitted.log_prob(images)
    np.testing.assert_allclose(fitted.log_prob(images, batch_size=4), whole, rtol=1e-5)
    np.testing.assert_allclose(fitted.log_prob(Pairs(images)), whole, rtol=1e-5)
    assert fitted.log_prob(images[:0]).shape == (0,)


def test_log_prob_refuses_what_cannot_be_scored(fitted):
    with pytest.raises(ValueError, match="should be images of shape"):
        fitted.log_prob(np.zeros((2, 4, 4, 1), "uint8"))
    fitted.vqvae.fit(_images(), verbose=0)
    with pytest.raises(ValueError, match="Fit a new prior"):
        fitted.log_prob(_images(2))


def test_what_the_prior_lacks_is_said_before_the_first_stage():
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae, num_classes=3))
    images, labels, before = _images(), np.arange(24) % 3, vqvae.fingerprint()
    for y, validation, message in [
        (None, None, "`labels` are needed"),
        (labels[:5], None, r"`labels` should have shape \(24,\)"),
        (labels, images, "`labels` are needed"),
        (labels, (images, labels + 1), r"`labels` should be in \[0, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(images, y, epochs=(1, 1), validation_data=validation, verbose=0)
    for name, one in (("epochs", 3), ("callbacks", [keras.callbacks.TerminateOnNaN()])):
        with pytest.raises(ValueError, match=f"`{name}` should be two"):
            model.fit(images, labels, verbose=0, **{name: one})
    assert not vqvae.compiled
    assert vqvae.fingerprint() == before
    assert model.prior.codes_fingerprint is None


def test_labels_are_as_many_as_images():
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae, num_classes=3))
    images, labels = _images(4), np.arange(4) % 3
    expected = model.log_prob(images, labels)
    np.testing.assert_allclose(model.log_prob(Pairs(images), labels), expected, rtol=1e-5)
    for more in (np.r_[labels, 0], np.zeros((0,), int), 1):
        for given in (images, Pairs(images)):
            with pytest.raises(ValueError, match="`labels` should"):
                model.log_prob(given, more)


@pytest.mark.slow
def test_labels_condition_the_prior():
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae, num_classes=3))
    labels = np.arange(24) % 3
    model.fit(_images(), labels, epochs=(1, 1), validation_data=(_images(), labels), verbose=0)
    assert model.sample(2, labels=1, seed=0).shape == (2, 8, 8, 1)
    terms = model.log_prob_terms(_images(), labels, batch_size=10)
    codes = model.vqvae.encode(_images())
    np.testing.assert_allclose(terms.codes, model.prior.log_prob(codes, labels), rtol=1e-5)
    with pytest.raises(ValueError, match="labels"):
        model.log_prob(_images())
    with pytest.raises(ValueError, match="labels"):
        model.sample(2)


def test_save_and_load(fitted, tmp_path):
    fitted.save(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "prior.keras",
        "vqvae.keras",
    ]
    loaded = models.TwoStage.load(tmp_path / "new" / "folder")
    np.testing.assert_array_equal(loaded.sample(2, seed=1), fitted.sample(2, seed=1))


def test_load_names_the_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vqvae\.keras"):
        models.TwoStage.load(tmp_path)


def test_a_prior_of_another_vqvae_is_refused(fitted):
    keras.utils.set_random_seed(99)
    other = _vqvae()
    with pytest.raises(ValueError, match="another VQ-VAE"):
        models.TwoStage(other, fitted.prior)


def test_a_prior_is_refused_once_the_vqvae_was_trained_on(fitted):
    fitted.vqvae.fit(_images(), verbose=0)
    with pytest.raises(ValueError, match="Fit a new prior"):
        fitted.sample(1)


def test_a_prior_for_another_grid_is_refused():
    vqvae = _vqvae()
    prior = models.PixelCNN((3, 2), vqvae.num_embeddings, filters=8, residual_blocks=1)
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        models.TwoStage(vqvae, prior)


def test_a_prior_that_names_the_codes_of_each_depth_fits_tables_of_one_size():
    residual = layers.ResidualVectorQuantizer(2, 6)
    vqvae = models.VQVAE(encoder(), residual, decoder())
    prior = models.PixelCNN((2, 2, 2), (6, 6), filters=8, residual_blocks=1)
    assert models.TwoStage(vqvae, prior).prior is prior
    other = models.PixelCNN((2, 2, 2), (6, 5), filters=8, residual_blocks=1)
    with pytest.raises(ValueError, match=r"below 6, as .* below \(6, 5\)"):
        models.TwoStage(vqvae, other)


def test_batches_are_refused_before_the_first_stage():
    """Their order may be another one than that of the labels."""
    vqvae = _vqvae()
    model = models.TwoStage(vqvae, _prior(vqvae))
    batches = Pairs(_images())
    for images, validation, name in ((batches, None, "images"), (_images(), batches, "val")):
        with pytest.raises(TypeError, match=rf"`{name}.* should be an array.*EncodedBatches"):
            model.fit(images, epochs=(1, 1), validation_data=validation, verbose=0)
    assert not vqvae.compiled
