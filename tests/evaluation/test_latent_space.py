import keras
import numpy as np
import pytest
from support import grey_images, normal, to_numpy

from keras_vqvae import layers, models
from keras_vqvae.evaluation import (
    codes_picture,
    interpolate,
    latent_picture,
    mix_codes,
    random_codes,
    random_latents,
    swap_region,
    traverse_code,
)


def make(quantizer=None):
    keras.utils.set_random_seed(0)
    encoder = models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,))
    decoder = models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,))
    if quantizer is None:
        return models.Autoencoder(encoder, decoder)
    return models.VQVAE(encoder, quantizer, decoder)


@pytest.fixture(scope="module")
def vqvae():
    return make(layers.VectorQuantizer(6, seed=0))


@pytest.fixture(scope="module")
def residual():
    return make(layers.ResidualVectorQuantizer(2, 5, seed=0))


def test_interpolation_is_linear_in_the_encoder_s_space(vqvae):
    first, second = grey_images(2), grey_images(2, seed=1)
    found = interpolate(vqvae, first, second, steps=3)
    assert found.shape == (2, 3, 8, 8, 1)
    np.testing.assert_allclose(found[:, 0], vqvae.reconstruct(first), atol=1e-3)
    np.testing.assert_allclose(found[:, 2], vqvae.reconstruct(second), atol=1e-3)
    z = [to_numpy(vqvae.encoder_model()(x)) for x in (first, second)]
    middle = (z[0] + z[1]) / 2
    table = to_numpy(vqvae.quantizer.embeddings)
    codes = np.square(middle[..., None, :] - table).sum(-1).argmin(-1)
    np.testing.assert_allclose(found[:, 1], vqvae.decode(codes), atol=1e-3)


def test_interpolation_of_a_plain_autoencoder_has_no_codes():
    model, first, second = make(), grey_images(1), grey_images(1, seed=1)
    found = interpolate(model, first, second, steps=2, batch_size=1)
    np.testing.assert_allclose(
        found[0], model.reconstruct(np.concatenate([first, second])), atol=1e-3
    )
    middle = model.decode((model.encode(first) + model.encode(second)) / 2)
    np.testing.assert_allclose(interpolate(model, first, second, 3)[:, 1], middle, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 2), (2, 12)])
def test_mixed_codes_go_position_by_position(shape):
    first, second = np.zeros(shape, int), np.ones(shape, int)
    for seed in (None, 3):
        mixed = mix_codes(first, second, steps=13, seed=seed)
        assert mixed.shape == (2, 13, *shape[1:])
        # one of twelve positions more at each step, with all of its depths
        depths = int(np.prod(shape[3:]))
        np.testing.assert_array_equal(
            mixed.reshape(2, 13, -1).sum(-1), np.tile(depths * np.arange(13), (2, 1))
        )
        assert (np.diff(mixed, axis=1) >= 0).all()
    plain = mix_codes(first, second, steps=13)
    assert not np.array_equal(plain, mixed)
    if len(shape) == 3:  # a column of 3 first
        assert plain[0, 3].tolist() == [[1, 0, 0, 0]] * 3


def test_swapped_regions_swap_back():
    first, second = np.arange(16).reshape(1, 4, 4), np.arange(16, 32).reshape(1, 4, 4)
    region = slice(1, 3), slice(0, 2)
    a, b = swap_region(first, second, *region)
    assert a[0].tolist() == [[0, 1, 2, 3], [20, 21, 6, 7], [24, 25, 10, 11], [12, 13, 14, 15]]
    back = swap_region(a, b, *region)
    np.testing.assert_array_equal(back, [first, second])
    assert first[0, 1, 0] == 4  # what was given stays


def test_a_traversal_goes_from_near_codes_to_far_ones(vqvae, residual):
    codes = np.arange(16).reshape(4, 4) % 6
    found = traverse_code(vqvae, codes, row=1, column=3, count=99)
    assert found.shape == (6, 4, 4)
    table = to_numpy(vqvae.quantizer.embeddings)
    far = np.linalg.norm(table - table[codes[1, 3]], axis=1)
    np.testing.assert_array_equal(found[:, 1, 3], np.argsort(far))
    found[:, 1, 3] = codes[1, 3]
    np.testing.assert_array_equal(found, np.broadcast_to(codes, found.shape))
    few = traverse_code(vqvae, codes, 1, 3, count=3)[:, 1, 3]
    order = np.argsort(far)
    np.testing.assert_array_equal(few, order[[0, 2, 5]])  # 0, 2.5 rounded to even, 5
    # of one of two depths, the other stays
    deep = np.tile(codes[..., None] % 5, (1, 1, 2))
    found = traverse_code(residual, deep, 0, 2, count=5, depth=1)
    assert sorted(found[:, 0, 2, 1].tolist()) == [0, 1, 2, 3, 4]
    assert set(found[:, 0, 2, 0].tolist()) == {2}
    assert found[0, 0, 2, 1] == 2


def test_random_codes_are_uniform_or_like_others(vqvae, residual):
    codes = random_codes(vqvae, 200, seed=1)
    counts = np.bincount(codes.ravel(), minlength=6)
    # 3200 draws of 6 codes: 533 each, within five standard deviations of 21
    assert np.abs(counts - 3200 / 6).max() < 105
    np.testing.assert_array_equal(codes, random_codes(vqvae, 200, seed=1))
    assert not np.array_equal(codes, random_codes(vqvae, 200, seed=2))
    like = np.tile(np.array([[1, 4], [2, 0]]), (3, 4, 4, 1)).reshape(3, 4, 8, 2)[:, :, :4]
    drawn = random_codes(residual, 50, like=like)
    assert {tuple(pair) for pair in drawn.reshape(-1, 2).tolist()} == {(1, 4), (2, 0)}


def test_random_latents_have_the_moments_of_each_number():
    latents = normal((400, 1, 2, 2)) * [1.0, 3.0] + [5.0, -1.0]
    drawn = random_latents(latents, 4000, seed=1)
    np.testing.assert_allclose(drawn.mean(0), latents.mean(0), atol=0.25)
    np.testing.assert_allclose(drawn.std(0), latents.std(0), rtol=0.06)


def test_pictures_of_codes_show_vectors(vqvae):
    codes = np.arange(32).reshape(2, 4, 4) % 6
    picture = codes_picture(vqvae, codes)
    assert picture.shape == (2, 8, 8, 3)
    # a square of 2×2 pixels a code, equal codes alike, the others not
    small = codes_picture(vqvae, codes, size=(4, 4))
    np.testing.assert_array_equal(picture, small.repeat(2, 1).repeat(2, 2))
    colours = {code: {tuple(c) for c in small[codes == code].tolist()} for code in range(6)}
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 6


def test_pictures_of_latents_by_hand():
    # two vectors, ±(3, 4) from their mean: one component, ±5, whose spread is 5; 0.5 ± 0.2
    vectors = np.array([[4.0, 4.0], [-2.0, -4.0]]).reshape(1, 1, 2, 2)
    first = latent_picture(vectors)[0, 0]
    assert first[:, 0].tolist() == [178, 76]
    assert (latent_picture(vectors + 100) == first).all()
    assert latent_picture(np.ones((1, 2, 3, 5)), size=(5, 7)).shape == (1, 5, 7, 3)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda m, c: interpolate(m, grey_images(2), grey_images(1)), "one shape"),
        (lambda m, c: interpolate(m, grey_images(1), grey_images(1), steps=1), "at least 2"),
        (lambda m, c: interpolate(m, grey_images(1, 4), grey_images(1, 4)), "first"),
        (lambda m, c: mix_codes(c[None], c[None, :2]), "one shape"),
        (lambda m, c: swap_region(c, c, slice(0, 1)), "grids"),
        (lambda m, c: swap_region(c[None], c[None], slice(4, 9)), "at least one position"),
        (lambda m, c: traverse_code(m, c[None], 0, 0), "one image"),
        (lambda m, c: traverse_code(m, c, 0, 4), "column=4"),
        (lambda m, c: latent_picture(c), r"\(N, h, w, D\)"),
    ],
)
def test_what_does_not_fit_is_refused(use, text, vqvae):
    with pytest.raises(ValueError, match=text):
        use(vqvae, np.zeros((4, 4), int))


def test_codes_are_integers():
    with pytest.raises(TypeError, match="float64"):
        mix_codes(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)))
