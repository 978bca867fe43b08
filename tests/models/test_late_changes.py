"""What is assigned, averaged, merged or compiled after a model was used."""

import warnings

import keras
import numpy as np
import pytest
from support import grey_images

from keras_vqvae import data, layers, models, sampling


def vqvae(**kwargs):
    model = models.convolutional_vqvae((8, 8, 1), num_embeddings=8, widths=(4,), **kwargs)
    model.compile("sgd")
    return model


def prior(**kwargs):
    model = models.PixelCNN((4, 4), 8, filters=8, residual_blocks=1, embedding_dim=4, **kwargs)
    model.compile("sgd")
    return model


CODES = np.random.default_rng(0).integers(0, 8, (12, 4, 4)).astype("int32")


def test_a_number_has_its_effect_from_the_next_compile_on():
    model, x = vqvae(), grey_images(2)
    before = model.bottleneck_gradient(x)
    model.quantizer.beta = 50.0
    np.testing.assert_array_equal(model.bottleneck_gradient(x), before)
    model.compile("sgd")
    assert np.abs(model.bottleneck_gradient(x) - before).max() > 1e-3


def test_low_rank_factors_are_in_the_fingerprint_as_they_are_saved(tmp_path):
    model = vqvae()
    before = model.fingerprint()
    layer = next(one for one in model.encoder.layers if hasattr(one, "enable_lora"))
    layer.enable_lora(2)
    assert model.fingerprint() == before  # the factors begin with no effect
    layer.lora_kernel_b.assign(layer.lora_kernel_b + 0.1)
    after = model.fingerprint()
    assert after != before
    two = models.TwoStage(model, prior(codes_fingerprint=after))
    two.save(tmp_path)
    again = models.TwoStage.load(tmp_path)
    assert again.vqvae.fingerprint() == after
    assert again.sample(1).shape == (1, 8, 8, 1)


def test_encoded_batches_are_of_the_model_as_it_is():
    model, images = vqvae(), grey_images(8)
    batches = models.EncodedBatches(model, data.ImageBatches(data.ArraySource(images), 4))
    model.fit(images, verbose=0)
    second = prior()
    second.fit(batches, verbose=0)
    assert models.TwoStage(model, second).sample(1).shape == (1, 8, 8, 1)


def test_a_fit_that_never_began_binds_a_prior_to_nothing(tmp_path):
    files = []
    for name in "ab":
        path = tmp_path / f"{name}.npz"
        data.save_codes(path, CODES, num_embeddings=8, model_fingerprint=name * 64)
        files.append(data.load_codes(path))
    model = models.PixelCNN((4, 4), 8, filters=8, residual_blocks=1, embedding_dim=4)
    with pytest.raises(ValueError, match="compile"):
        model.fit(files[0], verbose=0)
    model.compile("sgd")
    model.fit(files[1], verbose=0)
    assert model.codes_fingerprint == "b" * 64


class Banning(sampling.Random):
    """Never draws some codes, which are a list."""

    def __init__(self, banned):
        super().__init__()
        self.banned = banned

    def filter(self, logits, settings):
        banned = np.isin(np.arange(8), self.banned)
        return keras.ops.where(banned, -1e30, super().filter(logits, settings))


def test_what_a_sampler_holds_is_seen_when_it_changes():
    model, sampler = prior(), Banning([1])
    first = model.sample(20, sampler=sampler, seed=0)
    sampler.banned = [0]
    second = model.sample(20, sampler=sampler, seed=0)
    assert (1 not in first, 0 in first) == (1 in second, 0 not in second) == (True, True)
    compiled = len(model.__dict__["_compiled_functions"])
    np.testing.assert_array_equal(model.sample(20, sampler=Banning([0]), seed=0), second)
    assert len(model.__dict__["_compiled_functions"]) == compiled
    arrays = [Banning(np.array([n])).compilation_key() for n in (1, 1, 2)]
    assert (arrays[0] == arrays[1], arrays[0] == arrays[2]) == (True, False)
    held = [Banning({"a": [1], "b": {n}}).compilation_key() for n in (2, 2, 3)]
    assert (held[0] == held[1], held[0] == held[2]) == (True, False)


def test_a_quantized_prior_is_saved_before(tmp_path):
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        (model := prior()).quantize("int8")
    assert model.sample(1).shape == (1, 4, 4)
    with pytest.raises(ValueError, match="Save it before, and quantize what"):
        model.save(tmp_path / "prior.keras")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="Save it before, and quantize what"):
        keras.saving.save_model(model, tmp_path / "prior.keras")


def test_so_is_a_quantizer_with_layers_of_its_own(tmp_path):
    part = layers.ProjectedQuantizer(layers.VectorQuantizer(8), codebook_dim=2)
    model = models.convolutional_vqvae((8, 8, 1), widths=(4,), quantizer=part)
    model.save(tmp_path / "before.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # layers that cannot be
        model.quantize("int8")
    with pytest.raises(ValueError, match="Save it before, and quantize what"):
        model.save(tmp_path / "after.keras")
    assert not (tmp_path / "after.keras").exists()
    assert keras.models.load_model(tmp_path / "before.keras").encode(grey_images(1)).shape


def test_models_without_an_optimizer_are_evaluated():
    model = vqvae()
    model.compile(optimizer=None)
    assert model.evaluate(grey_images(4), verbose=0, return_dict=True)["loss"] > 0
    assert model.predict(grey_images(4), verbose=0).shape == (4, 8, 8, 1)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_losses_of_layers_in_other_dtypes_are_added(policy):
    keras.config.set_dtype_policy(policy)
    encoder = keras.Sequential([keras.layers.Conv2D(4, 2, 2, activity_regularizer="l2")])
    decoder = keras.Sequential([keras.layers.Conv2DTranspose(1, 2, 2)])
    model = models.Autoencoder(encoder, decoder)
    model.compile("sgd")
    history = model.fit(grey_images(4), verbose=0).history
    assert history["loss"][0] > history["reconstruction_loss"][0]


@pytest.fixture
def doubles():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("sampler", ["random", "greedy"])
def test_codes_are_drawn_where_floats_are_doubles(doubles, sampler):
    model = models.TransformerPrior((2, 3), 8, hidden_dim=8, blocks=1, num_heads=2)
    drawn = model.sample(2, sampler=sampler)
    assert drawn.shape == (2, 2, 3)
    assert drawn.dtype == "int32"
