import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from support import gradients, normal, to_numpy

from keras_vqvae.layers import BinarySphericalQuantizer, LookupFreeQuantizer


class HalfLookupFree(LookupFreeQuantizer):
    """With codes of ±½."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"scale": 0.5, **kwargs})


CLASSES = [LookupFreeQuantizer, BinarySphericalQuantizer, HalfLookupFree]
each_class = pytest.mark.parametrize("cls", CLASSES)


def corners(bits, scale):
    """All codes in the order of their indices: the first number counts fastest."""
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=bits)))[:, ::-1]
    return scale * signs


def compared(cls, z):
    """What is compared with the corners, and their scale."""
    if cls is not BinarySphericalQuantizer:
        return z, 0.5 if cls is HalfLookupFree else 1.0
    return z / np.linalg.norm(z, axis=-1, keepdims=True), z.shape[-1] ** -0.5


def losses_of(layer, z, **kwargs):
    return {name: float(value) for name, value in layer.discretize(z, **kwargs).losses.items()}


@each_class
def test_codes_are_the_nearest_corners(cls):
    z = normal((20, 4))
    u, scale = compared(cls, z)
    table = corners(4, scale)
    nearest = np.argmin(((u[:, None] - table) ** 2).sum(-1), axis=-1)
    quantized, indices = cls(4)(z, return_indices=True)
    np.testing.assert_array_equal(to_numpy(indices), nearest)
    np.testing.assert_allclose(to_numpy(quantized), table[nearest], rtol=1e-6)


@each_class
def test_zero_counts_as_minus_one(cls):
    z = np.array([[0.0, -0.0, 1.0], [0.0, 0.0, 0.0]], "float32")
    layer = cls(3)
    assert to_numpy(layer.encode(z)).tolist() == [4, 0]
    by_z, _ = gradients(lambda z: keras.ops.sum(layer(z)) + sum(layer.losses), z)
    assert np.isfinite(by_z).all()


@each_class
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_trap_17_entropy_loss_is_that_of_the_table_of_all_codes(cls, bits):
    z = normal((7, bits), scale=0.3)
    layer = cls(bits, entropy_weight=0.5, diversity_weight=0.7, temperature=0.4)
    u, scale = compared(cls, z.astype("float64"))
    p = scipy.special.softmax(2 * u @ corners(bits, scale).T / 0.4, axis=-1)
    of_each = scipy.stats.entropy(p, axis=-1).mean()
    of_mean = scipy.stats.entropy(p.mean(0))
    expected = 0.5 * (of_each - 0.7 * of_mean)
    # A difference of two sums of float32: absolute 1e-5.
    assert losses_of(layer, z)["entropy_loss"] == pytest.approx(expected, abs=1e-5)


@each_class
def test_trap_17_entropy_has_the_right_sign(cls):
    """Codes that are sure and all used cost less than codes that are the same, or unsure."""
    signs = corners(3, 1.0).astype("float32")
    layer = cls(3)
    spread, same = losses_of(layer, signs), losses_of(layer, np.ones((8, 3), "float32"))
    assert spread["entropy_loss"] == pytest.approx(-0.1 * np.log(8), abs=1e-4)  # 0 − log K
    assert same["entropy_loss"] == pytest.approx(0.0, abs=1e-4)
    unsure = cls(3, diversity_weight=0.0)
    near = losses_of(unsure, 1e-3 * normal((8, 3)))
    if cls is LookupFreeQuantizer:  # the sphere has no place near zero
        assert near["entropy_loss"] > losses_of(unsure, signs)["entropy_loss"] + 0.1


@each_class
def test_commitment_loss(cls):
    z = normal((6, 4))
    u, scale = compared(cls, z)
    expected = 0.5 * np.mean((u - scale * np.where(z > 0, 1, -1)) ** 2)
    loss = losses_of(cls(4, beta=0.5), z)["commitment_loss"]
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_the_codes_goes_straight_through():
    z, weights = normal((6, 4)), normal((6, 4), 1)
    layer = LookupFreeQuantizer(4)
    by_z, _ = gradients(lambda z: keras.ops.sum(layer(z) * weights), z)
    np.testing.assert_array_equal(by_z, weights)


def test_the_gradient_of_spherical_codes_is_that_of_the_sphere():
    z, weights = normal((6, 4)), normal((6, 4), 1)
    layer = BinarySphericalQuantizer(4)
    by_z, _ = gradients(lambda z: keras.ops.sum(layer(z) * weights), z)
    norm = np.linalg.norm(z, axis=-1, keepdims=True)
    u = z / norm
    expected = (weights - u * np.sum(u * weights, -1, keepdims=True)) / norm
    np.testing.assert_allclose(by_z, expected, rtol=1e-4, atol=1e-5)


@each_class
@pytest.mark.parametrize("bits", [1, 5, 10])
def test_encode_inverts_decode_on_every_index(cls, bits):
    layer = cls(bits)
    layer.build((None, bits))
    indices = np.arange(2**bits)
    codes = to_numpy(layer.decode(indices))
    np.testing.assert_array_equal(to_numpy(layer.encode(codes)), indices)
    np.testing.assert_array_equal(np.sign(codes), corners(bits, 1.0))


@each_class
def test_trap_15_thirty_bits(cls):
    layer = cls(30)
    layer.build((None, 30))
    indices = np.array([0, 2**24 + 1, 2**30 - 2, 2**30 - 1], "int32")
    np.testing.assert_array_equal(to_numpy(layer.encode(layer.decode(indices))), indices)
    with pytest.raises(ValueError, match=r"at most 2\*\*30 codes.*GroupedQuantizer"):
        cls(31)


@each_class
def test_trap_23_losses_need_no_table_of_all_codes(cls):
    # 64 vectors × 2³⁰ codes would be 256 GiB. In three groups of ten bits, by brute force.
    z = normal((64, 30), scale=0.3)
    u, scale = compared(cls, z.astype("float64"))
    p = scipy.special.expit(4 * scale * u)  # of each bit, at temperature 1
    of_each = scipy.stats.entropy(np.stack([p, 1 - p]), axis=0).sum(-1).mean()
    of_mean = 0.0
    for bits in np.split(p, 3, axis=-1):
        joint = np.ones((64, 1))
        for one in bits.T[..., None]:
            joint = np.concatenate([joint * (1 - one), joint * one], axis=-1)
        of_mean += scipy.stats.entropy(joint.mean(0))
    layer = cls(30, entropy_weight=1.0, temperature=1.0, entropy_group_bits=10)
    # A difference of sums of 1024 float32 numbers each.
    assert losses_of(layer, z)["entropy_loss"] == pytest.approx(of_each - of_mean, abs=1e-4)


@each_class
def test_trap_17_half_precision_is_finite_and_computed_in_float32(cls):
    z = np.array([[200.0, -1e-4, 0.0], [6e4, 1.0, -300.0]], "float16")
    half, full = cls(3, dtype="mixed_float16"), cls(3)
    assert losses_of(half, z) == losses_of(full, z.astype("float32"))
    assert np.isfinite(list(losses_of(half, z).values())).all()


@each_class
def test_groups_of_bits(cls):
    """Beyond a group, entropies are added up: an upper bound, so a lower loss."""
    z = normal((9, 6), scale=0.3)
    exact = cls(6, temperature=0.5, entropy_group_bits=6)
    groups = cls(6, temperature=0.5, entropy_group_bits=2)
    assert losses_of(groups, z)["entropy_loss"] < losses_of(exact, z)["entropy_loss"]


@each_class
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_bits", 0),
        ("num_bits", 2.5),
        ("beta", -1.0),
        ("entropy_weight", -1.0),
        ("diversity_weight", -0.1),
        ("temperature", 0.0),
        ("entropy_group_bits", 0),
        ("entropy_group_bits", 21),
    ],
)
def test_arguments_are_checked(cls, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` should be"):
        cls(**{"num_bits": 3, argument: value})


@pytest.mark.parametrize("kind", [LookupFreeQuantizer, BinarySphericalQuantizer])
def test_bits_are_not_codes(kind):
    with pytest.raises(ValueError, match=r"log₂ of the number of codes, .* num_bits=262144"):
        kind(2**18)
