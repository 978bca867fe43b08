"""Priors in `fit`: what is logged, what is learned, and what training may be given."""

import types

import keras
import numpy as np
import pytest
from causal_support import random_codes
from prior_cases import KINDS, each_kind, each_of_few, each_of_two, one_kind, slow_but
from support import grey_images, to_numpy

from keras_vqvae import data, models

LOG2 = np.log(2.0)


@each_of_two
def test_fit_logs_what_log_prob_says(case):
    prior = case.make()
    prior.compile(keras.optimizers.SGD(0.0))
    codes, y = case.data(prior, 6)
    history = prior.fit(codes, y, batch_size=6, verbose=0, validation_data=(codes, y)).history
    log_prob = prior.log_prob(codes, **case.conditions(prior, 6))
    nats = -log_prob.mean() / np.prod(prior.code_shape)
    assert history["val_loss"][0] == pytest.approx(nats, rel=1e-5)
    assert history["val_bits_per_code"][0] == pytest.approx(nats / LOG2, rel=1e-5)
    assert set(history) >= {"loss", "bits_per_code", "gradient_norm"}
    if not prior.label_dropout:
        assert history["loss"][0] == pytest.approx(nats, rel=1e-5)


# Attention needs some width, and a lower rate.
WIDER = {
    "pixelsnail": ({"filters": 16, "embedding_dim": 16}, 0.01),
    "transformer": ({"hidden_dim": 32, "blocks": 1}, 0.005),
}


@slow_but("pixelcnn")
def test_learns_a_rule(case):
    """Each code is the one to the left plus one; rows begin with the label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 256)
    codes = (labels[:, None, None] + np.arange(4)) % 5 + np.zeros((1, 3, 1), int)
    sizes, rate = WIDER.get(case.kind, ({}, 0.02))
    prior = case.make((3, 4), num_classes=3, scale=None, **sizes)
    prior.compile(keras.optimizers.Adam(rate))
    history = prior.fit(codes, labels, epochs=15, batch_size=32, verbose=0).history
    assert history["bits_per_code"][0] > 0.5
    assert history["bits_per_code"][-1] < 0.1
    expected = (np.arange(3)[:, None, None] + np.arange(4)) % 5 + np.zeros((1, 3, 1), int)
    # The best code after those expected is the one expected, so that is what greedy sampling gives.
    best = to_numpy(prior(expected, labels=np.arange(3))).argmax(-1)
    np.testing.assert_array_equal(best, expected)
    if case is KINDS["pixelcnn"]:
        samples = prior.sample(3, labels=np.arange(3), sampler="greedy")
        np.testing.assert_array_equal(samples, expected)


def test_label_smoothing_changes_the_loss_and_nothing_else():
    plain, smooth = (KINDS["gated"].make(label_smoothing=s) for s in (0.0, 0.25))
    codes = random_codes(plain, 6)
    np.testing.assert_array_equal(plain.log_prob(codes), smooth.log_prob(codes))
    for prior in (plain, smooth):
        prior.compile("sgd", run_eagerly=True)
    a, b = (prior.evaluate(codes, verbose=0, return_dict=True) for prior in (plain, smooth))
    assert a["bits_per_code"] == pytest.approx(b["bits_per_code"])
    # −Σ q log p with q = ¾ of the target + ¼ of the even one.
    logits = to_numpy(plain(codes)).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p, codes[..., None], -1)[..., 0]
    expected = -(0.75 * chosen + 0.25 * log_p.mean(-1)).mean()
    assert b["loss"] == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_spreads_over_the_codes_that_there_are():
    prior = KINDS["gated"].make(depth=2, num_embeddings=(5, 2), label_smoothing=0.5)
    prior.compile("sgd", run_eagerly=True)
    codes, costs = random_codes(prior, 4), []
    logits = to_numpy(prior(codes)).astype("float64")
    for depth, size in enumerate((5, 2)):
        own = logits[..., depth, :size]
        log_p = own - np.log(np.exp(own).sum(-1, keepdims=True))
        chosen = np.take_along_axis(log_p, codes[..., depth, None], -1)[..., 0]
        costs.append(-(0.5 * chosen + 0.5 * log_p.mean(-1)))
    loss = prior.evaluate(codes, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(np.mean(costs), rel=1e-5)


@one_kind
def test_averaged_weights(case):
    """Keras's optimizers average weights; at the end of `fit` the model has the averages."""
    prior, other = case.make(scale=None), case.make(scale=None)
    codes = random_codes(prior, 32)
    other.set_weights(prior.get_weights())
    once = {"batch_size": 16, "verbose": 0, "shuffle": False}
    prior.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.25), run_eagerly=True)
    prior.fit(codes, **once)  # two steps
    other.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    after = []
    for half in (codes[:16], codes[16:]):
        other.fit(half, **once)
        after.append([to_numpy(w) for w in other.trainable_variables])
    for weight, first, second in zip(prior.trainable_variables, *after, strict=True):
        # The average begins with the first step's weights.
        np.testing.assert_allclose(to_numpy(weight), 0.25 * first + 0.75 * second, atol=1e-6)
    assert max(np.abs(a - b).max() for a, b in zip(*after, strict=True)) > 1e-4


@each_kind
def test_dropout_is_on_in_training_only(case):
    prior = case.make(dropout=0.5)
    codes = random_codes(prior, 2)
    a, b = (to_numpy(prior(codes, training=True)) for _ in range(2))
    assert not np.array_equal(a, b)
    a, b = (to_numpy(prior.nats(codes)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    if case is KINDS["pixelcnn"]:
        np.testing.assert_array_equal(prior.log_prob(codes), prior.log_prob(codes))


def test_label_dropout_replaces_its_share():
    prior = KINDS["gated"].make(num_classes=1, label_dropout=0.25)
    labels = np.zeros((4000,), "int32")
    maps = to_numpy(prior.conditions(labels, training=True))[:, 0, 0]
    dropped = (np.abs(maps - to_numpy(prior.conditions(labels - 1))[:, 0, 0]) < 1e-6).all(-1)
    assert dropped.mean() == pytest.approx(0.25, abs=0.03)  # 4 standard errors
    kept = to_numpy(prior.conditions(labels))[:, 0, 0]
    np.testing.assert_array_equal(maps[~dropped], kept[~dropped])


@each_kind
def test_mixed_precision(case):
    """Eagerly, but for the loop of one kind: its state has to keep its dtypes from turn to turn."""
    keras.config.set_dtype_policy("mixed_float16")
    prior = case.make((2, 2), num_classes=3)
    prior.compile("adam", run_eagerly=True)
    codes, labels = case.data(prior, 8)
    logs = prior.fit(codes, labels, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert keras.backend.standardize_dtype(prior.nats(codes, labels).dtype) == "float32"

    def kept(state):
        return [(tuple(x.shape), x.dtype) for x in keras.tree.flatten(state)]

    start = prior.initial_state(2, labels[:2])
    logits, state = prior.step(prior.start_row(start, 0), 0, 0)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(to_numpy(logits)).all()
    assert kept(prior.write(codes[:2, 0, 0], state, 0, 0)) == kept(start)
    if case is KINDS["pixelcnn"]:
        assert prior.sample(2, labels=0, seed=0).shape == (2, 2, 2)
        assert prior.log_prob(codes, labels).dtype == "float32"


@each_of_few
def test_config_round_trip(case):
    prior = case.make(label_smoothing=0.1, codes_fingerprint="ab12")
    again = type(prior).from_config(prior.get_config())
    assert again.get_config() == prior.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in prior.weights]


@each_of_two
def test_keras_round_trip(case, tmp_path):
    prior = case.make(label_smoothing=0.1, codes_fingerprint="ab12")
    prior.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    codes, y = case.data(prior, 8)
    prior.fit(codes, y, verbose=0)
    prior.save(tmp_path / "prior.keras")
    loaded = keras.models.load_model(tmp_path / "prior.keras")
    assert loaded.codes_fingerprint == "ab12"
    conditions = case.conditions(prior, 8)
    np.testing.assert_array_equal(
        to_numpy(loaded.nats(codes, **conditions)), to_numpy(prior.nats(codes, **conditions))
    )
    # Training goes on as it would have.
    after = [model.fit(codes, y, verbose=0, shuffle=False).history for model in (prior, loaded)]
    assert after[1]["loss"] == pytest.approx(after[0]["loss"], rel=1e-5)


def test_code_files():
    prior = KINDS["gated"].make(num_classes=3, scale=None)
    prior.compile("adam", run_eagerly=True)
    codes, labels = KINDS["gated"].data(prior, 8)

    def code_file(fingerprint):
        return types.SimpleNamespace(codes=codes, labels=labels, fingerprint=fingerprint)

    with pytest.raises(ValueError, match=r"another model: fingerprint cccc.*, not aaaa"):
        prior.fit(code_file("c" * 20), validation_data=code_file("a" * 20), verbose=0)
    assert prior.codes_fingerprint is None  # it has trained on none
    prior.fit(code_file("a" * 20), verbose=0)
    assert prior.codes_fingerprint == "a" * 20
    prior.evaluate(code_file("a" * 20), verbose=0)
    with pytest.raises(ValueError, match=r"another model: fingerprint aaaa.*, not bbbb"):
        prior.fit(code_file("b" * 20), verbose=0)
    prior.fit(codes, labels, verbose=0)  # arrays do not say, and change nothing
    assert prior.codes_fingerprint == "a" * 20


def test_streams():
    prior = KINDS["gated"].make(num_classes=3, scale=None)
    prior.compile("adam", run_eagerly=True)
    codes, labels = KINDS["gated"].data(prior, 8)

    class Stream(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return codes[4 * i : 4 * i + 4], labels[4 * i : 4 * i + 4]

    history = prior.fit(Stream(), validation_data=Stream(), verbose=0).history
    assert np.isfinite(history["val_bits_per_code"][0])
    codes = codes + 5
    with pytest.raises(ValueError, match=r"should be in \[0, 5\)"):
        prior.fit(Stream(), verbose=0)


@each_of_few
def test_predictions_are_the_logits_of_codes_with_their_conditions(case):
    prior = case.make()
    codes, y = case.data(prior, 5)
    prior.compile("adam", run_eagerly=True)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            part = slice(2 * i, 2 * i + 2)
            return codes[part], keras.tree.map_structure(lambda a: a[part], y)

    labels, condition = prior.check_y(y, 5)
    expected = to_numpy(prior(codes, labels=labels, condition=condition))
    batches = codes if y is None else Batches()
    np.testing.assert_allclose(prior.predict(batches, verbose=0), expected, rtol=1e-4, atol=1e-5)
    if y is not None and labels is not None:
        with pytest.raises(ValueError, match=r"Pass them beside the codes|pass the pair"):
            prior.predict(codes, verbose=0)


@each_kind
def test_every_layer_is_built(case):
    """Keras on JAX calls a model at each `fit` and `evaluate` in which one is not."""
    for prior in (case.make(scale=None), case.make(scale=None, num_classes=3)):
        assert [layer.path for layer in prior._flatten_layers() if not layer.built] == []


@pytest.mark.tensorflow_only
def test_the_first_batch_of_a_pipeline_is_checked():
    import tensorflow as tf

    prior = KINDS["pixelcnn"].make(scale=None)
    prior.compile("adam", run_eagerly=True)
    codes = tf.data.Dataset.from_tensor_slices(random_codes(prior, 8))
    prior.fit(codes.batch(4), verbose=0)
    with pytest.raises(ValueError, match=r"should be in \[0, 5\)"):
        prior.fit(codes.map(lambda x: x + 5).batch(4), verbose=0)


def test_training_on_images_encoded_on_the_fly():
    """The codes of an epoch are those of its augmented images, with their labels."""
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    before = [np.array(w) for w in vqvae.get_weights()]
    images = data.ArraySource(grey_images(8, 8, 1), labels=np.arange(8) % 3)

    def batches():
        return data.ImageBatches(
            images,
            batch_size=4,
            shuffle=True,
            seed=1,
            augmentation=lambda x, seeds: x[:, :, ::-1],
            with_labels=True,
        )

    encoded, alone = models.EncodedBatches(vqvae, batches()), batches()
    for i in range(2):
        codes, labels = encoded[i]
        seen, expected = alone[i]
        np.testing.assert_array_equal(codes, vqvae.encode(seen))
        np.testing.assert_array_equal(labels, expected)

    prior = models.PixelCNN((4, 4), 5, num_classes=3, filters=4, residual_blocks=1)
    prior.compile("adam", run_eagerly=True)
    history = prior.fit(encoded, epochs=2, shuffle=False, verbose=0).history
    assert np.isfinite(history["bits_per_code"]).all()
    assert encoded.batches.epoch == 2
    assert prior.codes_fingerprint == vqvae.fingerprint()
    for weight, old in zip(vqvae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)

    other = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    with pytest.raises(ValueError, match="for the codes of another model"):
        prior.fit(models.EncodedBatches(other, batches()), verbose=0)
    with pytest.raises(TypeError, match=r"`batches` should be a `keras\.utils\.PyDataset`"):
        models.EncodedBatches(vqvae, images)


class Images(keras.utils.PyDataset):
    """Batches that know no more than Keras asks of them."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def __len__(self):
        return 2

    def __getitem__(self, index):
        images = grey_images(4)
        return images if self.kind is None else self.kind([images, np.arange(4)])


@pytest.mark.parametrize("kind", [tuple, list])
def test_labels_stay_beside_the_codes(kind):
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    codes, labels = models.EncodedBatches(vqvae, Images(kind))[0]
    np.testing.assert_array_equal(codes, vqvae.encode(grey_images(4)))
    np.testing.assert_array_equal(labels, np.arange(4))


def test_batches_that_know_no_epochs_are_encoded_on_the_fly():
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    encoded = models.EncodedBatches(vqvae, Images(None))
    prior = models.PixelCNN((4, 4), 5, filters=4, residual_blocks=1)
    prior.compile("adam", run_eagerly=True)
    assert np.isfinite(prior.fit(encoded, verbose=0).history["loss"]).all()
    encoded.pass_over(1)  # they cannot, so that all of them are encoded
    np.testing.assert_array_equal(encoded[0], vqvae.encode(grey_images(4)))


def test_labels_may_be_left_out_of_batches_of_codes():
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    images = data.ImageBatches(data.ArraySource(grey_images(4)), 2)
    prior = models.PixelCNN(
        (4, 4), 5, num_classes=3, label_dropout=0.5, filters=4, residual_blocks=1
    )
    prior.compile("adam", run_eagerly=True)
    encoded = models.EncodedBatches(vqvae, images)
    assert np.isfinite(prior.fit(encoded, verbose=0).history["loss"]).all()
    assert np.isfinite(prior.evaluate(encoded, verbose=0)).all()


@pytest.mark.tensorflow_only
def test_labels_may_be_left_out_of_a_pipeline():
    import tensorflow as tf

    prior = KINDS["pixelcnn"].make(num_classes=3, label_dropout=0.5, scale=None)
    prior.compile("adam")
    codes = tf.data.Dataset.from_tensor_slices(random_codes(prior, 8)).batch(4)
    history = prior.fit(codes, validation_data=codes, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()


def test_steps_that_are_done_are_not_encoded(monkeypatch):
    vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    images = data.ArraySource(grey_images(7, 8, 1), labels=np.arange(7) % 3)
    encoded = models.EncodedBatches(vqvae, data.ImageBatches(images, 3, with_labels=True))
    expected = [encoded[i] for i in range(3)]
    made, encode = [], models.VQVAE.encode
    monkeypatch.setattr(
        models.VQVAE, "encode", lambda self, x, **k: made.append(len(x)) or encode(self, x, **k)
    )
    encoded.pass_over(2)
    given = [encoded[i] for i in range(3)]
    assert made == [1]
    assert (
        [c.shape for c, _ in given]
        == [c.shape for c, _ in expected]
        == [(3, 4, 4)] * 2 + [(1, 4, 4)]
    )
    assert {c.dtype for c, _ in given} == {np.dtype("int32")}
    for found, wanted in zip(given[2], expected[2], strict=True):
        np.testing.assert_array_equal(found, wanted)
    encoded.batches.set_epoch(1)
    np.testing.assert_array_equal(encoded[0][0], expected[0][0])


def test_refuses_losses_and_weights():
    prior = KINDS["gated"].make(scale=None)
    with pytest.raises(ValueError, match="its own loss"):
        prior.compile("adam", loss="mse")
    prior.compile("adam")
    with pytest.raises(ValueError, match="takes no sample weights"):
        prior.fit(random_codes(prior, 4), sample_weight=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match="takes no sample weights"):
        prior.evaluate(random_codes(prior, 4), None, 4, 0, np.ones(4))
