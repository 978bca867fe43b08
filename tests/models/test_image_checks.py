"""What models say to data that they cannot learn from, before anything is computed."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from models_for_tests import autoencoder
from support import grey_images, same_bits, values_of

from keras_vqvae.data import ArraySource, ImageBatches, as_tf_dataset, load_images
from keras_vqvae.models.images import check_images

TF_DATA = pytest.param("tf_data", marks=pytest.mark.tensorflow_only)


class Tuples(keras.utils.PyDataset):
    """One batch."""

    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def pairs(kind, images, targets):
    """Arguments of `fit` for images and targets, as each kind of data that Keras takes."""
    if kind == "arrays":
        return images, targets
    if kind == "tensors":
        return images, keras.ops.convert_to_tensor(targets)
    if kind == "pydataset":
        return (Tuples(images, targets),)
    import tensorflow as tf

    return (tf.data.Dataset.from_tensor_slices((images, targets)).batch(len(images)),)


def fit(model, *args, **kwargs):
    options = {} if len(args) == 1 and not isinstance(args[0], np.ndarray) else {"batch_size": 4}
    return model.fit(*args, **{"verbose": 0, "shuffle": False, **options, **kwargs}).history


# -- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["arrays", pytest.param("tensors", marks=pytest.mark.slow), "pydataset", TF_DATA]
)
def test_other_images_as_targets_are_refused(kind):
    noisy, clean = grey_images(4), grey_images(4, seed=1)
    model = autoencoder()
    before = values_of(model)
    given = pairs(kind, noisy, clean)
    message = r"The targets beside `x` are images, of shape \(4, 8, 8, 1\).*`fit\(images\)`"
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            method(*given, verbose=0)
    validation = given if len(given) == 2 else given[0]
    with pytest.raises(ValueError, match=message.replace("`x`", "`validation_data`")):
        model.fit(noisy, validation_data=validation, verbose=0)
    assert same_bits(values_of(model), before)


def test_targets_are_found_by_name_and_in_lists_and_in_another_number():
    noisy, clean = grey_images(4), grey_images(4, seed=1)
    for given in ({"y": clean}, {"y": clean[:2]}, {"validation_data": [noisy, clean]}):
        with pytest.raises(ValueError, match="The targets beside"):
            autoencoder().fit(noisy, verbose=0, **given)
    with pytest.raises(ValueError, match="The targets beside"):
        autoencoder().evaluate(noisy, y=clean, verbose=0)


def test_targets_that_differ_in_the_last_image_alone_are_refused():
    images = np.zeros((300, 8, 8, 1), "uint8")
    targets = images.copy()
    targets[-1, 0, 0] = 9
    with pytest.raises(ValueError, match="The targets beside"):
        autoencoder().fit(images, targets, verbose=0)


@pytest.mark.parametrize("kind", ["arrays", "tensors", "pydataset", TF_DATA])
def test_images_as_their_own_targets_train_as_without(kind):
    images, found = grey_images(4), []
    given = pairs(kind, images, images)
    for args in ((images,), given):
        keras.utils.set_random_seed(0)
        model = autoencoder()
        validation = args if len(args) == 2 else args[0]
        logs = fit(model, *args, validation_data=validation)
        found.append((logs, model.evaluate(*args, verbose=0)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "labels",
    [np.arange(4), np.eye(4), np.zeros((4, 8, 8)), np.zeros((4, 8, 8, 3)), np.zeros((4, 2, 2, 1))],
    ids=["classes", "one_hot", "maps", "class_maps", "grids"],
)
def test_labels_of_every_other_shape_may_stand_beside(labels):
    for given in ((grey_images(4), labels), (Tuples(grey_images(4), labels),)):
        assert np.isfinite(fit(autoencoder(), *given)["loss"]).all()


# -- what is not loaded ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["my_images/", Path("images.npz")], ids=["string", "path"])
def test_a_path_is_not_data(path):
    model = autoencoder()
    message = rf"`source = data\.load_images\('{path}'\)` loads it; pass `data\.ImageBatches"
    for method in (model.fit, model.evaluate):
        with pytest.raises(TypeError, match="`x`.*" + message):
            method(path, verbose=0)
    with pytest.raises(TypeError, match="`validation_data`.*" + message):
        model.fit(grey_images(2), validation_data=path, verbose=0)
    with pytest.raises(TypeError, match="`images`.*" + message):
        model.encode(path)


def test_the_remedies_for_a_source_work():
    source = load_images(grey_images(4))
    with pytest.raises(TypeError, match=r"ArraySource.*Pass `data\.ImageBatches\(source, batch"):
        autoencoder().fit(source, verbose=0)
    for data in (ImageBatches(source, 4), source.as_array()):
        assert np.isfinite(fit(autoencoder(), data)["loss"]).all()


# -- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "image_shape", "remedy"),
    [
        ((8, 8, 1), (8, 8, 1), "`x[None]` for one image"),
        ((8, 8, 8), (8, 8, 8), "`x[None]` for one image"),
        ((5, 8, 8), (8, 8, 1), "`x[..., None]` for grey images"),
        ((8, 8), (8, 8, 1), "`x[None, ..., None]` for one grey image"),
        ((28, 28, 3), None, "`x[None]` for one image"),
        ((5, 28, 28), None, "`x[..., None]` for grey images"),
        ((28, 28), None, "`x[None, ..., None]` for one grey image"),
        ((6, 9, 3), (None, None, 3), "`x[None]` for one image"),
        ((5, 12, 12), (8, 8, 1), None),
        ((8, 8, 1), (8, 8, 3), None),
        ((8,), None, None),
        ((), None, None),
    ],
)
def test_a_missing_axis_is_added_where_it_is_missing(shape, image_shape, remedy):
    with pytest.raises(ValueError, match=re.escape(f"Received: shape {shape}.")) as caught:
        check_images(np.zeros(shape, "uint8"), (0.0, 255.0), image_shape)
    message = str(caught.value)
    assert (f"Add the missing axis: {remedy}." in message) if remedy else ("axis" not in message)


def test_encoding_one_image_names_the_batch_axis():
    image = grey_images(1)[0]
    for method in (autoencoder().encode, autoencoder().reconstruct):
        with pytest.raises(ValueError, match=r"`images\[None\]` for one image"):
            method(image)


# -- scales ---------------------------------------------------------------------------------------


def binary(count, blank=0):
    """uint8 images of 0 and 1, each with both; the last `blank` are all 0."""
    images = (grey_images(count) > 127).astype("uint8")
    images[count - blank :] = 0
    return images


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32"])
def test_images_of_0_and_1_are_refused_on_another_scale(dtype):
    images = binary(4).astype(dtype)
    kind = {"bool": "booleans", "float32": "floats"}.get(dtype, "integers")
    message = rf"`x` holds {kind}.*value_range=\(0, 255\). Pass `value_range=\(0, 1\)`"
    model = autoencoder()
    for data in (images, Tuples(images)):
        with pytest.raises(ValueError, match=message):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match=message.replace("`x`", "`images`")):
        model.encode(images)


@pytest.mark.parametrize("dtype", ["bool", pytest.param("uint8", marks=pytest.mark.slow)])
def test_images_of_0_and_1_train_alike_with_their_own_value_range(dtype):
    found = []
    for kind in ("float32", dtype):
        images = binary(4).astype(kind)
        keras.utils.set_random_seed(0)
        model = autoencoder(value_range=(0, 1))
        model.compile("adam", metrics=["mae"])  # compiled: what the backend makes of booleans
        found.append((fit(model, images, validation_data=images), model.encode(images).tolist()))
    assert found[0] == found[1]


def test_black_images_are_no_binary_images():
    for images in (
        np.zeros((4, 8, 8, 1), "uint8"),
        binary(4, blank=2),
        binary(1),
        np.minimum(grey_images(4), 2),
    ):
        check_images(images, (0.0, 255.0), (8, 8, 1))
    for images in (binary(4, blank=1), binary(2)):
        with pytest.raises(ValueError, match="holds integers"):
            check_images(images, (0.0, 255.0), (8, 8, 1))
    check_images(binary(4), (0.0, 1.0), (8, 8, 1))
    check_images(binary(4), (-1.0, 1.0), (8, 8, 1))
    with pytest.raises(ValueError, match=r"holds booleans.*value_range=\(-1, 1\)"):
        check_images(binary(1).astype(bool), (-1.0, 1.0), (8, 8, 1))


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_images_is_refused(kind):
    images = kind(grey_images(4))
    model = autoencoder()
    model.compile("adam")
    message = rf"`x` should be an array of images.*Received: a {kind.__name__} of 4 .*np.stack\(x\)"
    for method in (model.fit, model.evaluate):
        with pytest.raises(TypeError, match=message):
            method(images, verbose=0)
    with pytest.raises(TypeError, match=r"`images` should be an array.*`np.stack\(images\)`"):
        model.encode(images)
    with pytest.raises(TypeError, match="`validation_data` should be an array of images"):
        model.fit(grey_images(4), validation_data=(list(images), None), verbose=0)
    with pytest.raises(TypeError, match=rf"Received: a {kind.__name__} of 0"):
        model.fit(kind(), verbose=0)


class Empty(keras.utils.PyDataset):
    def __len__(self):
        return 0

    def __getitem__(self, index):
        raise AssertionError("there is nothing")


def test_nothing_is_no_data():
    images = grey_images(4)
    model = autoencoder()
    before = values_of(model)
    for data, kind in ((images[:0], "image"), (Empty(), "batch")):
        for method in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match=f"`x` should hold at least one {kind}"):
                method(data, verbose=0)
        with pytest.raises(ValueError, match="`validation_data` should hold at least one"):
            model.fit(images, validation_data=data, verbose=0)
    assert same_bits(values_of(model), before)


@pytest.mark.tensorflow_only
def test_batches_of_named_arrays_are_refused():
    import tensorflow as tf

    images = grey_images(4)
    pipeline = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(4)}).batch(2)
    remedy = re.escape("`x.map(lambda one: (one['image'], one['label']))`")
    model = autoencoder()
    for given in (pipeline, {"image": images}):
        with pytest.raises(TypeError, match=r"`x` should give images.* a dict of 'image'"):
            model.fit(given, verbose=0)
    with pytest.raises(TypeError, match=remedy):
        model.evaluate(pipeline, verbose=0)
    with pytest.raises(TypeError, match="`validation_data` should give images"):
        model.fit(images, validation_data=pipeline, verbose=0)
    model.fit(pipeline.map(lambda one: (one["image"], one["label"])), verbose=0)


@pytest.mark.tensorflow_only
def test_a_pipeline_of_single_images_is_to_be_batched():
    import tensorflow as tf

    images = tf.data.Dataset.from_tensor_slices(grey_images(4))
    model = autoencoder()
    for data in (images, tf.data.Dataset.zip(images, tf.data.Dataset.range(4))):
        with pytest.raises(ValueError, match=r"single images, of shape \(8, 8, 1\).*`x\.batch"):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match=r"Pass `images\.batch\(128\)`"):
        model.encode(images)
    with pytest.raises(ValueError, match="`x` should hold at least one batch"):
        model.fit(images.take(0).batch(2), verbose=0)


def test_a_list_of_batches_is_encoded():
    images = grey_images(5)
    model = autoencoder()
    batches = [images[:3], images[3:]]
    np.testing.assert_allclose(model.encode(batches), model.encode(images), atol=1e-6)
    pairs = [(images[:3], np.zeros(3)), (images[3:], np.zeros(2))]
    np.testing.assert_allclose(model.encode(pairs), model.encode(images), atol=1e-6)
    bad = np.full_like(images, np.nan, "float32")
    for data in ([bad], [(bad, bad)], (bad, images)):
        with pytest.raises(ValueError, match="finite"):
            model.encode(data)


@pytest.mark.tensorflow_only
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of a rest, the first time
@pytest.mark.parametrize(("start", "epochs"), [((0, 0), 2), ((1, 1), 1)])
def test_a_look_at_counted_passes_is_none_of_them(start, epochs):
    batches = ImageBatches(ArraySource(grey_images(8)), 4, shuffle=True, start=start)
    dataset = as_tf_dataset(batches)
    assert dataset.image_batches is batches
    model = autoencoder()
    fit(model, dataset, epochs=epochs)
    assert batches.epoch == start[0] + epochs
    model.evaluate(as_tf_dataset(batches), verbose=0)
    assert batches.epoch == start[0] + epochs + 1


@pytest.mark.tensorflow_only
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of a rest, the first time
@pytest.mark.parametrize(("start", "first"), [((0, 0), 2), ((2, 1), 2), ((1, 0), 1)])
def test_counted_passes_begin_at_the_epoch_that_fit_begins_at(start, first):
    batches = ImageBatches(ArraySource(grey_images(8)), 4, shuffle=True, start=start)
    read, indices = [], batches._indices
    batches._indices = lambda epoch, step: read.append((epoch, step)) or indices(epoch, step)
    last = first + 1 if start[1] else first + 2  # the rest of an epoch is fitted by itself
    fit(autoencoder(), as_tf_dataset(batches), initial_epoch=first, epochs=last)
    assert batches.epoch == last
    expected = {(epoch, step) for epoch in range(first, last) for step in range(2)}
    if start[1]:
        expected.remove((first, 0))
    assert set(read) - {start} == expected - {start}  # at the start there is a look, too
