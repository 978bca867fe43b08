import numpy as np
import pytest

from keras_vqvae.data import Augmentation
from keras_vqvae.data.seeding import image_seeds, uniforms

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 5, 7, 3), dtype=np.uint8)
SEEDS = image_seeds(0, 0, np.arange(64))


def brute_force(image, seed, flip, padding):
    """`np.pad` and slicing, one image at a time."""
    draws = uniforms(np.array([seed]), 3)[0]
    if flip and draws[0] < 0.5:
        image = image[:, ::-1]
    top, left = (int(draw * (2 * padding + 1)) for draw in draws[1:])
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="reflect")
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_against_brute_force(flip, padding):
    augment = Augmentation(horizontal_flip=flip, crop_padding=padding)
    result = augment(IMAGES, SEEDS)
    expected = [brute_force(*pair, flip, padding) for pair in zip(IMAGES, SEEDS, strict=True)]
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.uint8


def test_does_not_depend_on_the_batch_and_leaves_its_input():
    augment = Augmentation(horizontal_flip=True, crop_padding=2)
    before = IMAGES.copy()
    whole = augment(IMAGES, SEEDS)
    parts = [augment(IMAGES[i : i + 10], SEEDS[i : i + 10]) for i in range(0, 64, 10)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(IMAGES, before)
    assert (whole != IMAGES).any()


def test_generator_draws_the_seeds():
    augment = Augmentation(horizontal_flip=True)
    first = augment(IMAGES, np.random.default_rng(3))
    np.testing.assert_array_equal(first, augment(IMAGES, np.random.default_rng(3)))
    assert (first != augment(IMAGES, np.random.default_rng(4))).any()


def test_config():
    augment = Augmentation(horizontal_flip=True, crop_padding=3)
    again = Augmentation.from_config(augment.get_config())
    assert repr(again) == repr(augment) == "Augmentation(horizontal_flip=True, crop_padding=3)"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"horizontal_flip": 1}, TypeError),
        ({"crop_padding": -1}, ValueError),
        ({"crop_padding": 1.5}, ValueError),
        ({"crop_padding": True}, ValueError),
    ],
)
def test_bad_options(options, error):
    with pytest.raises(error, match=f"`{next(iter(options))}` should be .*Received"):
        Augmentation(**options)


def test_bad_calls():
    with pytest.raises(ValueError, match=r"`crop_padding` should be smaller.*5x7"):
        Augmentation(crop_padding=5)(IMAGES, SEEDS)
    with pytest.raises(ValueError, match="64 images"):
        Augmentation()(IMAGES, SEEDS[:3])
    with pytest.raises(ValueError, match="shape"):
        Augmentation()(IMAGES[0], SEEDS)


def test_uniforms_are_uniform_and_unlike():
    draws = uniforms(image_seeds(1, 2, np.arange(4000)), 3)
    assert draws.min() >= 0
    assert draws.max() < 1
    # Standard deviation of a mean of 4000 uniforms: 0.2887 / sqrt(4000) = 0.0046; four of them.
    np.testing.assert_allclose(draws.mean(0), 0.5, atol=0.019)
    # Of a correlation of 4000 independent pairs: 1 / sqrt(4000) = 0.0158; four of them.
    others = [uniforms(image_seeds(*key, np.arange(4000)), 1)[:, 0] for key in [(1, 3), (2, 2)]]
    neighbour = np.roll(draws[:, 0], 1)
    columns = np.stack([*draws.T, *others, neighbour])
    correlation = np.corrcoef(columns) - np.eye(6)
    assert np.abs(correlation).max() < 0.064


def test_seeds_of_all_keys_differ():
    keys = [image_seeds(seed, epoch, np.arange(50)) for seed in range(8) for epoch in range(8)]
    assert len(np.unique(np.concatenate(keys))) == 8 * 8 * 50
