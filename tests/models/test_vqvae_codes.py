"""Codes of a VQ-VAE: encode, decode, what it says of them, and bad ones."""

import keras
import numpy as np
import pytest
from models_for_tests import Pairs, any_size, decoder, ema_quantizer, encoder, fit, vqvae
from support import grey_images, to_numpy

from keras_vqvae import models
from keras_vqvae.layers import ResidualVectorQuantizer, VectorQuantizer
from keras_vqvae.models.codes import check_codes


def test_encode_and_decode_are_reconstruct():
    model = vqvae()
    images = grey_images(6)
    codes = model.encode(images, batch_size=4)
    assert (codes.shape, codes.dtype) == ((6, 2, 2), np.int32)
    assert codes.min() >= 0
    assert codes.max() < model.num_embeddings
    decoded = model.decode(codes, batch_size=4)
    assert decoded.dtype == np.float32
    # Other kernels for other graphs: the last bits of 255.
    np.testing.assert_allclose(decoded, model.reconstruct(images), atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_vectors_of_a_float32_layer_are_not_rounded_before_they_are_encoded(policy):
    """As Keras advises, the last layer of a network in 16 bits may be float32."""
    keras.config.set_dtype_policy(policy)
    near = VectorQuantizer(2, embeddings_initializer=keras.initializers.Constant(0.5))
    model = models.VQVAE(encoder(dim=1, dtype="float32", use_bias=False), near, decoder(dim=1))
    white = np.full((1, 8, 8, 1), 255, "uint8")
    model.encode(white)  # builds it
    # 0.5001 is nearer to the second code, and 0.5 after it is rounded to 16 bits.
    near.embeddings.assign([[0.5], [0.50015]])
    model.encoder.layers[0].kernel.assign(np.full((4, 4, 1, 1), 0.5001 / 8, "float32"))
    z_e = model.encoder(np.full((1, 8, 8, 1), 0.5, "float32"))  # of images less 0.5
    chosen = to_numpy(model.quantizer.discretize(z_e).indices)
    np.testing.assert_array_equal(model.encode(white), chosen)
    assert set(chosen.ravel().tolist()) == {1}


def test_export_models_equal_encode_and_decode_and_save_by_themselves(tmp_path):
    model = vqvae(ema_quantizer())
    images = grey_images(6)
    fit(model, images)
    codes = model.encode(images)
    np.testing.assert_array_equal(to_numpy(model.codes_model()(images)), codes)
    np.testing.assert_allclose(
        to_numpy(model.decoder_model()(codes)), model.decode(codes), atol=1e-4
    )
    for name, x in (("codes_model", images), ("decoder_model", codes)):
        view = getattr(model, name)()
        view.save(tmp_path / f"{name}.keras")
        again = keras.models.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(to_numpy(again(x)), to_numpy(view(x)), atol=1e-4)


def test_codes_follow_training():
    model = vqvae(ema_quantizer())
    images = grey_images(8)
    model.encode(images)  # the views exist before training
    fit(model, images, epochs=2)
    fresh = models.VQVAE.from_config(model.get_config())
    fresh.build((None, 8, 8, 1))
    fresh.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.encode(images), fresh.encode(images))
    np.testing.assert_allclose(
        model.decode(model.encode(images)), fresh.reconstruct(images), atol=1e-3
    )


def test_encode_takes_data_sets_of_pairs():
    model = vqvae()
    images = grey_images(4)
    np.testing.assert_array_equal(model.encode(Pairs(images)), model.encode(images))


def test_what_it_says_of_its_codes():
    model = vqvae()
    assert model.code_shape == (2, 2)
    assert model.num_embeddings == 5
    assert model.bits_per_image == pytest.approx(4 * np.log2(5))
    lazy = models.VQVAE(keras.layers.Conv2D(2, 4, 4), VectorQuantizer(5), keras.layers.Dense(1))
    for name in ("code_shape", "bits_per_image"):
        with pytest.raises(ValueError, match="before it has seen the shape"):
            getattr(lazy, name)


def test_bad_codes_are_refused():
    model = vqvae()
    good = np.zeros((1, 2, 2), "int32")
    for bad, error, message in [
        (good.astype("float32"), TypeError, "`codes` should be integers. Received: dtype float32"),
        # −1 stands for a dropped depth, and decodes to zeros.
        (good - 2, ValueError, r"`codes` should be in \[-1, 5\)"),
        (good + 5, ValueError, r"Received: values in \[5, 5\]"),
        (good[0], ValueError, r"should have shape \(batch, 2, 2\)"),
        (np.zeros((1, 3, 3), "int32"), ValueError, r"Received: shape \(1, 3, 3\)"),
    ]:
        with pytest.raises(error, match=message):
            model.decode(bad)
        with pytest.raises(error, match=message.replace("`codes`", "`latents`")):
            model.log_prob_given(grey_images(1), bad)
    assert check_codes(good.astype("uint8"), (2, 2), 5).dtype == np.int32
    assert check_codes(good - 1, (2, 2), 5, lowest=-1).min() == -1
    assert check_codes(good[:0], (2, 2), 5).shape == (0, 2, 2)


@pytest.mark.parametrize("depths", [None, 2])
def test_a_model_of_images_of_any_size_decodes_its_codes(depths):
    table = {"embeddings_initializer": "random_normal"}
    quantizer = (
        VectorQuantizer(5, **table)
        if depths is None
        else ResidualVectorQuantizer(depths, 5, **table)
    )
    model = any_size(models.VQVAE, quantizer)
    for side in (8, 12):
        images = grey_images(2, side)
        decoded = model.decode(model.encode(images))
        # decoded in another batch: float32 rounds otherwise
        np.testing.assert_allclose(decoded, model.reconstruct(images), rtol=1e-5)
    with pytest.raises(ValueError, match=r"`codes` should have shape \(batch, any, any"):
        model.decode(np.zeros((2, 4), "int32"))
    with pytest.raises(ValueError, match="images of any size, and has no one `bits_per_image`"):
        _ = model.bits_per_image


def test_fingerprint_changes_with_the_codes_and_not_with_use(tmp_path):
    model = vqvae(ema_quantizer(embeddings_initializer="random_normal"))
    images = grey_images(8)
    start = model.fingerprint()
    model.evaluate(images, verbose=0)
    model.encode(images)
    model.decoder.layers[-1].bias.assign([0.3])  # codes do not depend on the decoder
    model.quantizer.code_counts.assign_add(np.ones(5))  # a statistic
    assert model.fingerprint() == start
    fit(model, images)
    trained = model.fingerprint()
    assert trained != start
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").fingerprint() == trained
    model.quantizer.embeddings.assign(to_numpy(model.quantizer.embeddings) + 1)
    assert model.fingerprint() != trained


def test_something_that_is_no_quantizer_is_refused():
    with pytest.raises(ValueError, match="`quantizer` should be a quantizer"):
        models.VQVAE(encoder(), keras.layers.Dense(3), decoder())
    with pytest.raises(ValueError, match=r"`quantizer` should be a quantizer.*'finite_scalar'"):
        models.convolutional_vqvae((8, 8, 1), quantizer="finite_scalar")
