"""Images→codes and codes→images, exported, give what the model gives."""

import keras
import numpy as np
import pytest
from models_for_tests import autoencoder

from keras_vqvae import models

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    model = models.convolutional_vqvae((8, 8, 1), num_embeddings=8, embedding_dim=4, widths=(4, 4))
    model.compile("adam")
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype("uint8")
    model.fit(images, verbose=0)
    codes = model.encode(images)
    return model, images, codes, model.decode(codes)


def test_saved_model(trained, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model, images, codes, decoded = trained
    model.codes_model().export(tmp_path / "codes", verbose=False)
    model.decoder_model().export(tmp_path / "decoder", verbose=False)
    to_codes = tf.saved_model.load(tmp_path / "codes")
    to_images = tf.saved_model.load(tmp_path / "decoder")
    np.testing.assert_array_equal(to_codes.serve(images.astype("float32")).numpy(), codes)
    np.testing.assert_array_equal(to_images.serve(codes).numpy(), decoded)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnx_at_batch_sizes_it_was_not_traced_with(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    model, images, codes, decoded = trained
    model.codes_model().export(tmp_path / "codes.onnx", format="onnx", verbose=False)
    model.decoder_model().export(tmp_path / "decoder.onnx", format="onnx", verbose=False)
    to_codes = onnxruntime.InferenceSession(tmp_path / "codes.onnx")
    to_images = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    for n in (1, 7, 40):
        (got,) = to_codes.run(None, {"images": images[:n].astype("float32")})
        np.testing.assert_array_equal(got, codes[:n])
        (got,) = to_images.run(None, {"codes": codes[:n]})
        # Another library's convolutions, on a scale of 255: float32 rounding.
        np.testing.assert_allclose(got, decoded[:n], atol=1e-3)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_whole_models_take_whole_numbers(policy, tmp_path):
    """Not what their layers compute in, in which 257 is no number."""
    tf = pytest.importorskip("tensorflow")
    keras.config.set_dtype_policy(policy)
    prior = models.PixelCNN((2, 2), 300, filters=4, residual_blocks=1, embedding_dim=2)
    prior.save(tmp_path / "prior.keras")
    loaded = keras.models.load_model(tmp_path / "prior.keras")
    loaded.export(tmp_path / "prior", verbose=False)
    codes = np.array([[[255, 256], [257, 258]], [[299, 0], [1, 298]]], "int32")
    exported = tf.saved_model.load(tmp_path / "prior")
    np.testing.assert_allclose(
        exported.serve(codes).numpy(), prior(codes).numpy(), rtol=1e-5, atol=1e-5
    )

    model = models.convolutional_autoencoder((8, 8, 1), 4, widths=(4,), value_range=(0, 1))
    model.export(tmp_path / "model", verbose=False)
    images = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    exported = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(exported.serve(images).numpy(), model.reconstruct(images), atol=1e-2)

    conditional = models.PixelCNN((2, 2), 3, num_classes=2, filters=4, residual_blocks=1)
    with pytest.raises(ValueError, match="inputs beside the codes"):
        conditional.export(tmp_path / "conditional", verbose=False)


def test_a_model_is_exported_after_fit_alone(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = autoencoder()
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
    model.fit(images, verbose=0)
    model.export(tmp_path / "model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "model")
    for n in (1, 4):
        given = images[:n].astype("float32")
        expected = model.reconstruct(images[:n])
        np.testing.assert_allclose(exported.serve(given).numpy(), expected, atol=1e-3)
