import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae.ops import nearest_code, sampled_code

TABLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0]], "float32")


def shares(x, table, temperature):
    """softmax(−‖x − e‖² / τ) in float64."""
    logits = -np.square(np.float64(x)[:, None] - np.float64(table)).sum(-1) / temperature
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_by_hand():
    # From 0.5 both codes are equally near; from 0, p = (1, e⁻¹) / (1 + e⁻¹) = (0.731, 0.269).
    table = np.array([[0.0], [1.0]], "float32")
    vectors = np.array([[0.5], [0.5], [0.0], [0.0]], "float32")
    uniforms = np.array([0.49, 0.51, 0.73, 0.74], "float32")
    assert to_numpy(sampled_code(vectors, table, uniforms, 1.0)).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
def test_an_even_grid_of_uniforms_draws_each_code_by_its_share(temperature):
    x = np.array([[0.4, 0.7]], "float32")
    uniforms = ((np.arange(2000) + 0.5) / 2000).astype("float32")
    found = to_numpy(sampled_code(np.tile(x, (2000, 1)), TABLE, uniforms, temperature))
    counts = np.bincount(found, minlength=4)
    # One at each border may fall to either side.
    assert np.abs(counts - 2000 * shares(x, TABLE, temperature)[0]).max() <= 2


@pytest.mark.parametrize("temperature", [1e-9, 1e-3])
def test_without_temperature_it_is_the_nearest(temperature):
    table, x = normal((16, 3), 1), normal((100, 3))
    uniforms = np.random.default_rng(0).random(100).astype("float32")
    found = to_numpy(sampled_code(x, table, uniforms, temperature))
    nearest = to_numpy(nearest_code(x, table))
    squares = np.sort(np.square(x[:, None] - table).sum(-1), axis=-1)
    clear = squares[:, 1] - squares[:, 0] > 0.02  # twenty temperatures: e⁻²⁰
    assert clear.sum() > 90
    np.testing.assert_array_equal(found[clear], nearest[clear])


@pytest.mark.parametrize("chunk_size", [1, 7, 49, 50, 51])
def test_trap_23_any_chunk_size_gives_the_same(chunk_size):
    table, x = normal((8, 4), 1), normal((50, 4))
    uniforms = np.random.default_rng(0).random(50).astype("float32")
    found = to_numpy(sampled_code(x, table, uniforms, 0.5, chunk_size))
    np.testing.assert_array_equal(found, to_numpy(sampled_code(x, table, uniforms, 0.5)))


def test_indices_are_in_the_table_at_the_ends_and_for_what_is_not_finite():
    ends = np.array([0.0, 1.0 - 2.0**-24, 0.5, 0.5], "float32")
    x = np.array([[0, 0], [0, 0], [np.nan, 0], [1e19, 0]], "float32")
    found = to_numpy(sampled_code(x, TABLE, ends, 1e6))
    assert found[:2].tolist() == [0, 3]
    assert ((found >= 0) & (found < 4)).all()


def test_no_vectors_give_no_indices():
    empty = np.zeros((0, 2), "float32")
    assert to_numpy(sampled_code(empty, TABLE, np.zeros(0, "float32"), 1.0)).shape == (0,)
