import copy

import keras
import models_for_tests
import numpy as np
import pytest
from events_for_tests import pictures, tags
from support import grey_images, same_bits, to_numpy, values_of

from keras_vqvae import callbacks, evaluation, layers, models

IMAGES = grey_images(6)
# Pixels of 8×8 images are enlarged to squares of this side, between white lines of 2 pixels.
ZOOM, TILE = 8, 64


def tile(picture, row, column):
    """A tile of a grid of two rows, at the scale of the images."""
    top, left = 2 + row * (TILE + 2), 2 + column * (TILE + 2)
    pixels = picture[top : top + TILE, left : left + TILE]
    blocks = pixels.reshape(8, ZOOM, 8, ZOOM, 3)
    np.testing.assert_array_equal(blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3)))
    return blocks[:, 0, :, 0]


def fit(model, *used, epochs=1):
    model.fit(IMAGES, epochs=epochs, batch_size=3, callbacks=list(used), verbose=0)
    return model


def test_reconstructions_stand_below_their_images(tmp_path):
    shown = IMAGES[:3]
    model = fit(models_for_tests.vqvae(), callbacks.TensorBoardReconstructions(tmp_path, shown))
    assert tags(tmp_path) == ["reconstructions"]
    picture = pictures(tmp_path, "reconstructions")[0]
    expected = np.floor(np.clip(model.reconstruct(shown), 0, 255) + 0.5)
    for i in range(3):
        np.testing.assert_array_equal(tile(picture, 0, i), np.repeat(shown[i], 3, axis=-1))
        np.testing.assert_array_equal(tile(picture, 1, i), np.repeat(expected[i], 3, axis=-1))


@pytest.mark.parametrize(("every", "steps"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (9, [0, 3])])
def test_the_first_the_last_and_every_nth_epoch_are_shown(tmp_path, every, steps):
    shown = callbacks.TensorBoardReconstructions(tmp_path, IMAGES[:1], every=every)
    shown = copy.deepcopy(shown)  # as KerasTuner does for each trial
    model = fit(models_for_tests.autoencoder(), shown, epochs=4)
    assert sorted(pictures(tmp_path, "reconstructions")) == steps
    # A second training goes on in another file of the same run.
    model.fit(IMAGES, epochs=5, initial_epoch=4, callbacks=[shown], verbose=0)
    assert sorted(pictures(tmp_path, "reconstructions")) == [*steps, 4]


def test_positions_of_one_code_have_one_colour(tmp_path):
    """The colour tells codes apart, and nothing but codes."""
    model = models_for_tests.vqvae(layers.VectorQuantizer(5, update="frozen", seed=1))
    model.quantizer.embeddings.assign(model.encoder_model().predict(IMAGES[:5], verbose=0)[:, 0, 0])
    fit(model, callbacks.TensorBoardCodeGrids(tmp_path, IMAGES[:4]))
    picture, codes = pictures(tmp_path, "codes")[0], model.encode(IMAGES[:4])
    colours, found = [], []
    for i in range(4):
        np.testing.assert_array_equal(tile(picture, 0, i), np.repeat(IMAGES[i], 3, axis=-1))
        squares = tile(picture, 1, i).reshape(2, 4, 2, 4, 3)
        np.testing.assert_array_equal(squares.min(axis=(1, 3)), squares.max(axis=(1, 3)))
        colours += squares[:, 0, :, 0].reshape(4, 3).tolist()
        found += codes[i].ravel().tolist()
    assert len(set(found)) > 1
    pairs = set(zip(found, map(tuple, colours), strict=True))
    assert len(pairs) == len(set(found)) == len({colour for _, colour in pairs})


def a_prior(**kwargs):
    prior = models.PixelCNN((2, 2), 5, filters=4, residual_blocks=1, **kwargs)
    prior.compile("adam", run_eagerly=True)
    return prior


def test_samples_of_a_prior_are_decoded(tmp_path):
    vqvae, prior = models_for_tests.vqvae(), a_prior(num_classes=3)
    samples = callbacks.TensorBoardSamples(tmp_path, vqvae, count=4, seed=7, labels=2)
    codes = vqvae.encode(IMAGES)
    prior.fit(codes, np.arange(6) % 3, callbacks=[samples], verbose=0)
    expected = evaluation.image_grid(vqvae.decode(prior.sample(4, labels=2, seed=7, verbose=0)))
    np.testing.assert_array_equal(pictures(tmp_path, "samples")[0], expected)


def test_samples_of_a_model_of_images(tmp_path):
    model = models.convolutional_vae((8, 8, 1), widths=(4,))
    model.compile("adam", run_eagerly=True)
    fit(model, callbacks.TensorBoardSamples(tmp_path, count=3))
    expected = evaluation.image_grid(model.sample(3, seed=0))
    np.testing.assert_array_equal(pictures(tmp_path, "samples")[0], expected)


def test_a_prior_of_other_codes_is_refused(tmp_path):
    def error(prior, vqvae):
        codes = np.zeros((2, *prior.code_shape), int)
        samples = callbacks.TensorBoardSamples(tmp_path, vqvae, count=1)
        with pytest.raises(ValueError, match="vqvae") as caught:
            prior.fit(codes, callbacks=[samples], verbose=0)
        return str(caught.value)

    vqvae = models_for_tests.vqvae()
    assert "samples codes. Give `vqvae`" in error(a_prior(), None)
    larger = models_for_tests.vqvae(layers.VectorQuantizer(9))
    assert "sizes 5. Received: 'vqvae" in error(a_prior(), larger)
    assert "with other weights" in error(a_prior(codes_fingerprint="0" * 64), vqvae)
    samples = callbacks.TensorBoardSamples(tmp_path, vqvae)
    samples.set_model(a_prior(codes_fingerprint=vqvae.fingerprint()))
    assert samples.check() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, "`labels`"),
        ({"labels": [0, 1]}, "`labels`"),
        ({"labels": 0, "seed": -1}, "`seed`"),
        ({"labels": 0, "sampling": "greedy"}, "sampling"),
    ],
)
def test_what_a_model_cannot_sample_is_refused_before_training(tmp_path, wrong, error):
    vqvae, prior = models_for_tests.vqvae(), a_prior(num_classes=3)
    samples = callbacks.TensorBoardSamples(tmp_path, vqvae, count=3, **wrong)
    weights = prior.get_weights()
    with pytest.raises((TypeError, ValueError), match=error):
        prior.fit(vqvae.encode(IMAGES), np.arange(6) % 3, callbacks=[samples], verbose=0)
    for before, after in zip(weights, prior.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("every", [0, -1, 1.5, True, None])
def test_every_is_a_number_of_epochs(tmp_path, every):
    for make in (callbacks.TensorBoardCodeUsage, callbacks.TensorBoardProjector):
        with pytest.raises(ValueError, match="`every` should be a positive integer, in epochs"):
            make(tmp_path, every=every)


def test_images_are_looked_at_before_training(tmp_path):
    for wrong in (IMAGES[0], IMAGES[..., 0], IMAGES[:0], np.zeros((2, 8, 8, 2))):
        with pytest.raises(ValueError, match="`images` should have the shape"):
            callbacks.TensorBoardReconstructions(tmp_path, wrong)
    for wrong, message in (
        (np.zeros((2, 12, 8, 1), "uint8"), r"images of shape \(batch, 8, 8, 1\)"),
        (np.full((2, 8, 8, 1), 0.5), "holds floats in"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(models_for_tests.vqvae(), callbacks.TensorBoardGradientNorm(tmp_path, wrong))
    with pytest.raises(ValueError, match="`count` should be a positive integer"):
        callbacks.TensorBoardSamples(tmp_path, count=0)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_it_is_not_for_is_refused(tmp_path):
    plain = models_for_tests.autoencoder()
    for made, missing in (
        (callbacks.TensorBoardCodeGrids(tmp_path, IMAGES), "without `quantizer`"),
        (callbacks.TensorBoardProjector(tmp_path), "without `quantizer`"),
        (callbacks.TensorBoardSamples(tmp_path), "such as `models.PixelCNN`.*without `sample`"),
        (callbacks.TensorBoardCodeUsage(tmp_path), "holds no quantizer for `TensorBoardCodeUsage`"),
    ):
        with pytest.raises(ValueError, match=missing):
            fit(plain, made)
    four = models.VQVAE(
        models_for_tests.encoder(channels=4),
        layers.VectorQuantizer(5),
        models_for_tests.decoder(channels=4),
    )
    projector = callbacks.TensorBoardProjector(tmp_path)
    projector.set_model(four)
    four.build((None, 8, 8, 4))
    with pytest.raises(ValueError, match=r"1 or 3 channels. Received: .* \(8, 8, 4\)"):
        projector.check()
    dense = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Dense(1)])
    dense.compile("sgd", "mse")
    shown = callbacks.TensorBoardReconstructions(tmp_path, IMAGES)
    with pytest.raises(ValueError, match="without `check_images`, `reconstruct`"):
        dense.fit(IMAGES, IMAGES, callbacks=[shown], verbose=0)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_ends_training_before_it_begins(tmp_path):
    (tmp_path / "file").write_text("")
    model = models_for_tests.vqvae()
    before = values_of(model)
    with pytest.raises(OSError, match="`log_dir` should be a directory"):
        fit(model, callbacks.TensorBoardReconstructions(tmp_path / "file" / "run", IMAGES))
    assert same_bits(values_of(model), before)


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_what_it_is_without_them(tmp_path, compiled):
    def trained(used):
        keras.utils.set_random_seed(3)
        quantizer = layers.VectorQuantizer(
            5, update="ema", embeddings_initializer="kmeans", revival="replace_dead", seed=2
        )
        model = models_for_tests.vqvae(quantizer, {"run_eagerly": not compiled})
        return fit(model, *used, epochs=3)

    plain = trained([])
    used = [
        callbacks.TensorBoardReconstructions(tmp_path, IMAGES, every=1),
        callbacks.TensorBoardCodeGrids(tmp_path, IMAGES, every=1),
        callbacks.TensorBoardGradientNorm(tmp_path, IMAGES, every=1),
        callbacks.TensorBoardProjector(tmp_path, every=1),
    ]
    watched = trained(used)
    parts = ("encoder", "quantizer", "decoder", "optimizer")
    for part in parts:
        # `code_counts` begin anew in every epoch, for the projector; all else is untouched.
        mine, other = (
            [to_numpy(v) for v in getattr(model, part).variables if v.name != "code_counts"]
            for model in (watched, plain)
        )
        assert len(mine) > 1
        assert same_bits(mine, other), part
    assert len(list(tmp_path.glob("events*"))) == 1
