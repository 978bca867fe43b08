import math
from types import SimpleNamespace

import numpy as np
import pytest
from models_for_tests import any_size, decoder, encoder
from support import grey_images

from keras_vqvae import models
from keras_vqvae.data import ArraySource, ImageBatches
from keras_vqvae.evaluation import evaluate_autoencoder, evaluate_prior, evaluate_vqvae
from keras_vqvae.evaluation.code_histogram import CodeHistogram
from keras_vqvae.layers import VectorQuantizer


@pytest.fixture(scope="module")
def vqvae():
    return models.convolutional_vqvae((8, 8, 1), num_embeddings=8, embedding_dim=4, widths=(4,))


@pytest.mark.parametrize("size", [2**20, 2**20 + 1, 2**30])
def test_codes_are_counted_of_tables_of_any_size(size):
    histogram = CodeHistogram(SimpleNamespace(code_shape=(2, 2), num_embeddings=size))
    histogram.update(np.array([[[0, 7], [7, size - 1]], [[-1, 7], [0, 7]]]))
    histogram.update(np.array([[[0, 0], [-1, -1]]]))
    found = histogram.result()
    p = np.array([4, 4, 1]) / 9  # of 0, 7 and the last
    assert found["codebook_usage"] == 3 / size
    assert found["code_entropy_bits"] == pytest.approx(-(p * np.log2(p)).sum())


def test_figures_are_those_of_the_whole_set_at_once(vqvae):
    images = grey_images(7)
    figures = evaluate_vqvae(vqvae, images, batch_size=3)
    codes = vqvae.encode(images)
    decoded = vqvae.decode(codes)
    mse = np.mean(((decoded - images) / 255.0) ** 2)
    p = np.bincount(codes.ravel(), minlength=8) / codes.size
    entropy = -sum(q * math.log2(q) for q in p if q)
    # float32 sums of 448 squares in another order
    assert figures["mse"] == pytest.approx(mse, rel=1e-5)
    assert figures["psnr_db"] == pytest.approx(-10 * math.log10(mse), rel=1e-5)
    assert figures["codebook_usage"] == np.count_nonzero(p) / 8
    assert figures["code_entropy_bits"] == pytest.approx(entropy)
    assert figures["perplexity"] == pytest.approx(2**entropy)
    assert figures["bits_per_image"] == 4 * 4 * 3  # 16 positions, log2(8) bits
    assert figures["images"] == 7


def test_bits_of_reconstructions_are_the_likelihoods(vqvae):
    images = grey_images(7)
    figures = evaluate_vqvae(vqvae, images, batch_size=3)
    bits = -np.mean(vqvae.reconstruction_log_prob(images)) / 64 / math.log(2)
    assert figures["reconstruction_bits_per_dimension"] == pytest.approx(bits, rel=1e-6)


def test_figures_of_an_autoencoder_and_a_vae():
    images = grey_images(7)
    autoencoder = models.convolutional_autoencoder((8, 8, 1), embedding_dim=2, widths=(4,))
    figures = evaluate_autoencoder(autoencoder, images, batch_size=3)
    mse = np.mean(((autoencoder.reconstruct(images) - images) / 255.0) ** 2)
    assert figures["mse"] == pytest.approx(mse, rel=1e-5)
    assert set(figures) == {"images", "mse", "psnr_db", "reconstruction_bits_per_dimension"}
    vae = models.convolutional_vae((8, 8, 1), embedding_dim=2, widths=(4,))
    figures = evaluate_autoencoder(vae, images, samples=3, batch_size=3)

    def bits(nats):
        return -np.mean(nats) / 64 / math.log(2)

    assert figures["bits_per_dimension"] == pytest.approx(bits(vae.log_prob_bound(images)))
    assert figures["importance_weighted_bits_per_dimension"] == pytest.approx(
        bits(vae.log_prob_bound(images, 3))
    )
    mean, log_variance = (
        np.asarray(x, "float64") for x in vae.posterior(vae.encoder(images / np.float32(255) - 0.5))
    )
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=(1, 2, 3))
    assert figures["latent_bits_per_dimension"] == pytest.approx(-bits(divergence), rel=1e-5)


def test_images_without_a_probability_have_no_bits():
    vae = models.convolutional_vae((8, 8, 1), embedding_dim=2, widths=(4,), likelihood="bernoulli")
    figures = evaluate_autoencoder(vae, grey_images(3))
    assert set(figures) == {"images", "mse", "psnr_db"}
    binary = evaluate_autoencoder(vae, np.where(grey_images(3) > 127, 255, 0).astype("uint8"))
    assert {"bits_per_dimension", "latent_bits_per_dimension"} <= set(binary)


def test_mse_is_on_the_unit_scale_whatever_the_value_range():
    images = grey_images(4)
    bytes_model = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, widths=(4,))
    float_model = models.convolutional_vqvae(
        (8, 8, 1), num_embeddings=4, widths=(4,), value_range=(-1, 1)
    )
    float_model.set_weights(bytes_model.get_weights())
    scaled = (images / 127.5 - 1).astype("float32")
    a, b = evaluate_vqvae(bytes_model, images), evaluate_vqvae(float_model, scaled)
    assert a["mse"] == pytest.approx(b["mse"], rel=1e-4)


def test_reads_in_batches(vqvae):
    asked = []

    class Watched(ArraySource):
        def _read(self, indices):
            asked.append(len(indices))
            return super()._read(indices)

    evaluate_vqvae(vqvae, Watched(grey_images(10)), batch_size=4)
    assert max(asked) == 4


def test_images_of_another_kind_are_refused(vqvae):
    with pytest.raises(ValueError, match=r"\(batch, 8, 8, 1\)"):
        evaluate_vqvae(vqvae, grey_images(2, side=4))
    with pytest.raises(ValueError, match="value_range"):
        evaluate_vqvae(vqvae, grey_images(2).astype("float32") / 255)


def test_models_of_images_of_any_size_have_the_figures_of_the_images():
    images = grey_images(3)
    table = {"embeddings_initializer": "random_normal"}
    free = any_size(models.VQVAE, VectorQuantizer(8, **table))
    fixed = models.VQVAE(encoder(), VectorQuantizer(8, **table), decoder())
    for model in (free, fixed):
        model.build((None, *model.encoder.input_shape[1:]))
    fixed.set_weights(free.get_weights())
    expected = evaluate_vqvae(fixed, images)
    assert evaluate_vqvae(free, images) == pytest.approx(expected)
    assert expected["bits_per_image"] == 2 * 2 * 3  # 4 positions, log2(8) bits
    assert evaluate_vqvae(free, grey_images(3, 12))["bits_per_image"] == 3 * 3 * 3
    found = [
        evaluate_autoencoder(models.Autoencoder(m.encoder, m.decoder), images)
        for m in (free, fixed)
    ]
    assert found[0] == pytest.approx(found[1])


def test_bits_of_a_uniform_prior_are_log2_k():
    prior = models.PixelCNN((2, 3), num_embeddings=8, filters=4, residual_blocks=1)
    for weight in prior.trainable_variables:
        weight.assign(np.zeros(weight.shape))
    codes = np.arange(12).reshape(2, 2, 3) % 8
    figures = evaluate_prior(prior, codes)
    # all logits 0: log2(8) bits a code, 6 codes an image
    assert figures == {
        "images": 2,
        "bits_per_code": pytest.approx(3.0),
        "bits_per_image": pytest.approx(18.0),
        "given_labels": False,
    }


def test_given_labels_says_whether_the_prior_was_told_the_classes():
    options = {"filters": 4, "residual_blocks": 1}
    prior = models.PixelCNN((2, 2), 4, num_classes=2, label_dropout=0.1, **options)
    codes, labels = np.zeros((2, 2, 2), int), np.array([0, 1])
    assert evaluate_prior(prior, codes, labels)["given_labels"] is True
    assert evaluate_prior(prior, codes)["given_labels"] is False
    without_classes = models.PixelCNN((2, 2), 4, **options)
    assert evaluate_prior(without_classes, codes, labels)["given_labels"] is False


def test_prior_agrees_with_keras_evaluate():
    prior = models.PixelCNN((2, 2), num_embeddings=4, num_classes=2, filters=4, residual_blocks=1)
    prior.compile("adam")
    codes, labels = np.arange(20).reshape(5, 2, 2) % 4, np.array([0, 1, 0, 1, 1])
    expected = prior.evaluate(codes, labels, return_dict=True, verbose=0)["bits_per_code"]
    found = evaluate_prior(prior, codes, labels, batch_size=2)["bits_per_code"]
    assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="labels"):
        evaluate_prior(prior, codes)
    with pytest.raises(ValueError, match="at least one"):
        evaluate_prior(prior, codes[:0], labels[:0])


def test_batches_of_keras_are_not_needed(vqvae):
    # The same source through fit's own batches gives the same codes.
    source = ArraySource(grey_images(5))
    codes = np.concatenate([vqvae.encode(np.asarray(b)) for b in ImageBatches(source, 2)])
    usage = len(np.unique(codes)) / 8
    assert evaluate_vqvae(vqvae, source)["codebook_usage"] == usage
