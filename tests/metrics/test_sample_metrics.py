"""Fréchet distance, and precision and recall of samples."""

import keras
import numpy as np
import pytest
import scipy.linalg
from support import grey_images, normal

from keras_vqvae.metrics import FrechetDistance, SamplePrecisionRecall


def update(metric, real, generated, sizes):
    """In batches of these sizes in turn, until all are seen."""
    for argument, rows in (("y_true", real), ("y_pred", generated)):
        start, turn = 0, 0
        while start < len(rows):
            size = sizes[turn % len(sizes)]
            metric.update_state(**{argument: rows[start : start + size]})
            start, turn = start + size, turn + 1
    return metric.result()


def frechet_by_scipy(real, generated):
    step = real.mean(0) - generated.mean(0)
    a, b = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    return step @ step + np.trace(a + b - 2 * np.real(scipy.linalg.sqrtm(a @ b)))


@pytest.mark.parametrize("sizes", [(40,), (1, 7), (13,)])
def test_frechet_distance_is_scipys_for_every_split(sizes):
    mix = np.random.default_rng(3).standard_normal((6, 6))
    real = np.random.default_rng(0).standard_normal((40, 6)) @ mix + 5
    generated = 1.5 * np.random.default_rng(1).standard_normal((31, 6)) + np.arange(6)
    found = update(FrechetDistance(), real, generated, sizes)
    assert found == pytest.approx(frechet_by_scipy(real, generated), rel=1e-9)


def test_frechet_distance_by_hand():
    """Variances 1 and 4, means 0 and 3: 3² + 1 + 4 − 2·√4."""
    real = np.array([-1.0, 1.0, -1.0, 1.0])[:, None] * np.sqrt(3 / 4)
    generated = np.array([-2.0, 2.0, -2.0, 2.0])[:, None] * np.sqrt(3 / 4) + 3
    assert update(FrechetDistance(), real, generated, (4,)) == pytest.approx(10.0)


def test_frechet_distance_far_from_zero_keeps_its_digits():
    """A sum of squares would lose these in float32, and in float64 half of them."""
    real, generated = normal((50, 3)).astype("float64"), normal((50, 3), 1).astype("float64")
    near = update(FrechetDistance(), real, generated, (9,))
    far = update(FrechetDistance(), real + 1e6, generated + 1e6, (9,))
    assert far == pytest.approx(near, rel=1e-7)


def test_frechet_distance_of_singular_covariances_is_finite():
    """Features that are dead, or twice the same; sqrtm of the product fails here or is complex."""
    real, generated = normal((40, 4)).astype("float64"), normal((40, 4), 1).astype("float64")
    real[:, 3], generated[:, 3] = 0.0, generated[:, 2]
    # without the pair of equal ones: one feature of √2 times their spread
    turn = scipy.linalg.block_diag(np.eye(2), [[1, 1], [1, -1]] / np.sqrt(2))
    found = update(FrechetDistance(), real, generated, (40,))
    turned = update(FrechetDistance(), real @ turn, generated @ turn, (40,))
    assert found == pytest.approx(turned, rel=1e-9)
    assert update(FrechetDistance(), real, real, (40,)) == pytest.approx(0.0, abs=1e-12)


def test_too_few_samples_are_counted():
    metric = FrechetDistance()
    metric.update_state(normal((9, 4)), normal((4, 4)))
    with pytest.raises(ValueError, match=r"at least 5 real .* 4 numbers.* 9 real and 4 generated"):
        metric.result()
    metric.update_state(y_pred=normal((1, 4)))
    assert metric.result() > 0


# -- precision and recall -------------------------------------------------------------------------


def by_brute_force(real, generated, k):
    def share(points, members):
        radii = [np.sort(np.linalg.norm(members - m, axis=1))[k] for m in members]
        near = [np.linalg.norm(members - p, axis=1) <= radii for p in points]
        return np.mean([row.any() for row in near])

    return {"precision": share(generated, real), "recall": share(real, generated)}


@pytest.mark.parametrize("chunk_size", [1, 7, 100])
@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_brute_force(chunk_size, k):
    real, generated = normal((30, 3)), 0.5 * normal((25, 3), 1)
    metric = SamplePrecisionRecall(neighbors=k, chunk_size=chunk_size)
    expected = by_brute_force(real, generated, k)
    assert update(metric, real, generated, (4, 9)) == pytest.approx(expected)
    assert expected["precision"] != expected["recall"]


def test_copies_far_from_zero_lie_in_balls_of_radius_zero():
    """Four of each: the third neighbour is a twin, at distance 0 but for rounding."""
    rows = (normal((3, 5)) + 1000).repeat(4, axis=0)
    found = update(SamplePrecisionRecall(), rows, rows[::2], (12,))
    assert found["precision"] == 1.0
    found = update(SamplePrecisionRecall(), rows, np.concatenate([rows, rows + 0.01]), (12,))
    assert found["precision"] == 0.5


def test_samples_of_one_class_have_precision_and_no_recall():
    clusters = [normal((20, 2), s, 0.1) + 10 * s for s in range(4)]
    found = update(SamplePrecisionRecall(), np.concatenate(clusters), clusters[0], (80,))
    assert found["precision"] == 1.0
    assert found["recall"] == 0.25
    with pytest.raises(ValueError, match=r"at least 4 images.* 20 real and 3 generated"):
        update(SamplePrecisionRecall(), clusters[0], clusters[1][:3], (20,))


# -- features -------------------------------------------------------------------------------------


def extractor(dense=4):
    layers = [keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(dense, use_bias=False)])


@pytest.mark.parametrize("make", [FrechetDistance, SamplePrecisionRecall])
def test_features_of_any_keras_model(make):
    images, others = grey_images(12), grey_images(10, seed=1) // 2
    model = extractor()
    kernel = model.weights[0].numpy()
    features = [x.reshape(len(x), -1) / 255 @ kernel for x in (images, others)]
    found, expected = make(model), make()
    found.update_state(images, others)
    expected.update_state(*features)
    # the model computes in float32
    assert found.result() == pytest.approx(expected.result(), rel=1e-4)


def test_maps_of_features_are_averaged_over_positions():
    maps = normal((9, 2, 3, 4))
    found, expected = FrechetDistance(), FrechetDistance()
    found.update_state(maps, maps + 1)
    expected.update_state(maps.mean((1, 2)), (maps + 1).mean((1, 2)))
    assert found.result() == pytest.approx(expected.result(), rel=1e-5)


@pytest.mark.parametrize("make", [FrechetDistance, SamplePrecisionRecall])
def test_wrong_use_is_refused(make):
    metric = make(extractor())
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*`y_pred` of shape \(8, 8, 3\).*Resizing"):
        metric.update_state(y_pred=grey_images(2, channels=3))
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*`y_true` of shape \(4, 4, 1\)"):
        metric.update_state(grey_images(2, side=4))
    model = extractor()
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*`y_true` of shape \(4, 4, 1\)"):
        make(keras.Model(model.inputs, model.outputs[0])).update_state(grey_images(2, side=4))
    with pytest.raises(ValueError, match="Keras model"):
        make(np.mean)
    with pytest.raises(ValueError, match=r"\(batch, D\)"):
        make().update_state(np.zeros(3))
    with pytest.raises(ValueError, match="1 of 2 images"):
        make().update_state(np.array([[0.0], [np.nan]]))
    metric = make()
    metric.update_state(y_true=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"one length.*3, 4"):
        metric.update_state(y_pred=np.zeros((2, 4)))


@pytest.mark.parametrize("make", [FrechetDistance, SamplePrecisionRecall])
def test_an_update_that_is_refused_changes_nothing(make):
    features = normal((3, 8, 2))
    metric, expected = make(), make()
    for wrong in (normal((8, 3)), np.full((8, 2), np.nan)):
        with pytest.raises(ValueError, match="features"):
            metric.update_state(features[0], wrong)
    for one in (metric, expected):
        one.update_state(features[1], features[2])
    assert metric.result() == expected.result()
    metric.reset_state()
    metric.update_state(normal((8, 3)), normal((8, 3)))  # others after a reset


def test_a_config_does_not_lose_the_weights_silently():
    with pytest.raises(NotImplementedError, match="weights"):
        FrechetDistance(extractor()).get_config()
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(4)])
    metric = FrechetDistance(model)
    again = FrechetDistance.from_config(metric.get_config())
    for one in (metric, again):
        one.update_state(grey_images(9), grey_images(9, seed=1))
    assert again.result() == metric.result()
