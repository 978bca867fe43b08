import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import QuantizeDropout, ResidualFiniteScalarQuantizer


def brute_force(z, levels, depths):
    """All depths at once: L^Q equal cells of (−c, c), and the cell's number in base L."""
    codes, digits = np.zeros(z.shape), np.zeros((*z.shape, depths), int)
    for i, L in enumerate(levels):
        c, cells = L / (L - 1), L**depths
        u = c * np.tanh(z[:, i].astype("float64") / c)
        cell = np.clip(np.floor((u + c) / (2 * c) * cells).astype(int), 0, cells - 1)
        codes[:, i] = -c + (cell + 0.5) * 2 * c / cells
        for depth in range(depths):
            digits[:, i, depth] = cell // L ** (depths - 1 - depth) % L
    places = np.cumprod([1, *levels[:-1]])
    return codes, (digits * places[:, None]).sum(1)


@pytest.mark.parametrize(
    ("levels", "depths"), [((2,), 4), ((3, 5), 2), ((4, 2, 7), 3), ((8, 5, 5), 1)]
)
def test_it_is_one_rounding_to_all_values_of_all_depths(levels, depths):
    layer = ResidualFiniteScalarQuantizer(depths, levels)
    z = normal((200, len(levels)), scale=2.0)
    quantized, indices = layer(z, return_indices=True)
    codes, expected = brute_force(z, levels, depths)
    np.testing.assert_array_equal(to_numpy(indices), expected)
    np.testing.assert_allclose(to_numpy(quantized), codes, atol=1e-6)


@pytest.mark.parametrize(("L", "depths"), [(2, 5), (3, 3), (5, 2), (16, 2)])
def test_trap_16_all_values_are_reached_and_evenly_spaced(L, depths):
    layer = ResidualFiniteScalarQuantizer(depths, (L,))
    z = np.linspace(-12, 12, 60001).astype("float32")[:, None]
    quantized, indices = layer(z, return_indices=True)
    values = np.unique(to_numpy(quantized).round(5))
    assert len(values) == L**depths
    np.testing.assert_allclose(np.diff(values), 2 / (L ** (depths - 1) * (L - 1)), atol=2e-5)
    for depth in range(depths):  # no digit of a deeper depth is settled by the ones before it
        assert np.unique(to_numpy(indices)[:, depth]).tolist() == list(range(L))


def test_every_depth_divides_the_largest_error_by_the_levels():
    levels = (4, 3)
    layer = ResidualFiniteScalarQuantizer(3, levels)
    z = normal((500, 2), scale=2.0)
    indices = to_numpy(layer.encode(z))
    c = np.array(levels) / (np.array(levels) - 1)
    bounded = c * np.tanh(z / c)
    for kept in (1, 2, 3):
        first = np.where(np.arange(3) < kept, indices, -1)
        error = np.abs(to_numpy(layer.decode(first)) - bounded).max(0)
        cell = 2 * c / np.array(levels) ** kept
        assert (error <= cell / 2 + 1e-6).all()
        assert (error > 0.4 * cell).all()


def test_encode_inverts_decode():
    layer = ResidualFiniteScalarQuantizer(2, (3, 2))
    layer.build((None, 2))
    indices = np.stack(np.meshgrid(np.arange(6), np.arange(6), indexing="ij"), -1).reshape(-1, 2)
    codes = to_numpy(layer.decode(indices))
    assert len(np.unique(codes.round(5), axis=0)) == 36
    c = np.array([3 / 2, 2 / 1])
    z = (c * np.arctanh(codes / c)).astype("float32")
    np.testing.assert_array_equal(to_numpy(layer.encode(z)), indices)


def test_minus_one_decodes_as_a_dropped_depth():
    layer = ResidualFiniteScalarQuantizer(3, (2,))
    layer.build((None, 1))
    indices = np.array([[1, 0, 1], [1, 0, -1], [1, -1, -1], [-1, -1, -1]])
    expected = [[1 - 0.5 + 0.25], [1 - 0.5], [1.0], [0.0]]
    np.testing.assert_array_equal(to_numpy(layer.decode(indices)), expected)


def test_the_gradient_is_that_of_the_bound_whatever_the_depth():
    z, c = normal((6, 2)), np.array([8 / 7, 5 / 4])
    for depths in (1, 3):
        layer = ResidualFiniteScalarQuantizer(depths, (8, 5))
        by_z, _ = gradients(lambda z, q=layer: keras.ops.sum(q(z)), z)
        np.testing.assert_allclose(by_z, 1 - np.tanh(z / c) ** 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_dropped_depths_are_minus_one_and_not_counted(per):
    layer = ResidualFiniteScalarQuantizer(3, (3, 3), dropout=per, seed=1)
    layer.build((None, 2))
    z, seen, total = normal((8, 5, 2)), set(), 0
    for _ in range(10):
        out = layer.discretize(z, training=True)
        indices = to_numpy(out.indices)
        kept = (indices >= 0).sum(-1)
        assert (kept == kept[:, :1]).all()
        assert per == "sample" or len(np.unique(kept)) == 1
        np.testing.assert_array_equal(indices >= 0, np.arange(3) < kept[..., None])
        np.testing.assert_array_equal(to_numpy(out.quantized), to_numpy(layer.decode(indices)))
        seen |= set(kept.ravel().tolist())
        total += kept.sum()
    assert seen == {1, 2, 3}
    assert to_numpy(layer.code_counts).sum() == total
    assert (to_numpy(layer.encode(z)) >= 0).all()  # evaluation drops none


def test_a_resumed_run_drops_the_same_depths(tmp_path):
    inputs = keras.Input((2,))
    make = ResidualFiniteScalarQuantizer(5, (3, 3), dropout=QuantizeDropout("sample", 2))
    model = keras.Model(inputs, make(inputs))
    z = normal((16, 2))
    model.layers[-1](z, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    a, b = (m.layers[-1].discretize(z, training=True).indices for m in (model, again))
    np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_bits_and_tables():
    layer = ResidualFiniteScalarQuantizer(3, (4, 4))
    assert layer.num_embeddings == 16
    assert layer.uniform_bits_per_position == 12
    assert [use.name for use in layer.tables()] == ["depth_0", "depth_1", "depth_2"]
    large = ResidualFiniteScalarQuantizer(2, (8,) * 7)
    large.build((None, 7))
    assert large.code_counts is None


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`num_quantizers` should be a positive integer"):
        ResidualFiniteScalarQuantizer(0, (3,))
    with pytest.raises(ValueError, match="`levels` should be"):
        ResidualFiniteScalarQuantizer(2, (1,))
    with pytest.raises(ValueError, match="float32 holds no finer ones"):
        ResidualFiniteScalarQuantizer(7, (8, 2))
    with pytest.raises(ValueError, match="`dropout` should be"):
        ResidualFiniteScalarQuantizer(2, (3,), dropout="depth")
    with pytest.raises(ValueError, match="vectors of length 2 on the last axis"):
        ResidualFiniteScalarQuantizer(2, (3, 3))(np.ones((2, 3), "float32"))


def test_depths_have_no_weights():
    with pytest.raises(TypeError, match="depth_weights"):
        ResidualFiniteScalarQuantizer(2, (3, 3), depth_weights=[1.0, 2.0])
