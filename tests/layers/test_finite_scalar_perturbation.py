import math

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import FiniteScalarPerturbation, FiniteScalarQuantizer
from keras_vqvae.ops import unpack_digits

LEVELS = (8, 5, 2)
ROOT = math.sqrt(12.0)


def built(levels=LEVELS, **options):
    layer = FiniteScalarPerturbation(levels, seed=0, **options)
    layer.build((None, len(levels)))
    return layer


def share(z):
    """Where a number lies in its range, float64: u."""
    return (np.tanh(np.float64(z)) + 1) / 2


def test_evaluation_gives_the_middles_of_the_bins():
    z = normal((200, 3), scale=1.5)
    quantized, indices = built()(z, return_indices=True)
    bins = np.floor(share(z) * LEVELS)
    np.testing.assert_allclose(to_numpy(quantized), ROOT * ((bins + 0.5) / LEVELS - 0.5), atol=1e-6)
    np.testing.assert_array_equal(to_numpy(indices), bins @ [1, 8, 40])
    np.testing.assert_allclose(to_numpy(built().decode(indices)), to_numpy(quantized), atol=1e-6)


def test_training_moves_each_number_evenly_by_up_to_half_a_bin_and_keeps_its_index():
    z = np.tile(np.float32([0.1, -0.3, 0.2]), (4000, 1))
    layer = built()
    out = layer.discretize(z, training=True)
    moved = to_numpy(out.quantized) / ROOT + 0.5 - share(z)
    half = 0.5 / np.array(LEVELS)
    assert (np.abs(moved) <= half + 1e-6).all()
    # Uniform: the mean is within four standard errors, the spread is 1/√3 of half a bin.
    np.testing.assert_allclose(moved.mean(0) / half, 0.0, atol=4 / math.sqrt(3 * 4000))
    np.testing.assert_allclose(moved.std(0) / half, 1 / math.sqrt(3), rtol=0.03)
    # Each number by itself.
    np.testing.assert_allclose(np.corrcoef(moved.T), np.eye(3), atol=0.07)
    np.testing.assert_array_equal(to_numpy(out.indices), to_numpy(layer.encode(z)))
    again = to_numpy(layer.discretize(z, training=True).quantized)
    assert (again != to_numpy(out.quantized)).all()


def test_noise_that_would_leave_the_range_is_left_out():
    z = np.tile(np.float32([[-4.0], [4.0]]), (500, 1))  # u is 0.0003 from the ends
    layer = built((2,))
    out = to_numpy(layer.discretize(z, training=True).quantized).ravel()
    assert np.abs(out).max() <= ROOT / 2
    for end, side in ((out[::2], -1), (out[1::2], 1)):
        still = np.isclose(end, side * ROOT * (share(4.0) - 0.5), atol=1e-6)
        assert 0.4 < still.mean() < 0.6  # half of the noise points outwards


@pytest.mark.parametrize("training", [False, True])
def test_the_gradient_is_that_of_the_range_whether_moved_or_rounded(training):
    z, upstream = normal((30, 3)), normal((30, 3), 1)
    layer = built()

    def loss(x):
        return keras.ops.sum(layer.discretize(x, training=training).quantized * upstream)

    by_z, _ = gradients(loss, z)
    expected = upstream * ROOT * 0.5 * (1 - np.tanh(np.float64(z)) ** 2)
    np.testing.assert_allclose(by_z, expected, rtol=1e-4, atol=1e-6)


def test_the_moment_loss_is_that_of_mean_and_variance():
    z = normal((50, 3), scale=2.0) + np.float32([1.0, 0.0, -3.0])
    layer = built(mean_weight=0.5, variance_weight=0.2)
    expected = 0.5 * np.mean(z.mean(0) ** 2) + 0.2 * np.mean(
        (z.var(0, ddof=1) - math.pi**2 / 12) ** 2
    )
    for training in (False, True):
        loss = layer.discretize(z, training=training).losses["moment_loss"]
        assert float(loss) == pytest.approx(expected, rel=1e-5)
    # Numbers from which u is uniform cost nothing.
    logistic = np.arctanh(2 * (np.arange(20000) + 0.5) / 20000 - 1)[:, None]
    loss = built((4,)).discretize(logistic.astype("float32")).losses["moment_loss"]
    assert float(loss) < 1e-5


def test_trap_12_padding_counts_in_no_moment():
    z, mask = normal((4, 6, 3)), np.arange(6) < np.array([[6], [2], [0], [5]])
    layer = built()
    padded = np.where(mask[..., None], z, np.float32(np.nan))
    loss = layer.discretize(padded, mask=mask).losses["moment_loss"]
    alone = layer.discretize(z[mask]).losses["moment_loss"]
    assert float(loss) == pytest.approx(float(alone), rel=1e-6)
    assert float(layer.discretize(z, mask=np.zeros_like(mask)).losses["moment_loss"]) == 0.0


def test_trap_16_every_bin_is_reached_and_none_beyond():
    z = np.concatenate([np.linspace(-9, 9, 4001), [-1e30, 1e30]]).astype("float32")[:, None]
    for bins in range(2, 17):
        quantized, indices = built((bins,))(z, return_indices=True)
        assert np.unique(to_numpy(indices)).tolist() == list(range(bins))
        values = np.unique(to_numpy(quantized))
        np.testing.assert_allclose(np.diff(values), ROOT / bins, rtol=1e-4)
        assert np.abs(values).max() == pytest.approx(ROOT / 2 * (1 - 1 / bins))


def test_each_number_learns_to_use_all_bins_where_rounding_alone_does_not():
    """From outputs that are far too small: FSQ has nothing that would widen them."""
    z = 0.05 * normal((2000, 2))
    used = {}
    for kind in (FiniteScalarPerturbation, FiniteScalarQuantizer):
        inputs = keras.Input((2,))
        dense = keras.layers.Dense(2, kernel_initializer="identity")
        layer = kind((8, 8))
        model = keras.Model(inputs, layer(dense(inputs)))
        # No reconstruction: only what the quantizer adds can move the weights.
        model.compile(keras.optimizers.Adam(0.1), loss=lambda y, q: 0.0 * keras.ops.sum(q, -1))
        model.fit(z, z, batch_size=500, epochs=50, verbose=0)
        bins = unpack_digits(layer.encode(dense(z)), (8, 8))
        used[kind] = [len(np.unique(column)) for column in to_numpy(bins).T]
    assert used[FiniteScalarPerturbation] == [8, 8]
    assert max(used[FiniteScalarQuantizer]) <= 3


def test_arguments():
    for name in ("mean_weight", "variance_weight"):
        with pytest.raises(ValueError, match=f"`{name}` should be ≥ 0"):
            FiniteScalarPerturbation((4, 4), **{name: -0.1})
    with pytest.raises(ValueError, match="`levels` should be integers from 2"):
        FiniteScalarPerturbation((4, 1))
