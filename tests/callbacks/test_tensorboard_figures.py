import keras
import models_for_tests
import numpy as np
import pytest
from events_for_tests import hyperparameters, scalars, tags, tensors, trial
from support import grey_images, same_bits, to_numpy, values_of

from keras_vqvae import callbacks, layers, likelihoods

IMAGES = grey_images(6)


def fit(model, *used, epochs=1, **kwargs):
    model.fit(IMAGES, epochs=epochs, batch_size=3, callbacks=list(used), verbose=0, **kwargs)
    return model


def still(quantizer):
    """A model that training leaves as it is."""
    model = models_for_tests.vqvae(quantizer, {"optimizer": keras.optimizers.SGD(0.0)})
    rows = model.encoder_model().predict(IMAGES[:4], verbose=0)[:, 0, 0]
    return model, rows


def test_the_histogram_counts_the_codes_of_one_epoch(tmp_path):
    model, rows = still(layers.VectorQuantizer(5, update="frozen"))
    model.quantizer.embeddings.assign(np.concatenate([rows, 99 * np.ones((1, 3))]))
    fit(model, callbacks.TensorBoardCodeUsage(tmp_path, every=1), epochs=2)
    expected = np.bincount(model.encode(IMAGES).ravel(), minlength=5)
    assert np.count_nonzero(expected) > 1
    for step in (0, 1):  # not twice as many after the second epoch
        buckets = tensors(tmp_path, "code_usage")[step]
        np.testing.assert_array_equal(buckets[:, 2], expected)
        np.testing.assert_array_equal(buckets[:, 0], np.arange(5))


def test_the_last_histogram_is_that_of_the_last_epoch_where_weights_are_put_back(tmp_path):
    model = models_for_tests.vqvae()
    seen = []
    noting = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(to_numpy(model.quantizer.code_counts))
    )
    back = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: model.quantizer.code_counts.assign([1.0, 2.0, 3.0, 4.0, 5.0])
    )
    fit(model, noting, back, callbacks.TensorBoardCodeUsage(tmp_path, every=9), epochs=2)
    np.testing.assert_array_equal(tensors(tmp_path, "code_usage")[1][:, 2], seen[1])


def test_every_table_has_its_histogram(tmp_path):
    model, _ = still(layers.ResidualVectorQuantizer(2, 4, embeddings_initializer="random_normal"))
    fit(model, callbacks.TensorBoardCodeUsage(tmp_path))
    assert tags(tmp_path) == ["code_usage/depth_0", "code_usage/depth_1"]
    codes = model.encode(IMAGES)
    for depth in (0, 1):
        counts = tensors(tmp_path, f"code_usage/depth_{depth}")[0][:, 2]
        np.testing.assert_array_equal(counts, np.bincount(codes[..., depth].ravel(), minlength=4))


def test_quantizers_in_any_model_are_counted(tmp_path):
    two = [layers.VectorQuantizer(4, update="frozen", name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((2, 2, 3)), *two, keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 3))
    model.fit(x, x, callbacks=[callbacks.TensorBoardCodeUsage(tmp_path)], verbose=0)
    assert tags(tmp_path) == ["code_usage/one", "code_usage/two"]
    assert tensors(tmp_path, "code_usage/two")[0][:, 2].sum() == 16


def test_a_table_too_large_to_be_counted_is_named(tmp_path):
    model = keras.Sequential([keras.Input((2, 2, 21)), layers.LookupFreeQuantizer(21, name="bits")])
    usage = callbacks.TensorBoardCodeUsage(tmp_path)
    usage.set_model(model)
    with pytest.raises(ValueError, match="codes of 'bits' are too many to be counted"):
        usage.check()


def by_hand(model, images, beta, scale):
    """∂ loss / ∂ z_e of one transposed convolution that does not overlap, in NumPy."""
    x = images.astype("float64") / 255
    z_e = to_numpy(model.encoder(images.astype("float32") / 255 - 0.5)).astype("float64")
    z_q = z_e
    terms = 0.0
    if hasattr(model, "quantizer"):
        table = to_numpy(model.quantizer.embeddings).astype("float64")
        nearest = np.square(z_e[..., None, :] - table).sum(axis=-1).argmin(axis=-1)
        z_q = table[nearest]
        terms = beta * 2 * (z_e - z_q) / z_e.size
    kernel, bias = (to_numpy(w).astype("float64") for w in model.decoder.layers[-1].weights)
    patches = np.einsum("bhwd,ijcd->bhiwjc", z_q, kernel) + bias + 0.5
    error = patches.reshape(x.shape) - x
    by_output = error / scale**2 / x.size
    by_output = by_output.reshape(len(x), 2, 4, 2, 4, 1)
    return np.einsum("bhiwjc,ijcd->bhwd", by_output, kernel) + terms


@pytest.mark.parametrize("kind", ["vqvae", "autoencoder"])
def test_the_gradient_at_the_quantizer_is_that_by_hand(tmp_path, kind):
    likelihood = likelihoods.Gaussian(0.25)
    if kind == "vqvae":
        quantizer = layers.VectorQuantizer(5, beta=0.7, embeddings_initializer="random_normal")
        model = models_for_tests.vqvae(quantizer, likelihood=likelihood)
    else:
        model = models_for_tests.autoencoder(likelihood=likelihood)
    fit(model, callbacks.TensorBoardGradientNorm(tmp_path, IMAGES[:4]))
    before = values_of(model)
    expected = by_hand(model, IMAGES[:4], 0.7, 0.25)
    found = model.bottleneck_gradient(IMAGES[:4])
    assert found.shape == (4, 2, 2, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    norm = scalars(tmp_path, "bottleneck_gradient_norm")[0]
    assert norm == pytest.approx(np.sqrt(np.square(expected).sum()), rel=1e-4)
    assert same_bits(values_of(model), before)


def test_the_gradient_follows_the_weights():
    """A compiled function must not keep the weights of its first call."""
    model = models_for_tests.autoencoder()
    first = model.bottleneck_gradient(IMAGES)
    kernel = model.decoder.layers[-1].kernel
    kernel.assign(2.0 * kernel)
    assert not np.allclose(model.bottleneck_gradient(IMAGES), first)
    expected = by_hand(model, IMAGES, 0.0, model.likelihood.scale)
    np.testing.assert_allclose(
        model.bottleneck_gradient(IMAGES), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


def test_scalars_are_the_logs(tmp_path):
    model = models_for_tests.vqvae()
    used = callbacks.TensorBoardScalars(tmp_path)
    history = model.fit(
        IMAGES, validation_data=IMAGES[:3], epochs=2, callbacks=[used], verbose=0
    ).history
    assert {"loss", "commitment_loss", "perplexity", "val_codebook_usage"} <= set(history)
    for name, values in history.items():
        run = "validation" if name.startswith("val_") else "train"
        found = scalars(tmp_path / run, f"epoch_{name.removeprefix('val_')}")
        assert found == {epoch: np.float32(value) for epoch, value in enumerate(values)}


@pytest.mark.parametrize("codebook_optimizer", [None, "sgd"])
def test_scalars_have_the_names_and_places_of_keras(tmp_path, codebook_optimizer):
    pytest.importorskip("tensorflow")
    used = [
        callbacks.TensorBoardScalars(tmp_path / "ours"),
        keras.callbacks.TensorBoard(tmp_path / "keras", write_graph=False),
    ]
    model = models_for_tests.vqvae(None, {"codebook_optimizer": codebook_optimizer})
    fit(model, *used, epochs=2, validation_data=IMAGES[:3])
    for run in ("train", "validation"):
        theirs = [tag for tag in tags(tmp_path / "keras" / run) if "iterations" not in tag]
        assert tags(tmp_path / "ours" / run) == theirs
        for tag in theirs:
            assert scalars(tmp_path / "ours" / run, tag) == scalars(tmp_path / "keras" / run, tag)


VALUES = {
    "codes": np.int64(64),
    "beta": 0.25,
    "update": "ema",
    "frozen": True,
    "levels": (8, np.int32(5), None),
    "decay": None,
}
AS_READ = {
    "codes": 64.0,
    "beta": 0.25,
    "update": "ema",
    "frozen": True,
    "levels": "[8, 5, None]",
    "decay": "None",
}
RUNNING, SUCCESS, FAILURE = None, 1, 2


def test_a_trial_has_its_values_and_the_figures_of_its_last_epoch(tmp_path):
    model = models_for_tests.vqvae()
    used = callbacks.TensorBoardHyperparameters(tmp_path / "trial", VALUES)
    history = model.fit(IMAGES, epochs=3, callbacks=[used], verbose=0).history
    assert trial(tmp_path / "trial") == (AS_READ, SUCCESS)
    assert tags(tmp_path / "trial") == sorted(
        [*history, "_hparams_/session_start_info", "_hparams_/session_end_info"]
    )
    for name, values in history.items():
        assert scalars(tmp_path / "trial", name) == {2: np.float32(values[-1])}


def test_a_trial_that_breaks_has_no_end(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("broken")

    used = callbacks.TensorBoardHyperparameters(tmp_path, {"beta": 1})
    with pytest.raises(RuntimeError, match="broken"):
        fit(models_for_tests.vqvae(), used, Break())
    assert trial(tmp_path) == ({"beta": 1.0}, RUNNING)


def test_trials_that_are_over_can_be_written(tmp_path):
    callbacks.write_hyperparameters(tmp_path / "0", VALUES, {"val_mse": 0.5, "usage": 1})
    callbacks.write_hyperparameters(tmp_path / "1", {"beta": 1}, {}, failed=True)
    assert trial(tmp_path / "0") == (AS_READ, SUCCESS)
    assert scalars(tmp_path / "0", "val_mse") == {0: 0.5}
    assert trial(tmp_path / "1") == ({"beta": 1.0}, FAILURE)
    # Without a group each is a row of its own, named as its run; a hash would join equal values.
    start = hyperparameters(tmp_path / "0")["_hparams_/session_start_info"].session_start_info
    assert start.group_name == ""
    for wrong in ({"a": 1}, object(), [[1], {}]):
        with pytest.raises(TypeError, match=r"`values` should be .* Received: x="):
            callbacks.write_hyperparameters(tmp_path / "2", {"x": wrong}, {})
    assert not (tmp_path / "2").exists()
