import gc
from itertools import chain

import keras
import numpy as np
import pytest

from keras_vqvae.data import ArraySource, Augmentation, ImageBatches, as_tf_dataset

COUNT = 11
# Every pixel of an image is its number, so a batch shows which images are in it.
IMAGES = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * np.ones((4, 4, 1), np.uint8)
SOURCE = ArraySource(IMAGES, labels=np.arange(COUNT))
NOISE = ArraySource(np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4), dtype=np.uint8))
SHUFFLED = {"batch_size": 3, "shuffle": True, "seed": 7}
AUGMENT = Augmentation(horizontal_flip=True, crop_padding=2)


def numbers(batch):
    return batch[:, 0, 0, 0].tolist()


def flat(lists):
    return list(chain.from_iterable(lists))


def epochs(batches, count):
    """Batches of some epochs, as Keras goes through them."""
    result = []
    for _ in range(count):
        batches.on_epoch_begin()
        result.append(list(batches))
        batches.on_epoch_end()
    return result


class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.scale = keras.layers.Dense(1, use_bias=False)

    def call(self, images):
        return self.scale(keras.ops.cast(images, "float32"))


class Recording(ImageBatches):
    """Keeps what it gave within epochs: `(epoch, numbers)`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.given = []

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        if self._within_epoch:
            images = batch[0] if self.with_labels else batch
            self.given.append((self.epoch, numbers(images)))
        return batch


def compiled():
    model = Model()
    model.compile(optimizer="sgd", loss="mse", jit_compile=False)
    return model


def test_order_and_shapes():
    batches = ImageBatches(SOURCE, batch_size=4)
    assert len(batches) == batches.steps_per_epoch == 3
    assert [numbers(b) for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert batches[0].dtype == np.uint8
    assert len(ImageBatches(SOURCE, batch_size=4, drop_remainder=True)) == 2
    assert batches.indices(2).tolist() == [8, 9, 10]
    with pytest.raises(IndexError):
        batches[3]


def test_labels_go_with_their_images():
    for images, labels in ImageBatches(SOURCE, with_labels=True, **SHUFFLED):
        assert numbers(images) == labels.tolist()
        assert labels.dtype == np.int32


def test_order_is_a_function_of_seed_and_epoch():
    first, second = epochs(ImageBatches(SOURCE, **SHUFFLED), 2)
    orders = [flat(map(numbers, epoch)) for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(COUNT))
    assert orders[0] != orders[1]
    again = ImageBatches(SOURCE, **SHUFFLED)
    again.set_epoch(1)
    assert flat(map(numbers, again)) == orders[1]
    other = ImageBatches(SOURCE, **{**SHUFFLED, "seed": 8})
    assert flat(map(numbers, other)) != orders[0]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 1), (1, 3), (2, 0), (0, 4)])
def test_resumed_run_is_the_tail_of_the_whole_one(epoch, step, workers):
    options = {**SHUFFLED, "augmentation": AUGMENT}
    whole = flat(epochs(ImageBatches(NOISE, **options), 3))
    resumed = ImageBatches(NOISE, start=(epoch, step), workers=workers, **options)
    assert (resumed.epoch, resumed.first_step) == (epoch + step // 4, step % 4)
    tail = epochs(resumed, 1)[0]
    resumed.set_epoch(resumed.epoch)
    tail += flat(epochs(resumed, 3 - resumed.epoch))
    assert len(tail) == len(whole) - (4 * epoch + step)
    for a, b in zip(whole[4 * epoch + step :], tail, strict=True):
        np.testing.assert_array_equal(a, b)


def test_augmentation_does_not_depend_on_batches_or_order():
    def by_image(**options):
        batches = ImageBatches(NOISE, augmentation=AUGMENT, seed=7, **options)
        order = np.concatenate([batches.indices(i) for i in range(len(batches))])
        return np.concatenate(list(batches))[np.argsort(order)]

    expected = by_image(batch_size=COUNT)
    np.testing.assert_array_equal(by_image(batch_size=2), expected)
    np.testing.assert_array_equal(by_image(batch_size=4, shuffle=True), expected)
    assert (by_image(batch_size=4, start=(1, 0)) != expected).any()


def test_augmentation_of_the_user():
    batches = ImageBatches(SOURCE, augmentation=lambda images, seeds: 255 - images)
    assert numbers(batches[0])[0] == 255
    with pytest.raises(ValueError, match="`augmentation` should keep"):
        ImageBatches(SOURCE, augmentation=lambda images, seeds: images / 2)[0]


@pytest.mark.parametrize("queue", [1, 2, 20])
def test_threads_give_the_same_in_any_order(queue):
    plain = ImageBatches(SOURCE, **SHUFFLED)
    threaded = ImageBatches(SOURCE, workers=3, max_queue_size=queue, **SHUFFLED)
    for epoch_a, epoch_b in zip(epochs(plain, 3), epochs(threaded, 3), strict=True):
        assert list(map(numbers, epoch_a)) == list(map(numbers, epoch_b))
    for index in (2, 0, 3, 3, 1):
        assert numbers(plain[index]) == numbers(threaded[index])


def test_errors_of_threads_arrive():
    class Broken(ArraySource):
        def _read(self, indices):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        ImageBatches(Broken(IMAGES), workers=2)[0]
    gc.collect()


class TestEpochs:
    """When the number of the epoch moves on."""

    def test_only_a_whole_pass_counts(self):
        batches = ImageBatches(SOURCE, **SHUFFLED)
        batches.on_epoch_end()  # Keras resets before the first epoch
        assert batches.epoch == 0
        batches.on_epoch_begin()
        batches[0]  # a look at the shapes
        batches.on_epoch_end()
        assert batches.epoch == 0
        list(batches)  # outside of an epoch
        assert batches.epoch == 0
        epochs(batches, 2)
        batches.on_epoch_end()
        assert batches.epoch == 2

    @pytest.mark.parametrize("workers", [1, 2])
    def test_fit_with_validation(self, workers):
        batches = Recording(SOURCE, with_labels=True, workers=workers, **SHUFFLED)
        validation = ImageBatches(SOURCE, batch_size=4, with_labels=True)
        model = compiled()
        model.fit(batches, epochs=2, validation_data=validation, shuffle=False, verbose=0)
        assert batches.epoch == 2
        model.evaluate(validation, verbose=0)
        model.fit(
            batches, initial_epoch=2, epochs=3, validation_data=validation, shuffle=False, verbose=0
        )
        assert batches.epoch == 3
        expected = epochs(ImageBatches(SOURCE, **SHUFFLED), 3)
        for number, epoch in enumerate(expected):
            given = [n for e, n in batches.given if e == number]
            # On some backends Keras takes one batch more, to look at the shapes.
            assert given[-4:] == list(map(numbers, epoch))
            assert len(given) <= 5

    def test_fit_from_within_an_epoch(self):
        expected = epochs(ImageBatches(SOURCE, **SHUFFLED), 3)
        batches = Recording(SOURCE, with_labels=True, start=(1, 2), **SHUFFLED)
        model = compiled()
        model.fit(batches, initial_epoch=1, epochs=2, shuffle=False, verbose=0)
        assert (batches.epoch, len(batches)) == (2, 4)
        model.fit(batches, initial_epoch=2, epochs=3, shuffle=False, verbose=0)
        given = [n for e, n in batches.given if e == 1]
        assert given[-2:] == [numbers(b) for b in expected[1][2:]]
        assert [n for e, n in batches.given if e == 2] == list(map(numbers, expected[2]))

    def test_fit_over_the_rest_and_more_is_an_error(self):
        batches = ImageBatches(SOURCE, with_labels=True, start=(1, 2), **SHUFFLED)
        with pytest.raises(ValueError, match=r"2 of 4 batches.*initial_epoch=1, epochs=2\)"):
            compiled().fit(batches, initial_epoch=1, epochs=3, shuffle=False, verbose=0)

    @pytest.mark.parametrize("batch_size", [4, COUNT])
    def test_callback_follows_the_number_of_fit(self, batch_size):
        batches = Recording(
            SOURCE, batch_size=batch_size, with_labels=True, shuffle=True, start=(3, 0)
        )
        callback = batches.epoch_callback()
        compiled().fit(
            batches, initial_epoch=3, epochs=6, callbacks=[callback], shuffle=False, verbose=0
        )
        steps = len(batches)
        for epoch in (3, 4, 5):
            other = ImageBatches(SOURCE, batch_size=batch_size, shuffle=True, start=(epoch, 0))
            given = [n for e, n in batches.given if e == epoch]
            assert given[-steps:] == list(map(numbers, other))

    def test_callback_and_a_last_batch(self):
        """One batch is left of the epoch: a look at the shapes is all of it."""
        batches = Recording(SOURCE, with_labels=True, start=(1, 3), **SHUFFLED)
        callback = batches.epoch_callback()
        compiled().fit(
            batches, initial_epoch=1, epochs=2, callbacks=[callback], shuffle=False, verbose=0
        )
        expected = ImageBatches(SOURCE, start=(1, 3), **SHUFFLED)
        assert batches.given[-1] == (1, numbers(expected[0]))

    @pytest.mark.parametrize("with_callback", [False, True])
    def test_steps_per_epoch(self, with_callback):
        batches = ImageBatches(SOURCE, with_labels=True, **SHUFFLED)
        options = {"callbacks": [batches.epoch_callback()]} if with_callback else {}
        compiled().fit(batches, epochs=4, steps_per_epoch=2, shuffle=False, verbose=0, **options)
        assert batches.epoch == 2  # two of fit's epochs are one pass

    def test_what_is_prefetched_between_epochs_belongs_to_the_pass(self):
        batches = ImageBatches(SOURCE, **SHUFFLED)
        batches.on_epoch_begin()
        batches[0], batches[1]
        batches.on_epoch_end()
        batches[2], batches[3]
        batches.on_epoch_begin()
        assert batches.epoch == 0
        batches.on_epoch_end()
        assert batches.epoch == 1
        list(batches)
        batches.on_epoch_end()  # fit begins: what was asked for before it is no part of a pass
        batches.on_epoch_begin()
        batches[0]
        batches.on_epoch_end()
        assert batches.epoch == 1


def test_predict_and_images_alone():
    model = compiled()
    assert model.predict(ImageBatches(SOURCE, batch_size=4), verbose=0).shape == (COUNT, 4, 4, 1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"batch_size": 2.5}, ValueError, "batch_size=2.5"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"start": (0, 99)}, ValueError, "at most 1"),
        ({"start": 3}, ValueError, r"\(epoch, step\)"),
        ({"start": (-1, 0)}, ValueError, "epoch=-1"),
        ({"augmentation": "flip"}, TypeError, "augmentation='flip'"),
        ({"drop_remainder": True}, ValueError, "11 images"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        ImageBatches(SOURCE, **options)


def test_bad_sources():
    with pytest.raises(TypeError, match="load_images"):
        ImageBatches(IMAGES)
    with pytest.raises(ValueError, match="has none"):
        ImageBatches(NOISE, with_labels=True)


@pytest.mark.tensorflow_only
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data")
class TestTensorFlowData:
    def test_spec_and_order_over_epochs(self):
        dataset = as_tf_dataset(ImageBatches(SOURCE, with_labels=True, **SHUFFLED))
        images, labels = dataset.element_spec
        assert images.shape.as_list() == [None, 4, 4, 1]
        assert (images.dtype.name, labels.dtype.name) == ("uint8", "int32")
        assert int(dataset.cardinality()) == 4
        expected = epochs(ImageBatches(SOURCE, **SHUFFLED), 2)
        for epoch in expected:
            given = [numbers(images.numpy()) for images, _ in dataset]
            assert given == list(map(numbers, epoch))

    def test_a_broken_off_pass_does_not_count(self):
        batches = ImageBatches(SOURCE, **SHUFFLED)
        dataset = as_tf_dataset(batches)
        for _ in dataset.take(1):
            pass
        gc.collect()
        assert batches.epoch == 0

    def test_source(self):
        dataset = as_tf_dataset(SOURCE, batch_size=4)
        assert [numbers(b.numpy()) for b in dataset][2] == [8, 9, 10]

    def test_fit(self):
        batches = ImageBatches(SOURCE, with_labels=True, **SHUFFLED)
        compiled().fit(as_tf_dataset(batches), epochs=2, shuffle=False, verbose=0)
        assert batches.epoch == 2

    def test_the_rest_of_an_epoch(self):
        batches = ImageBatches(SOURCE, start=(1, 2), **SHUFFLED)
        expected = epochs(ImageBatches(SOURCE, **SHUFFLED), 3)
        rest = [numbers(b.numpy()) for b in as_tf_dataset(batches)]
        assert rest == [numbers(b) for b in expected[1][2:]]
        following = [numbers(b.numpy()) for b in as_tf_dataset(batches)]
        assert following == list(map(numbers, expected[2]))


class Counting(ArraySource):
    """Keeps which images were read."""

    def __init__(self, images):
        super().__init__(images)
        self.read_indices = []

    def _read(self, indices):
        self.read_indices += indices.tolist()
        return super()._read(indices)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_that_are_passed_over_are_not_read(workers):
    source = Counting(IMAGES)  # 11 images: batches of 3, 3, 3, 2
    batches = ImageBatches(source, workers=workers, **SHUFFLED)
    batches.set_epoch(2)
    expected = list(batches)
    batches.set_epoch(2)
    batches.pass_over(2)
    source.read_indices.clear()
    given = [batches[i] for i in range(4)]
    assert [b.shape for b in given] == [b.shape for b in expected]
    assert flat(map(numbers, given[2:])) == flat(map(numbers, expected[2:]))
    assert len(source.read_indices) == 1 + 1 + 3 + 2
    batches.set_epoch(2)
    assert numbers(batches[0]) == numbers(expected[0])


def test_what_went_wrong_is_kept():
    def fail(images, seeds):
        raise ZeroDivisionError("mine")

    batches = ImageBatches(SOURCE, augmentation=fail)
    with pytest.raises(ZeroDivisionError):
        batches[0]
    assert str(batches.failure) == "mine"
