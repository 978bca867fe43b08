import keras
import numpy as np
import pytest
from support import grey_images, normal

from keras_vqvae import metrics
from keras_vqvae.data import ArraySource
from keras_vqvae.evaluation import evaluate_samples, image_features, nearest_images
from keras_vqvae.evaluation import samples as sample_figures


@pytest.fixture(scope="module")
def extractor():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(3)])


def test_figures_are_those_of_the_metrics_however_images_come(extractor):
    real, samples = grey_images(20, 4), grey_images(14, 4, seed=1) // 2
    frechet = metrics.FrechetDistance(extractor)
    manifolds = metrics.SamplePrecisionRecall(extractor, neighbors=2)
    for metric in (frechet, manifolds):
        metric.update_state(real, samples)
    expected = {
        # batches of other sizes, compiled anew; features are kept in float32
        "frechet_distance": pytest.approx(frechet.result(), rel=1e-4),
        **manifolds.result(),
        "real_images": 20,
        "samples": 14,
        "features": 3,
    }
    stream = (samples[i : i + 5] for i in range(0, 14, 5))
    features = image_features(samples, extractor)
    assert features.shape == (14, 3)
    assert features.dtype == np.float32
    for found in (
        evaluate_samples(real, samples, extractor, neighbors=2),
        evaluate_samples(ArraySource(real), stream, extractor, neighbors=2, batch_size=7),
        evaluate_samples(image_features(real, extractor), features, neighbors=2),
    ):
        assert found == expected


def test_images_are_read_in_batches(extractor):
    asked = []

    class Watched(ArraySource):
        def _read(self, indices):
            asked.append(len(indices))
            return super()._read(indices)

    image_features(Watched(grey_images(10, 4)), extractor, batch_size=4)
    nearest_images(grey_images(2, 4), Watched(grey_images(10, 4)), batch_size=3)
    assert max(asked) == 4
    assert sum(asked) == 20


def test_distances_are_held_in_bounded_memory(monkeypatch):
    """Some rows of the matrix of distances at a time, and the same figures."""
    real, samples = normal((40, 3)), normal((30, 3), 1) + 0.5
    expected = evaluate_samples(real, samples)
    held = []
    original = metrics.SamplePrecisionRecall._distances

    def watched(self, points, members):
        for start, distances in original(self, points, members):
            held.append(distances.size)
            yield start, distances

    monkeypatch.setattr(metrics.SamplePrecisionRecall, "_distances", watched)
    monkeypatch.setattr(sample_figures, "_DISTANCES", 100)
    assert evaluate_samples(real, samples) == expected
    assert max(held) <= 100


def test_too_few_or_other_images_are_refused(extractor):
    with pytest.raises(ValueError, match="at least 4 real"):
        evaluate_samples(grey_images(9, 4), grey_images(3, 4), extractor)
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*\(8, 8, 1\)"):
        evaluate_samples(grey_images(9, 8), grey_images(9, 4), extractor)
    with pytest.raises(ValueError, match="at least one image"):
        image_features(iter(()), extractor)


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_nearest_images_by_brute_force(batch_size):
    images = normal((30, 3, 3, 2))
    queries = normal((5, 3, 3, 2), 1)
    queries[2] = images[17]
    indices, distances = nearest_images(queries, images, 4, (-1, 3), batch_size)
    far = np.sqrt(np.mean(((queries[:, None] - images[None]) / 4.0) ** 2, axis=(2, 3, 4)))
    np.testing.assert_array_equal(indices, np.argsort(far, axis=1)[:, :4])
    # a difference of squares in float64 leaves 1e-8 of the root of what is 0
    np.testing.assert_allclose(distances, np.sort(far, axis=1)[:, :4], atol=1e-7)
    assert indices[2, 0] == 17


def test_nearest_images_asks_for_what_fits():
    with pytest.raises(ValueError, match=r"\(n, 4, 4, 1\)"):
        nearest_images(grey_images(2, 8), grey_images(2, 4))
    for count in (0, 3):
        with pytest.raises(ValueError, match=f"2. Received: count={count}"):
            nearest_images(grey_images(2, 4), grey_images(2, 4), count)
