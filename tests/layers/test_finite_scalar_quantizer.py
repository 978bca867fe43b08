import itertools
import math

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import FiniteScalarQuantizer


def brute_force(z, L):
    """One number by the paper's formulas, float64: the level, in steps from the middle one."""
    half, offset = (L - 1) * (1 - 1e-3) / 2, 0.5 if L % 2 == 0 else 0.0
    shift = math.atanh(offset / half) if L > 2 else 0.0
    return round(half * math.tanh(z + shift) - offset)


def brute_force_symmetric(z, L):
    return 2 / (L - 1) * math.floor((L - 1) * (math.tanh(z) + 1) / 2 + 0.5) - 1


@pytest.mark.parametrize("levels", [(8, 5, 5), (3,), (4, 7, 6, 2)])
def test_codes_and_indices_are_those_of_the_formulas(levels):
    """Trap 16. The shift is an atanh."""
    layer = FiniteScalarQuantizer(levels)
    z = normal((40, len(levels)), scale=2.0)
    quantized, indices = layer(z, return_indices=True)
    steps = np.array([[brute_force(v, L) for v, L in zip(row, levels, strict=True)] for row in z])
    half = np.array(levels) // 2
    np.testing.assert_allclose(to_numpy(quantized), steps / half, atol=1e-7)
    places = [math.prod(levels[:i]) for i in range(len(levels))]
    np.testing.assert_array_equal(to_numpy(indices), (steps + half) @ places)


@pytest.mark.parametrize("levels", [(8, 5, 5), (2, 2, 3)])
def test_symmetric_codes_are_those_of_the_formula(levels):
    """Trap 16. The floor of the symmetric form stands after the half is added."""
    layer = FiniteScalarQuantizer(levels, symmetric=True)
    z = normal((40, len(levels)), scale=2.0)
    expected = [
        [brute_force_symmetric(v, L) for v, L in zip(row, levels, strict=True)] for row in z
    ]
    np.testing.assert_allclose(to_numpy(layer(z)), expected, atol=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("L", range(2, 17))
def test_trap_16_every_level_is_reached_and_none_beyond(L, symmetric):
    layer = FiniteScalarQuantizer((L,), symmetric=symmetric)
    z = np.concatenate([np.linspace(-8, 8, 2001), [-1e30, 1e30]]).astype("float32")[:, None]
    quantized, indices = layer(z, return_indices=True)
    values = np.unique(to_numpy(quantized))
    assert len(values) == L
    assert np.unique(to_numpy(indices)).tolist() == list(range(L))
    assert np.abs(values).max() <= 1.0
    np.testing.assert_allclose(np.diff(values), np.diff(values)[0], rtol=1e-5)
    assert (np.diff(to_numpy(indices)[:-2]) >= 0).all()  # a larger number, no smaller level


@pytest.mark.parametrize("L", [500, 501, 1000, 1001, 1002, 4096, 2**20])
def test_trap_16_the_outermost_of_many_levels_are_reached(L):
    indices = to_numpy(FiniteScalarQuantizer((L,)).encode([[-50.0], [-1e30], [50.0], [1e30]]))
    assert indices.tolist() == [0, 0, L - 1, L - 1]


@pytest.mark.parametrize("L", range(2, 17))
def test_trap_16_zero_is_the_middle_level(L):
    layer = FiniteScalarQuantizer((L,))
    quantized, index = layer(np.zeros((1, 1), "float32"), return_indices=True)
    assert float(quantized[0, 0]) == 0.0
    assert int(index[0]) == L // 2
    # For odd L the levels around it are as far away on both sides: no level is lost to a bad shift.
    if L % 2:
        z = np.linspace(0.01, 4, 50).astype("float32")[:, None]
        np.testing.assert_array_equal(to_numpy(layer(z)), -to_numpy(layer(-z)))


def test_trap_16_two_levels_are_split_at_zero():
    layer = FiniteScalarQuantizer((2,))
    z = np.array([[-1e-3], [0.0], [1e-3]], "float32")
    assert to_numpy(layer(z, return_indices=True)[1]).tolist() == [0, 1, 1]
    by_z, _ = gradients(lambda z: keras.ops.sum(layer(z)), z)
    assert (by_z > 0.4).all()  # the bound has not saturated there: its slope is ½(1 − ε)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("levels", [(2, 3, 4), (8, 5, 5), (16, 2)])
def test_encode_inverts_decode_on_every_index(levels, symmetric):
    """Trap 16. Indices and codes are a bijection."""
    layer = FiniteScalarQuantizer(levels, symmetric=symmetric)
    layer.build((None, len(levels)))
    indices = np.arange(math.prod(levels))
    codes = to_numpy(layer.decode(indices))
    assert len(np.unique(codes, axis=0)) == len(indices)
    # A code is no fixed point of the bound: an encoder that gives it stands before the bound.
    z = before_the_bound(codes, levels, symmetric)
    np.testing.assert_array_equal(to_numpy(layer.encode(z)), indices)
    np.testing.assert_array_equal(to_numpy(layer(z)), codes)


def before_the_bound(codes, levels, symmetric):
    sizes = np.array(levels)
    if symmetric:
        return np.arctanh(np.clip(codes, -1 + 1e-3, 1 - 1e-3)).astype("float32")
    half, offset = (sizes - 1) * (1 - 1e-3) / 2, np.where(sizes % 2, 0.0, 0.5)
    shift = np.arctanh(np.where(sizes > 2, offset / half, 0.0))
    bounded = np.clip((codes * (sizes // 2) + offset) / half, -1 + 1e-6, 1 - 1e-6)
    return (np.arctanh(bounded) - shift).astype("float32")


def test_trap_15_thirty_bits():
    levels = (32,) * 6
    layer = FiniteScalarQuantizer(levels)
    layer.build((None, 6))
    indices = np.array([0, 2**24 + 1, 2**30 - 2, 2**30 - 1, -1], "int32")
    codes = to_numpy(layer.decode(indices))
    z = before_the_bound(codes[:-1], levels, symmetric=False)
    np.testing.assert_array_equal(to_numpy(layer.encode(z)), indices[:-1])
    assert layer.uniform_bits_per_code == pytest.approx(30)
    assert layer.code_counts is None  # 4 GB of counters that no data set would fill


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_trap_14_neighbouring_indices_do_not_merge(policy):
    levels = (8, 5, 5, 5)
    layer = FiniteScalarQuantizer(levels, dtype=policy)
    layer.build((None, 4))
    z = before_the_bound(to_numpy(layer.decode(np.arange(1000))), levels, symmetric=False)
    np.testing.assert_array_equal(to_numpy(layer.encode(z)), np.arange(1000))


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_gradient_is_that_of_the_bound(symmetric):
    levels = (8, 5)
    layer = FiniteScalarQuantizer(levels, symmetric=symmetric)
    z = normal((6, 2))
    by_z, _ = gradients(lambda z: keras.ops.sum(layer(z)), z)
    L = np.array(levels)
    half = (L - 1) / 2 * (1.0 if symmetric else 1 - 1e-3)
    shift = 0.0 if symmetric else np.arctanh(np.where(L % 2, 0.0, 0.5) / half)
    per_step = 2 / (L - 1) if symmetric else 1 / (L // 2)
    np.testing.assert_allclose(
        by_z, per_step * half * (1 - np.tanh(z + shift) ** 2), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_code_of_zeros_gives_relus_no_gradient_and_the_symmetric_form_has_none(symmetric):
    """Small outputs, as those of an encoder at its start, before layers with biases of 0."""
    decoder = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    decoder.build((None, 2))
    layer = FiniteScalarQuantizer((4, 4), symmetric=symmetric)
    by_z, by_weights = gradients(
        lambda z: keras.ops.sum(keras.ops.square(decoder(layer(z)) - 1.0)),
        normal((6, 2), scale=0.07),
        decoder.trainable_variables,
    )
    learns = [bool(np.any(g)) for g in (by_z, *by_weights)]
    assert learns == ([True] * 5 if symmetric else [False, False, False, False, True])


def test_usage_is_counted_in_training_only():
    layer = FiniteScalarQuantizer((3, 3))
    z = np.zeros((4, 2), "float32")
    layer(z)
    assert not to_numpy(layer.code_counts).any()
    layer.discretize(z, training=True, mask=np.array([1, 1, 1, 0], bool))
    assert to_numpy(layer.code_counts).tolist() == [0, 0, 0, 0, 3, 0, 0, 0, 0]


@pytest.mark.parametrize("levels", [(), (1, 3), (3.5, 2), 8, "88", (True, 3)])
def test_levels_are_integers_from_two(levels):
    with pytest.raises(ValueError, match="`levels` should be"):
        FiniteScalarQuantizer(levels)


def test_more_than_thirty_bits_are_refused():
    with pytest.raises(ValueError, match=r"at most 2\*\*30 codes.*fewer levels"):
        FiniteScalarQuantizer((32,) * 7)


def test_another_length_is_refused_in_build():
    with pytest.raises(ValueError, match="expects vectors of length 3 on the last axis"):
        FiniteScalarQuantizer((3, 3, 3))(np.ones((2, 4), "float32"))


def test_every_index_is_the_product_of_its_digits():
    layer = FiniteScalarQuantizer((3, 4))
    layer.build((None, 2))
    grid = itertools.product([-2 / 2, -1 / 2, 0, 1 / 2], [-1, 0, 1])
    expected = [[first, second] for second, first in grid]  # the first number counts fastest
    np.testing.assert_array_equal(to_numpy(layer.decode(np.arange(12))), expected)


def test_a_frozen_layer_counts_nothing():
    layer = FiniteScalarQuantizer((4, 3))
    layer.build((None, 2))
    layer.trainable = False
    layer(normal((6, 2)), training=True)
    assert not to_numpy(layer.code_counts).any()


def test_levels_finer_than_float32_are_refused():
    with pytest.raises(ValueError, match=r"from 2 to 2\*\*20"):
        FiniteScalarQuantizer((2**21,))


@pytest.mark.parametrize("symmetric", [False, True])
def test_perturbed_numbers_are_as_far_off_as_rounding_would_be(symmetric):
    L = 9
    options = {"symmetric": symmetric, "seed": 1}
    layer = FiniteScalarQuantizer((L,), noise_dropout=1.0, **options)
    layer.build((None, 1))
    z = normal((4000, 1))
    out = layer.discretize(z, training=True)
    bound = np.tanh(z) * (L - 1) / 2 * (1.0 if symmetric else 1 - 1e-3)
    off = to_numpy(out.quantized) * (L - 1) / 2 - bound
    assert np.abs(off).max() <= 0.5 + 1e-5
    assert np.abs(to_numpy(out.quantized)).max() <= 1.0
    inner = off[np.abs(bound) < (L - 2) / 2]  # whose noise meets no end: uniform
    assert abs(inner.mean()) < 0.03
    assert abs(inner.std() - 1 / math.sqrt(12)) < 0.01
    again = to_numpy(layer.discretize(z, training=True).quantized)
    assert (again != to_numpy(out.quantized)).mean() > 0.9


def test_a_share_of_the_numbers_is_perturbed_and_the_rest_rounded():
    layer = FiniteScalarQuantizer((9, 8), noise_dropout=0.3, seed=2)
    plain = FiniteScalarQuantizer((9, 8))
    for one in (layer, plain):
        one.build((None, 2))
    z = normal((3000, 2), scale=0.2)  # far from the ends, to which noise is clipped
    out, rounded = layer.discretize(z, training=True), plain.discretize(z)
    np.testing.assert_array_equal(to_numpy(out.indices), to_numpy(rounded.indices))
    np.testing.assert_array_equal(to_numpy(out.codes), to_numpy(rounded.quantized))
    perturbed = to_numpy(out.quantized) != to_numpy(out.codes)
    # 1 800 of 6 000 by chance, ±5 standard deviations of √(6000 · 0.3 · 0.7) = 35.
    assert abs(perturbed.sum() - 1800) < 180
    off = to_numpy(out.quantized)[:, 0] * 4 - np.tanh(z[:, 0]) * 4 * (1 - 1e-3)
    noise = off[perturbed[:, 0]]  # of some 900 numbers, uniform in ±½: 5 standard deviations
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1 / math.sqrt(12)) < 0.025
    np.testing.assert_array_equal(to_numpy(layer(z)), to_numpy(plain(z)))  # evaluation
    x = normal((5, 2))
    by_noise, by_rounding = (
        gradients(lambda x, q=q: keras.ops.sum(q.discretize(x, training=True).quantized), x)[0]
        for q in (layer, plain)
    )
    np.testing.assert_array_equal(by_noise, by_rounding)


@pytest.mark.parametrize("value", [-0.1, 1.1, None, "half"])
def test_the_share_of_noise_is_checked(value):
    with pytest.raises(ValueError, match=r"`noise_dropout` should be .*Received: noise_dropout="):
        FiniteScalarQuantizer((3,), noise_dropout=value)
