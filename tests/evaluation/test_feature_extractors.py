import keras
import numpy as np
import pytest
from support import grey_images, same_bits, to_numpy, values_of

from keras_vqvae import models
from keras_vqvae.data import ArraySource
from keras_vqvae.evaluation import classifier_features, encoder_features, train_classifier


def two_classes(count, side=12):
    """Dark images above, or below."""
    labels = np.arange(count) % 2
    images = grey_images(count, side)
    half = side // 2
    images[labels == 0, :half] //= 8
    images[labels == 1, half:] //= 8
    return images, labels


def test_the_classifier_learns_the_classes():
    classifier = train_classifier(two_classes(64), epochs=12, batch_size=16)
    images, labels = two_classes(40)
    named = classifier.predict(images, verbose=0).argmax(-1)
    assert np.mean(named == labels) > 0.9
    accuracy = classifier.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx(np.mean(named == labels))


def test_images_of_any_scale_and_size_are_taken():
    images, labels = two_classes(4)
    scaled = (images / 127.5 - 1).astype("float32")
    a = train_classifier((images, labels), epochs=1)
    b = train_classifier((scaled, labels), value_range=(-1, 1), epochs=1)
    # the same seed, the same unit scale
    np.testing.assert_allclose(to_numpy(a(images)), to_numpy(b(scaled)), atol=1e-3)
    for side in (3, 40):
        source = ArraySource(grey_images(2, side, 3), [0, 1], class_names=("a", "b", "c"))
        assert train_classifier(source, epochs=1).output_shape == (None, 3)


def test_a_seed_gives_the_same_classifier_again():
    first, again = (train_classifier(two_classes(8), epochs=1, seed=3) for _ in range(2))
    assert same_bits(values_of(first)[:2], values_of(again)[:2])


def test_labels_are_needed_and_differ():
    with pytest.raises(ValueError, match="encoder_features"):
        train_classifier(grey_images(4))
    with pytest.raises(ValueError, match="two classes"):
        train_classifier((grey_images(4), np.zeros(4, int)))


def test_features_end_before_the_logits_and_share_weights():
    classifier = train_classifier(two_classes(8), epochs=1)
    features = classifier_features(classifier)
    images, _ = two_classes(3)
    dense = classifier.layers[-1]
    expected = to_numpy(features(images)) @ to_numpy(dense.kernel) + to_numpy(dense.bias)
    np.testing.assert_allclose(to_numpy(classifier(images)), expected, atol=1e-4)
    assert features.weights[0] is classifier.weights[0]
    with pytest.raises(ValueError, match="1 layer"):
        classifier_features(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))


@pytest.mark.parametrize(
    ("max_features", "area", "features"), [(99, 1, 48), (20, 2, 12), (11, 4, 3), (2, 4, 3)]
)
def test_encoder_features_are_means_over_areas(max_features, area, features):
    model = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, embedding_dim=3, widths=(4,))
    images = grey_images(2)
    z = to_numpy(model.encoder_model()(images))  # (2, 4, 4, 3)
    n = 4 // area
    expected = z.reshape(2, n, area, n, area, 3).mean((2, 4)).reshape(2, -1)
    found = to_numpy(encoder_features(model, max_features)(images))
    assert found.shape == (2, features)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
