import json
import shutil
import zipfile

import keras
import numpy as np
import pytest
from support import same_bits, values_of

from keras_vqvae import layers, models
from keras_vqvae.callbacks import CodebookMetrics, ResumableTraining
from keras_vqvae.callbacks.training_state import TrainingState
from keras_vqvae.data import ArraySource, ImageBatches

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (22, 4, 4, 1), dtype=np.uint8)
LABELS = RNG.integers(0, 3, 22).astype("int32")
CODES = RNG.integers(0, 4, (22, 2, 2)).astype("int32")
EPOCHS = 3


class Killed(BaseException):
    """The end of a process."""


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.at = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise Killed


# Without compilation, which takes most of the time here; where there is a choice.
EAGER = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}


def vqvae(quantizer=None, **compiled):
    model = models.convolutional_vqvae(
        (4, 4, 1), num_embeddings=4, embedding_dim=2, widths=(4,), quantizer=quantizer
    )
    model.compile(**{"optimizer": keras.optimizers.Adam(0.01), **EAGER, **compiled})
    return model


def prior(**compiled):
    model = models.PixelCNN(
        (2, 2), 4, num_classes=3, filters=4, residual_blocks=1, embedding_dim=4, dropout=0.3
    )
    model.compile(keras.optimizers.Adam(0.01), **{**EAGER, **compiled})
    return model


def classifier(**compiled):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(2, 2, strides=2),
            layers.VectorQuantizer(4),
            keras.layers.Dropout(0.4),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    settings = {"optimizer": "adam", "loss": loss, "metrics": ["accuracy"], **EAGER}
    model.compile(**{**settings, **compiled})
    return model


def fit_arrays(model, callbacks):
    model.fit(IMAGES, batch_size=4, epochs=EPOCHS, verbose=0, callbacks=callbacks)


def fit_positional(model, callbacks):
    model.fit(IMAGES, None, 4, EPOCHS, 0, callbacks)


def fit_validated(model, callbacks):
    model.fit(
        IMAGES, batch_size=4, epochs=EPOCHS, verbose=0, callbacks=callbacks,
        validation_data=IMAGES[:5],
    )  # fmt: skip


def fit_codes(model, callbacks):
    model.fit(CODES, LABELS, batch_size=4, epochs=EPOCHS, verbose=0, callbacks=callbacks)


def fit_batches(model, callbacks):
    source = ArraySource(IMAGES, LABELS)
    batches = ImageBatches(source, 4, shuffle=True, seed=1, with_labels=True)
    callbacks = [batches.epoch_callback(), CodebookMetrics(), *callbacks]
    model.fit(batches, epochs=EPOCHS, verbose=0, callbacks=callbacks, shuffle=False)


def fit_unshuffled(model, callbacks):
    x, y = IMAGES.astype("float32"), LABELS
    model.fit(x, y, 4, EPOCHS, 0, callbacks, shuffle=False)


def fit_encoded(model, callbacks):
    keras.utils.set_random_seed(3)
    images = ImageBatches(ArraySource(IMAGES, LABELS), 4, shuffle=True, with_labels=True)
    encoded = models.EncodedBatches(vqvae(), images)
    model.fit(encoded, epochs=EPOCHS, verbose=0, callbacks=callbacks)


CASES = {
    "arrays": (vqvae, fit_arrays),
    "compiled": (lambda: prior(run_eagerly=False), fit_codes),
    "arguments by position": (vqvae, fit_positional),
    "validation": (vqvae, fit_validated),
    "prior": (prior, fit_codes),
    "codes made on the fly": (prior, fit_encoded),
    "another model, our batches": (classifier, fit_batches),
    "another model, arrays": (classifier, fit_unshuffled),
    "several steps at once": (lambda: classifier(steps_per_execution=2), fit_unshuffled),
    "averaged weights": (
        lambda: vqvae(optimizer=keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True)),
        fit_arrays,
    ),
    "two optimizers": (
        lambda: vqvae(
            quantizer=layers.VectorQuantizer(4, 2, update="gradient"),
            codebook_optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        ),
        fit_arrays,
    ),
    "loss scaling": (
        lambda: classifier(
            optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
        ),
        fit_unshuffled,
    ),
}


def state_of(model, resumable):
    return [*values_of(model), *values_of(model.optimizer)], resumable.history


# This one stands for the others where time is short.
QUICK = {"compiled"}


@pytest.mark.parametrize(
    "case",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES],
)
def test_the_end_is_that_of_an_uninterrupted_training(case, tmp_path):
    make, fit = CASES[case]

    def attempt(name, *others, seed=0):
        keras.utils.set_random_seed(seed)
        model, resumable = make(), ResumableTraining(tmp_path / name, save_freq=2)
        fit(model, [*others, resumable])
        return state_of(model, resumable)

    expected, history = attempt("whole")
    assert len(history) == EPOCHS
    # Within the first epoch, after the last step of the second, and not any more.
    for number, kill in enumerate([Kill(0, 3), Kill(1, 5)]):
        with pytest.raises(Killed):
            attempt("killed", kill, seed=number)
    # Another start: all that counts is what is restored.
    found, resumed = attempt("killed", seed=9)
    assert resumed == history
    assert same_bits(found, expected)


class StopAt(Kill):
    """Ends training as Keras's own callbacks do: it ends the epoch, too."""

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.stop_training = True


@pytest.mark.parametrize("validated", [False, True])
def test_an_epoch_that_stop_training_cuts_short_is_gone_on_with(validated, tmp_path):
    def train(folder, *callbacks):
        keras.utils.set_random_seed(1)
        model = vqvae()
        resumable = ResumableTraining(tmp_path / folder)
        validation = {"validation_data": IMAGES} if validated else {}
        model.fit(
            IMAGES,
            batch_size=4,
            epochs=2,
            verbose=0,
            callbacks=[*callbacks, resumable],
            **validation,
        )
        return resumable.history, values_of(model)

    history, expected = train("whole")
    stopped, _ = train("cut", StopAt(0, 2))
    assert stopped == []
    again, found = train("cut")
    assert len(again) == len(history) == 2
    assert same_bits(found, expected)
    assert [one["loss"] for one in again] == [one["loss"] for one in history]


@pytest.mark.parametrize("where", [-1, 5])  # in the last step, or in one that is saved
def test_an_epoch_that_ends_with_nan_is_not_saved(where, tmp_path):
    bad = IMAGES.astype("float32") / 255
    bad[where] = np.nan

    def train(images, epochs):
        model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", **EAGER)
        resumable = ResumableTraining(tmp_path / "t", save_freq=2)
        model.fit(
            images,
            images,
            batch_size=4,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[keras.callbacks.TerminateOnNaN(), resumable],
        )
        return model, resumable

    good = np.nan_to_num(bad)
    train(good, 2)
    train(bad, 3)
    model, again = train(good, 3)
    assert len(again.history) == 3
    assert np.isfinite(again.history[-1]["loss"])
    assert all(np.isfinite(value).all() for value in values_of(model))


def test_validation_has_the_batches_that_it_has_without(tmp_path, monkeypatch):
    sizes = []
    model = vqvae()
    evaluate = type(model).evaluate

    def watched(self, *args, **kwargs):
        sizes.append(kwargs["batch_size"])
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "evaluate", watched)
    for options in ({"batch_size": 8}, {"batch_size": 8, "validation_batch_size": 6}, {}):
        for callbacks in ([], [ResumableTraining(tmp_path / str(len(sizes)))]):
            model.fit(
                IMAGES, validation_data=IMAGES, verbose=0, callbacks=callbacks, epochs=1, **options
            )
    assert [size or 32 for size in sizes] == [8, 8, 6, 6, 32, 32]


def test_callbacks_given_by_position_are_found(tmp_path):
    model = vqvae()
    shuffled = 0.0, None, True  # and what stands after them in the signature of `fit`
    fitted = model.fit(IMAGES, None, 11, 1, 0, [ResumableTraining(tmp_path)], *shuffled)
    assert fitted.params["steps"] == 2
    with pytest.raises(ValueError, match="`validation_split`"):
        model.fit(IMAGES, None, 11, 1, 0, [ResumableTraining(tmp_path)], 0.5)


def test_a_finished_training_is_not_repeated(tmp_path):
    model = vqvae()
    fit_arrays(model, [ResumableTraining(tmp_path)])
    again = vqvae()
    fit_arrays(again, [ResumableTraining(tmp_path)])
    assert same_bits(values_of(again), values_of(model))
    assert not again.history.epoch
    # And another `fit` begins at the first epoch.
    again.fit(IMAGES, verbose=0)
    assert again.history.epoch == [0]


@pytest.mark.tensorflow_only
def test_a_pipeline_is_replayed(tmp_path):
    import tensorflow as tf

    asked = []

    def batches():
        for i in range(0, 20, 4):
            asked.append(i)
            yield IMAGES[i : i + 4]

    spec = tf.TensorSpec((None, 4, 4, 1), "uint8")

    def attempt(name, *others):
        keras.utils.set_random_seed(0)
        model, resumable = vqvae(), ResumableTraining(tmp_path / name, save_freq=3)
        pipeline = tf.data.Dataset.from_generator(batches, output_signature=spec)
        pipeline = pipeline.apply(tf.data.experimental.assert_cardinality(5))
        model.fit(pipeline, epochs=2, verbose=0, callbacks=[*others, resumable])
        return state_of(model, resumable)

    expected, history = attempt("whole")
    with pytest.raises(Killed):
        attempt("killed", Kill(1, 3))
    asked.clear()
    found, resumed = attempt("killed")
    assert resumed == history
    assert same_bits(found, expected)
    assert asked[-5:] == [0, 4, 8, 12, 16]


def test_steps_that_are_done_are_not_read_again(tmp_path):
    class Counted(ArraySource):
        def _read(self, indices):
            read.append(indices.tolist())
            return super()._read(indices)

    read = []

    def fit(*callbacks):
        batches = ImageBatches(Counted(IMAGES[:20]), 4)
        vqvae().fit(
            batches, epochs=1, verbose=0, callbacks=[*callbacks, ResumableTraining(tmp_path, 3)]
        )

    with pytest.raises(Killed):
        fit(Kill(0, 3))
    read.clear()
    fit()
    # Before them come the batches that are looked at for shapes.
    assert read[-5:] == [[0], [4], [8], [12, 13, 14, 15], [16, 17, 18, 19]]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, tmp_path):
    model, resumable = vqvae(), ResumableTraining(tmp_path)
    fit_arrays(model, [resumable])
    last = tmp_path / "last.npz"
    content = bytearray(last.read_bytes())
    half = len(content) // 2
    if damage == "missing":
        last.unlink()
    elif damage == "flipped":
        content[half] ^= 64
        last.write_bytes(content)
    else:
        last.write_bytes(content[:half] if damage == "cut" else b"")
    again = ResumableTraining(tmp_path)
    redone = vqvae()
    if damage == "missing":
        fit_arrays(redone, [again])
    else:
        with pytest.warns(UserWarning, match=r"last\.npz' is damaged.*one before it is used"):
            fit_arrays(redone, [again])
    assert redone.history.epoch == [EPOCHS - 1]
    assert again.history == resumable.history
    assert same_bits(values_of(redone), values_of(model))


def test_what_a_killed_training_left_of_a_write_is_removed(tmp_path):
    (tmp_path / f".last.{'0a' * 6}.tmp.npz").write_bytes(b"half")
    (tmp_path / ".mine.tmp.npz").write_bytes(b"mine")
    vqvae().fit(IMAGES, verbose=0, callbacks=[ResumableTraining(tmp_path)])
    assert {p.name for p in tmp_path.iterdir()} == {"last.npz", ".mine.tmp.npz"}


def test_no_whole_checkpoint_is_an_error(tmp_path):
    (tmp_path / "last.npz").write_bytes(b"no")
    (tmp_path / "previous.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"is damaged.*to begin anew"):
        fit_arrays(vqvae(), [ResumableTraining(tmp_path)])


def of_version(path, version):
    """Rewrites a checkpoint as one of another version, with checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = {**json.loads(members["about.json"]), "version": version}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(about) if name == "about.json" else content)


@pytest.mark.parametrize("later", [["last.npz"], ["last.npz", "previous.npz"], ["previous.npz"]])
def test_a_checkpoint_of_a_later_version_is_refused_and_stays(later, tmp_path):
    state = TrainingState(1, 0, [{"loss": 1.0}])
    paths = tmp_path / "last.npz", tmp_path / "previous.npz"
    for _ in range(2):
        state.save(*paths)
    for name in later:
        of_version(tmp_path / name, 2)
    if later == ["previous.npz"]:
        paths[0].write_bytes(b"no")  # and the later one would be what is left
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"{later[0]}' has version 2.*reads 1\. Use the package"):
        TrainingState.newest(*paths)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_write_that_fails_leaves_the_checkpoint(tmp_path, monkeypatch):
    fit_arrays(vqvae(), [ResumableTraining(tmp_path)])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr("numpy.save", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
    model = vqvae()
    with pytest.raises(OSError, match="full"):
        model.fit(IMAGES, epochs=EPOCHS + 1, verbose=0, callbacks=[ResumableTraining(tmp_path)])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_directory_that_cannot_be_written_ends_training_before_it_begins(tmp_path, below):
    (tmp_path / "file").write_text("")
    model = vqvae()
    before = values_of(model)
    directory = tmp_path / "file" / below
    with pytest.raises(OSError, match=r"`directory` should be .*Received: directory='.*file"):
        model.fit(IMAGES, verbose=0, callbacks=[ResumableTraining(directory)])
    assert same_bits(before, values_of(model))


def test_a_training_that_begins_anew_has_a_history_of_its_own(tmp_path):
    resumable = ResumableTraining(tmp_path / "folder", save_freq=np.int64(1))
    for _ in range(2):
        fit_arrays(vqvae(), [resumable])
        assert len(resumable.history) == EPOCHS
        shutil.rmtree(tmp_path / "folder")


def test_what_cannot_be_resumed_is_refused(tmp_path):
    for wrong in (0, True, "batch"):
        with pytest.raises(ValueError, match=r"`save_freq` should be .* or 'epoch'"):
            ResumableTraining(tmp_path, save_freq=wrong)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    if keras.backend.backend() == "tensorflow":  # JAX builds by itself
        with pytest.raises(ValueError, match="built before `fit`"):
            unbuilt.fit(np.ones((2, 2)), np.ones(2), callbacks=[ResumableTraining(tmp_path)])
    with pytest.raises(ValueError, match="`validation_split`"):
        vqvae().fit(IMAGES, validation_split=0.5, callbacks=[ResumableTraining(tmp_path)])
    batches = ImageBatches(ArraySource(IMAGES), 11)
    with pytest.raises(ValueError, match=r"steps_per_epoch=1 for 2 batches"):
        vqvae().fit(batches, steps_per_epoch=1, callbacks=[ResumableTraining(tmp_path)])
    fit_arrays(vqvae(), [ResumableTraining(tmp_path)])
    with pytest.raises(ValueError, match="of another model"):
        fit_codes(prior(), [ResumableTraining(tmp_path)])


def test_sixteen_bit_floats_are_kept(tmp_path):
    keras.config.set_dtype_policy("bfloat16")

    def model():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("adam", "mse")
        return model

    x = np.ones((4, 3), "float32")
    trained, loaded = model(), model()
    for m in (trained, loaded):
        m.fit(x, x[:, :2], verbose=0, callbacks=[ResumableTraining(tmp_path)])
    assert same_bits(values_of(loaded), values_of(trained))
