"""Networks whose features tell images apart, for metrics of samples."""

import math
from typing import Any

import keras

from keras_vqvae.data import ImageBatches, load_images

__all__ = ["classifier_features", "encoder_features", "train_classifier"]

CLASSIFIER_FEATURES = 128


def train_classifier(
    images: Any,
    value_range: tuple[float, float] = (0, 255),
    epochs: int = 4,
    batch_size: int = 128,
    seed: int = 0,
    verbose: int = 0,
) -> keras.Model:
    """Trains a small convolutional classifier on labelled images.

    Two convolutions with pooling for images of 28×28 (more for larger ones), a layer of 128
    features, and one of logits; Adam. Its judgement names samples (does a conditional prior draw
    what it is asked for?), and its features compare sets of them: `classifier_features`.

    Args:
        images: what `data.load_images` takes, with labels: a pair `(images, labels)`, a folder with
            one folder a class, a name, an `ImageSource`.
        value_range: what black and white are. Defaults to `(0, 255)`.
        epochs: passes over the images. Defaults to `4`.
        batch_size: images a step. Defaults to `128`.
        seed: of initial weights and the order of the images. Defaults to `0`.
        verbose: as for `keras.Model.fit`. Defaults to `0`.

    Returns:
        A compiled Keras model, images in `value_range` to logits `(batch, classes)`, with the
        metric `accuracy`.

    Raises:
        ValueError: for images without labels, or of one class only.

    Example:
    >>> import numpy as np
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> labels = np.arange(8) % 2
    >>> classifier = train_classifier((images, labels), epochs=1)
    >>> classifier.output_shape, classifier_features(classifier).output_shape
    ((None, 2), (None, 128))
    """
    source = load_images(images)
    if source.labels is None:
        raise ValueError(
            f"a classifier needs labels, and {source.name!r} has none. Pass a pair (images, "
            "labels), or use `encoder_features` of an autoencoder instead"
        )
    classes = int(source.labels.max()) + 1
    if source.class_names is not None:
        classes = max(classes, len(source.class_names))
    if classes < 2:
        raise ValueError(
            f"a classifier needs at least two classes. Received: {source.name!r} with labels of 0"
        )
    low, high = value_range
    layers = keras.layers
    stack = [
        keras.Input(source.image_shape),
        layers.Rescaling(1.0 / (high - low), -low / (high - low)),
    ]
    side, filters = min(source.image_shape[:2]), 32
    while side > 8 or filters == 32:
        # Images too small to lose a border keep it.
        padding = "valid" if side > 8 else "same"
        stack.append(_convolution(filters, seed + len(stack), padding))
        stack.append(layers.MaxPooling2D(padding=padding, data_format="channels_last"))
        side, filters = (side - 2) // 2, 64
    stack.append(layers.Flatten())
    stack += [
        layers.Dropout(0.4, seed=seed),
        layers.Dense(
            CLASSIFIER_FEATURES,
            activation="relu",
            kernel_initializer=_glorot(seed),
            name="features",
        ),
        layers.Dense(classes, kernel_initializer=_glorot(seed + 1), name="logits"),
    ]
    model = keras.Sequential(stack, name="classifier")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    batches = ImageBatches(source, batch_size, shuffle=True, seed=seed, with_labels=True)
    model.fit(batches, epochs=epochs, shuffle=False, verbose=verbose)
    return model


def classifier_features(classifier: keras.Model) -> keras.Model:
    """The part of a classifier that ends before its last layer; it shares its weights.

    Raises:
        ValueError: for a model of fewer than two layers.
    """
    if len(classifier.layers) < 2:
        raise ValueError(
            "`classifier` should have a layer of features before its last layer. "
            f"Received: {len(classifier.layers)} layer(s)"
        )
    return keras.Model(
        classifier.inputs[0], classifier.layers[-2].output, name="classifier_features"
    )


def encoder_features(model: Any, max_features: int = 512) -> keras.Model:
    """The encoder of an autoencoder as feature extractor, for images without labels.

    Its output is averaged over areas just so large that at most `max_features` numbers are left
    (or one area, the whole grid), so that layout counts as well as content. It is the model's own
    view of images: name it beside the figures, and compare only figures of the same encoder.

    Args:
        model: a built `models.Autoencoder`, or a model made of it, such as `models.VQVAE`.
        max_features: how many numbers an image, at most. Defaults to `512`.

    Returns:
        A Keras model, images in the model's `value_range` to `(batch, features)`, that shares the
        encoder's weights.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((28, 28, 1), num_embeddings=4, embedding_dim=16)
    >>> encoder_features(model).output_shape  # 7×7×16, by areas of 2×2
    (None, 256)
    """
    encoder = model.encoder_model()
    height, width, dim = encoder.output.shape[1:]
    area = 1
    while area < max(height, width) and _cells(height, width, area) * dim > max_features:
        area += 1
    pooled = keras.layers.AveragePooling2D(area, padding="same", data_format="channels_last")
    features = keras.layers.Flatten()(pooled(encoder.output))
    return keras.Model(encoder.inputs[0], features, name=f"{model.name}_encoder_features")


def _cells(height: int, width: int, area: int) -> int:
    return math.ceil(height / area) * math.ceil(width / area)


def _convolution(filters: int, seed: int, padding: str) -> Any:
    return keras.layers.Conv2D(
        filters,
        3,
        padding=padding,
        data_format="channels_last",
        activation="relu",
        kernel_initializer=_glorot(seed),
    )


def _glorot(seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed)
