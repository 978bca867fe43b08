import keras
import numpy as np
import pytest
from support import grey_images

from keras_vqvae import models
from keras_vqvae.codebooks import EMAUpdate, KMeans, ReplaceDead
from keras_vqvae.evaluation import encoder_features
from keras_vqvae.layers import FiniteScalarQuantizer, LookupFreeQuantizer, VectorQuantizer
from keras_vqvae.likelihoods import DiscretizedLogisticMixture


@pytest.mark.parametrize("image_shape", [(8, 8, 1), (8, 12, 3), (4, 4, 2)])
@pytest.mark.parametrize("blocks", [0, 2])
def test_encoder_and_decoder_mirror_each_other(image_shape, blocks):
    options = {"embedding_dim": 3, "widths": (4, 6), "residual_blocks": blocks}
    encoder = models.convolutional_encoder(image_shape, **options)
    decoder = models.convolutional_decoder(
        image_shape, **options, likelihood="discretized_logistic"
    )
    height, width, channels = image_shape
    assert encoder.output_shape == (None, height // 4, width // 4, 3)
    assert decoder.input_shape == encoder.output_shape
    assert decoder.output_shape == (None, height, width, 2 * channels)


@pytest.fixture
def channels_first_in_keras():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_networks_have_channels_last_whatever_the_configuration_of_keras(channels_first_in_keras):
    options = {"embedding_dim": 3, "widths": (4,), "residual_blocks": 1}
    model = models.convolutional_vqvae((8, 4, 1), num_embeddings=8, **options)
    assert model.decoder.output_shape == (None, 8, 4, 1)
    assert model.code_shape == (4, 2)
    assert encoder_features(model, max_features=6).output_shape == (None, 6)
    prior = models.PixelCNN((4, 2), 8, filters=4, residual_blocks=1, condition_shape=(2, 1, 3))
    logits = prior(np.zeros((1, 4, 2), "int32"), condition=np.zeros((1, 2, 1, 3)))
    assert logits.shape == (1, 4, 2, 8)


def test_residual_blocks_count():
    with_blocks, without = (
        models.convolutional_encoder((8, 8, 1), 3, (4,), residual_blocks=n).count_params()
        for n in (2, 0)
    )
    # A block: 3×3 of 4 → 2 channels and 1×1 of 2 → 4, with biases.
    assert with_blocks - without == 2 * (9 * 4 * 2 + 2 + 2 * 4 + 4)


def test_networks_of_one_channel_and_of_no_halvings():
    narrow = models.convolutional_encoder((4, 4, 1), 2, widths=(1,), residual_blocks=1)
    assert narrow.output_shape == (None, 2, 2, 2)
    for network in (models.convolutional_encoder, models.convolutional_decoder):
        with pytest.raises(ValueError, match=r"`widths` should have at least one .*widths=\(\)"):
            network((4, 4, 1), widths=())


def test_the_convolutional_vqvae_has_defaults_that_train_well():
    model = models.convolutional_vqvae((8, 8, 1), num_embeddings=16, embedding_dim=4, widths=(4,))
    codebook = model.quantizer.codebook
    assert codebook.update_rule == EMAUpdate(decay=0.99)
    assert codebook.embeddings_initializer == KMeans()
    assert codebook.revival == ReplaceDead()
    assert model.built
    assert model.code_shape == (4, 4)
    assert model.bits_per_image == 64.0


def test_the_demos_model_spends_343_bits():
    model = models.convolutional_vqvae((28, 28, 1), num_embeddings=128)
    assert model.code_shape == (7, 7)
    assert model.bits_per_image == 343.0


def test_another_quantizer_decides_on_its_table():
    model = models.convolutional_vqvae(
        (8, 8, 1), widths=(4,), embedding_dim=3, quantizer=VectorQuantizer(6), value_range=(0, 1)
    )
    assert model.num_embeddings == 6
    assert model.value_range == (0.0, 1.0)
    assert np.isfinite(model.reconstruct(grey_images(2) / np.float32(255))).all()


@pytest.mark.parametrize(
    ("quantizer", "dim"),
    [(FiniteScalarQuantizer((8, 5, 5)), 3), (LookupFreeQuantizer(6), 6), (VectorQuantizer(8), 4)],
    ids=["fsq", "lfq", "vq"],
)
def test_another_quantizer_decides_on_the_width_it_was_given(quantizer, dim):
    model = models.convolutional_vqvae((8, 8, 1), embedding_dim=4, quantizer=quantizer)
    assert model.encoder.output_shape == (None, 2, 2, dim)
    assert model.code_shape == (2, 2)


@pytest.mark.parametrize(
    ("likelihood", "outputs"),
    [
        ("gaussian", 3),
        ("discretized_logistic", 6),
        (DiscretizedLogisticMixture(4), 40),  # 4 · (1 + 3 + 3 + 3)
        ("categorical", 768),
    ],
)
def test_the_decoder_gives_what_the_likelihood_takes(likelihood, outputs):
    model = models.convolutional_vqvae((8, 8, 3), 4, 3, widths=(4,), likelihood=likelihood)
    assert model.decoder.output_shape == (None, 8, 8, outputs)
    images = grey_images(2, channels=3)
    assert model.reconstruct(images).shape == images.shape
    model.compile(run_eagerly=True)
    assert np.isfinite(model.evaluate(images, verbose=0, return_dict=True)["loss"])


def test_the_papers_network():
    model = models.paper_cifar10()
    # Two strided 4×4 convolutions, two residual blocks, 256 units; 8×8 codes of 9 bits.
    assert model.code_shape == (8, 8)
    assert model.bits_per_image == 576.0
    convolutions = [w for w in model.encoder.layers if isinstance(w, keras.layers.Conv2D)]
    assert [c.kernel_size[0] for c in convolutions] == [4, 4, 3, 1, 3, 1, 1]
    assert [c.filters for c in convolutions] == [256] * 6 + [64]
    assert [c.strides[0] for c in convolutions] == [2, 2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("make", [models.convolutional_encoder, models.convolutional_decoder])
def test_sides_must_be_divisible(make):
    with pytest.raises(ValueError, match="sides divisible by 4") as error:
        make((30, 28, 1))
    assert "Resize or crop the images" in str(error.value)
    with pytest.raises(ValueError, match=r"should be \(height, width, channels\)"):
        make((28, 28))
