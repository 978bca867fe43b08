import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from models_for_tests import Pairs, any_size, autoencoder, decoder, encoder
from support import grey_images, same_bits, to_numpy, values_of

from keras_vqvae import models
from keras_vqvae.checks import check_value_range
from keras_vqvae.likelihoods import Bernoulli, Gaussian
from keras_vqvae.models.images import check_image_data


def fit(model, *args, **kwargs):
    return model.fit(*args, **{"verbose": 0, "shuffle": False, **kwargs}).history


def loss_of(model, images):
    return model.evaluate(images, verbose=0, return_dict=True)["loss"]


def batches(kind, images):
    """The same four images in batches of two, as each kind of source that Keras takes."""
    labels = np.arange(len(images))
    if kind == "array":
        return (images,), {"batch_size": 2}
    if kind == "array_with_labels":
        return (images, labels), {"batch_size": 2}
    if kind == "pydataset":
        return (Pairs(images),), {}
    if kind == "pydataset_without_labels":
        return (Pairs(images, labels=False),), {}
    import tensorflow as tf

    data = images if kind == "tf_data_without_labels" else (images, labels)
    return (tf.data.Dataset.from_tensor_slices(data).batch(2),), {}


KINDS = [
    "array",
    "array_with_labels",
    "pydataset",
    "pydataset_without_labels",
    pytest.param("tf_data", marks=pytest.mark.tensorflow_only),
    pytest.param("tf_data_without_labels", marks=pytest.mark.tensorflow_only),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_trains_evaluates_and_predicts_alike(kind):
    images = grey_images(4)
    found = []
    for k in ("array", kind):
        keras.utils.set_random_seed(0)
        model = autoencoder()
        args, options = batches(k, images)
        validation = args[0] if len(args) == 1 else args
        logs = fit(model, *args, **options, validation_data=validation)
        evaluation = model.evaluate(*args, **options, verbose=0, return_dict=True)
        predicted = model.predict(args[0], **options, verbose=0)
        reconstructed = model.reconstruct(args[0])
        found.append((logs, evaluation, predicted, reconstructed))
    assert found[0][0] == found[1][0]
    assert found[0][1] == found[1][1]
    assert set(found[0][0]) == {
        "loss", "reconstruction_loss", "gradient_norm", "val_loss", "val_reconstruction_loss"
    }  # fmt: skip
    for a, b in zip(found[0][2:], found[1][2:], strict=True):
        # Other batch sizes may choose other kernels: the last bits of 255.
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_validation_split_works():
    logs = fit(autoencoder(), grey_images(8), batch_size=4, validation_split=0.5)
    assert np.isfinite(logs["val_loss"]).all()


def test_predictions_are_images_in_value_range():
    model = autoencoder()
    images = grey_images(4)
    out = model.predict(images, verbose=0)
    assert out.dtype == np.float32
    assert out.shape == images.shape
    assert 0 <= out.min() < out.max() <= 255
    np.testing.assert_allclose(to_numpy(model(images)), out, atol=1e-4)


def test_the_loss_is_the_likelihoods_by_numpy():
    model = autoencoder(likelihood=Gaussian(0.25))
    images = grey_images(4)
    unit = np.float64(images) / 255
    outputs = np.float64(to_numpy(model.decoder(model.encoder(np.float32(unit - 0.5)))))
    expected = np.square(unit - outputs - 0.5).mean() / (2 * 0.25**2)
    # float32 through two convolutions.
    assert loss_of(model, images) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255)])
def test_value_range_changes_the_scale_and_nothing_else(value_range):
    images = grey_images(4)
    low, high = value_range
    scaled = (low + (high - low) * (images / 255)).astype("float32")
    keras.utils.set_random_seed(0)
    reference = autoencoder()
    keras.utils.set_random_seed(0)
    model = autoencoder(value_range=value_range)
    # Rounding of the scaled images: 1e-7 of their size.
    assert loss_of(model, scaled) == pytest.approx(loss_of(reference, images), rel=1e-5)
    back = (model.reconstruct(scaled) - low) / (high - low) * 255
    np.testing.assert_allclose(back, reference.reconstruct(images), atol=1e-3)
    assert model.reconstruct(scaled).min() >= low
    assert model.reconstruct(scaled).max() <= high


def test_reconstructions_are_clipped_to_value_range():
    model = autoencoder()
    model.predict(grey_images(1), verbose=0)
    model.decoder.layers[-1].bias.assign([9.0])
    assert (model.reconstruct(grey_images(2)) == 255.0).all()


def test_labels_are_not_looked_at():
    images = grey_images(4)
    found = []
    for labels in (None, np.full((4, 1), np.nan)):
        keras.utils.set_random_seed(0)
        model = autoencoder()
        found.append((fit(model, images, labels), values_of(model.encoder)))
    assert found[0][0] == found[1][0]
    assert same_bits(found[0][1], found[1][1])


@pytest.mark.parametrize("weights", ["sample_weight", "class_weight"])
@pytest.mark.parametrize("y", [None, np.zeros(2)], ids=["without_y", "with_y"])
def test_weights_are_refused(weights, y):
    given = {"sample_weight": np.ones(2), "class_weight": {0: 2.0}}[weights]
    with pytest.raises(ValueError, match=f"Leave `{weights}` out"):
        fit(autoencoder(), grey_images(2), y, **{weights: given})


def test_arguments_by_position_are_looked_at():
    images, before = grey_images(4), (None, 2, 1, 0, None, 0.0)  # up to `validation_data`
    with pytest.raises(ValueError, match="`validation_data`"):
        autoencoder().fit(images, *before, images[:, :4])
    with pytest.raises(ValueError, match="Leave `class_weight` out"):
        autoencoder().fit(images, *before, None, True, {0: 2.0})


def test_weights_are_refused_before_anything_is_computed(monkeypatch):
    model, images, weights = autoencoder(), grey_images(4), np.ones(4)

    def no_compute(*args, **kwargs):
        raise AssertionError("computed before the check")

    monkeypatch.setattr(type(model), "compute_step", no_compute)
    with pytest.raises(ValueError, match="Leave `sample_weight` out"):
        model.evaluate(images, None, 2, 0, weights)
    with pytest.raises(ValueError, match="Leave `sample_weight` out"):
        model.fit(images, validation_data=(images, images, weights), verbose=0)


def test_evaluate_takes_its_arguments_by_position():
    model, images = autoencoder(), grey_images(4)
    by_name = model.evaluate(images, batch_size=2, verbose=0, steps=1, return_dict=True)
    assert model.evaluate(images, None, 2, 0, None, 1, None, True) == by_name


def test_compile_metrics_compare_images_with_reconstructions():
    model = models.Autoencoder(encoder(), decoder())
    model.compile("adam", run_eagerly=True, metrics=["mae"])
    images = grey_images(4)
    expected = np.abs(images - model.reconstruct(images)).mean()
    assert model.evaluate(images, verbose=0, return_dict=True)["mae"] == pytest.approx(
        expected, rel=1e-5
    )
    assert "val_mae" in fit(model, images, validation_data=images)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_compile_metrics_of_a_model_that_the_first_batch_builds(method):
    layers = keras.layers.Conv2D(2, 4, 4), keras.layers.Conv2DTranspose(1, 4, 4)
    model = models.Autoencoder(*layers)
    model.compile("adam", metrics=["mae"])
    images = grey_images(4)
    quiet = {"verbose": 0} if method in ("fit", "evaluate") else {}
    getattr(model, method)(images, **quiet)
    expected = np.abs(images - model.reconstruct(images)).mean()
    logs = model.evaluate(images, verbose=0, return_dict=True)
    assert logs["mae"] == pytest.approx(expected, rel=1e-4)


def test_encode_decode_and_their_models_are_reconstruct():
    model = autoencoder()
    images = grey_images(5)
    latents = model.encode(images, batch_size=2)
    assert latents.shape == (5, 2, 2, 3)
    np.testing.assert_allclose(model.decode(latents), model.reconstruct(images), atol=1e-4)
    np.testing.assert_allclose(to_numpy(model.encoder_model()(images)), latents, atol=1e-5)
    np.testing.assert_allclose(
        to_numpy(model.decoder_model()(latents)), model.decode(latents), atol=1e-4
    )


def test_views_follow_the_training_of_the_model():
    model = autoencoder()
    images = grey_images(4)
    before = model.encode(images)
    fit(model, images)
    after = model.encode(images)
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(to_numpy(model.encoder_model()(images)), after, atol=1e-5)


def test_views_own_no_weights_of_the_model_and_are_not_saved(tmp_path):
    model = autoencoder()
    count = len(model.weights)
    fit(model, grey_images(2))
    model.encode(grey_images(2)), model.decoder_model()
    assert len(model.weights) == count
    model.save(tmp_path / "model.keras")
    assert len(keras.models.load_model(tmp_path / "model.keras").weights) == count


def test_fingerprint_follows_the_encoder(tmp_path):
    model = autoencoder()
    images = grey_images(4)
    start = model.fingerprint()
    assert len(start) == 64
    model.evaluate(images, verbose=0)
    assert model.fingerprint() == start
    fit(model, images)
    trained = model.fingerprint()
    assert trained != start
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").fingerprint() == trained


def test_layers_without_a_known_shape_are_built_by_the_first_images():
    model = models.Autoencoder(keras.layers.Conv2D(2, 4, 4), keras.layers.Conv2DTranspose(1, 4, 4))
    model.compile("adam", run_eagerly=True)
    with pytest.raises(ValueError, match="has no `image_shape` before"):
        model.image_shape  # noqa: B018
    fit(model, grey_images(2))
    assert model.image_shape == (8, 8, 1)
    assert model.reconstruct(grey_images(2)).shape == (2, 8, 8, 1)


@keras.saving.register_keras_serializable("keras_vqvae_tests")
class CallAlone(keras.Model):
    """A network as most are written: layers and a `call`."""

    def __init__(self, channels, up=False, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.up = channels, up
        self.normalization, self.dropout = keras.layers.GroupNormalization(1), None
        self.blocks = keras.Sequential(
            [keras.layers.Conv2DTranspose(4, 4, 4) if up else keras.layers.Conv2D(4, 4, 4)]
        )
        if not up:
            self.dropout = keras.layers.Dropout(0.5, seed=1)
        self.last = keras.layers.Conv2D(channels, 1)

    def call(self, x, training=False):
        x = self.normalization(self.blocks(x))
        return self.last(x if self.dropout is None else self.dropout(x, training=training))

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "up": self.up}


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("built", [False, True])
def test_subclassed_networks_with_a_call_alone(tmp_path, built, run_eagerly):
    images = grey_images(4)
    model = models.Autoencoder(CallAlone(3), CallAlone(1, up=True))
    if built:
        model.build((None, 8, 8, 1))
    model.compile("adam", run_eagerly=run_eagerly)
    fit(model, images, epochs=2)
    # norms of 4 scales and 4 offsets; convolutions of 4×4, 1×4×4×4 + 4 and 3×4×4×4 + 4; of 1×1
    assert model.count_params() == 8 + 8 + 68 + 196 + 15 + 5
    assert model.latent_shape == (2, 2, 3)
    assert model.encode(images).shape == (4, 2, 2, 3)
    assert tuple(model.encoder_model().output_shape) == (None, 2, 2, 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.reconstruct(images), model.reconstruct(images))
    assert loss_of(again, images) == loss_of(model, images)
    assert np.isfinite(fit(again, images)["loss"]).all()


def test_evaluate_lists_every_figure_once():
    values = autoencoder().evaluate(grey_images(2), verbose=0)
    assert len(values) == 2
    assert values[0] == values[1]  # the loss, and its one term


def test_nan_pixels_that_pass_the_first_look_leave_finite_weights():
    images = grey_images(6).astype("float32")
    images[4] = np.nan
    model = autoencoder()
    logs = fit(model, Pairs(images))  # of a data set, `fit` looks at the first batch only
    assert np.isnan(logs["loss"][0])
    assert all(np.isfinite(v).all() for v in values_of(model.encoder) + values_of(model.decoder))


# -- errors ---------------------------------------------------------------------------------------


def test_a_decoder_of_another_size_or_depth_is_refused():
    model = models.Autoencoder(encoder(), keras.layers.Conv2DTranspose(2, 4, 4))
    with pytest.raises(ValueError, match=r"gives outputs of shape \(8, 8, 2\).*\(8, 8, 1\)"):
        model.build((None, 8, 8, 1))
    with pytest.raises(ValueError, match="expects images"):
        models.Autoencoder(keras.layers.Dense(2), keras.layers.Dense(1)).build((None, 8))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_model_of_images_of_any_size_names_those_that_its_stride_does_not_divide(run_eagerly):
    model = any_size(models.Autoencoder)
    model.compile("adam", run_eagerly=run_eagerly)
    images = np.repeat(grey_images(2), 2, axis=1)[:, :10]
    message = r"shape \(8, 8, 1\) for images of shape \(10, 8, 1\).*divisible by the stride"
    for method in (model.fit, model.evaluate, model.reconstruct, model.reconstruction_log_prob):
        with pytest.raises(ValueError, match=message):
            method(images)
    assert fit(model, grey_images(2))["loss"]


def test_unknown_likelihoods_and_value_ranges_are_refused():
    with pytest.raises(ValueError, match="`likelihood` should be one of"):
        autoencoder(likelihood="mse")
    for wrong in [(255, 0), (0, 0), (0,), 3, (0, np.inf), "ab", None]:
        with pytest.raises(ValueError, match="`value_range` should be two numbers"):
            check_value_range(wrong)
    assert check_value_range([0, 1]) == (0.0, 1.0)


BAD_IMAGES = {
    "no_channels": (grey_images(2)[..., 0], r"Add the missing axis: `x\[\.\.\., None\]`"),
    "another_size": (grey_images(2, side=12), r"should be images of shape \(batch, 8, 8, 1\)"),
    "another_depth": (grey_images(2, channels=3), r"Received: shape \(2, 8, 8, 3\)"),
    "scaled_floats": (np.float32(grey_images(2) / 255), r"Pass `value_range=\(0, 1\)`"),
    "negative": (np.float32(grey_images(2)) - 128, r"within value_range=\(0, 255\)"),
    "nan": (np.where(np.arange(2)[:, None, None, None] == 1, np.nan, grey_images(2)), "index 1"),
}


@pytest.mark.parametrize("bad", BAD_IMAGES)
def test_bad_images_are_refused_before_anything_is_computed(bad):
    images, message = BAD_IMAGES[bad]
    model = autoencoder()
    before = values_of(model)
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            method(images, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.fit(Pairs(images), verbose=0)
    in_use = message.replace("`x", "`images")
    for method in (model.reconstruct, model.encode):
        with pytest.raises(ValueError, match=in_use):
            method(images)
    assert same_bits(values_of(model), before)


def test_validation_data_is_looked_at_once():
    seen = []

    class Watched(Pairs):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    images = grey_images(8)
    autoencoder().fit(images, validation_data=Watched(images), epochs=3, verbose=0)
    assert seen.count(0) <= seen.count(1) + 2  # by `fit`, and by Keras, which asks for its shape


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_latents_are_float32(policy):
    keras.config.set_dtype_policy(policy)
    for make in (models.convolutional_autoencoder, models.convolutional_vae):
        model = make((8, 8, 1), embedding_dim=4, widths=(4,))
        latents = model.encode(grey_images(2))
        assert latents.dtype == np.float32
        assert model.decode(latents).dtype == np.float32


def test_bad_validation_images_are_named():
    images, message = BAD_IMAGES["another_size"]
    for validation in (images, (images, None)):
        with pytest.raises(ValueError, match="`validation_data`.*" + message):
            autoencoder().fit(grey_images(2), validation_data=validation, verbose=0)


def test_integers_and_black_images_pass():
    for images in (
        grey_images(2),
        grey_images(2).astype("int64"),
        np.zeros((2, 8, 8, 1), "float32"),
    ):
        check_image_data(images, (0.0, 255.0), (8, 8, 1))
    check_image_data(np.zeros((0, 8, 8, 1)), (0.0, 255.0), (8, 8, 1))
    check_image_data(None, (0.0, 255.0), (8, 8, 1))
    assert check_value_range((0, 255)) == (0.0, 255.0)


def test_config_holds_likelihood_and_value_range(tmp_path):
    model = models.Autoencoder(encoder(), decoder(), likelihood=Bernoulli(), value_range=(0, 1))
    model.build((None, 8, 8, 1))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.likelihood == Bernoulli()
    assert again.value_range == (0.0, 1.0)
    x = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(("name", "value"), [("likelihood", "bernoulli"), ("value_range", (0, 1))])
def test_what_compiled_code_rests_on_is_fixed(name, value):
    model = autoencoder()
    before = getattr(model, name)
    with pytest.raises(AttributeError, match=f"`{name}` of model '{model.name}' is fixed.*Make a"):
        setattr(model, name, value)
    assert getattr(model, name) is before


def test_threads_that_ask_at_once_get_one_functional_model(monkeypatch):
    model = autoencoder()
    model.build((None, 8, 8, 1))
    make = model._make_decoder_model

    def slowly():
        time.sleep(0.05)
        return make()

    monkeypatch.setattr(type(model), "_make_decoder_model", lambda self: slowly())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.decoder_model(), range(4)))
    assert all(one is found[0] for one in found)
