import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from support import gradients, normal, to_numpy

from keras_vqvae import ops


def brute_force(logits):
    """The distribution over all codes of each row, (N, 2**d), the first bit fastest; float64."""
    logits = logits.astype("float64")
    codes = np.array(list(itertools.product([0, 1], repeat=logits.shape[1])))[:, ::-1]
    return scipy.special.softmax(logits @ codes.T, axis=-1)


def test_binary_entropy_is_scipys():
    logits = np.linspace(-20, 20, 41).astype("float32")
    p = scipy.special.expit(logits.astype("float64"))
    expected = scipy.stats.entropy(np.stack([p, 1 - p]))
    # float32 has 7 digits, and the small values keep theirs.
    np.testing.assert_allclose(to_numpy(ops.binary_entropy(logits)), expected, rtol=2e-6)


def test_binary_entropy_and_its_gradient_are_finite_far_out():
    x = np.array([0.0, 1e-30, 200.0, -3e5, 1e30], "float32")
    value = to_numpy(ops.binary_entropy(x))
    assert value.tolist() == pytest.approx([np.log(2), np.log(2), 0, 0, 0])
    by_x, _ = gradients(lambda x: keras.ops.sum(ops.binary_entropy(x)), x)
    assert np.isfinite(by_x).all()


def test_binary_entropy_gradient_is_minus_a_times_the_slope_of_the_sigmoid():
    # d H_b(σ(a)) / da = −a σ(a)(1 − σ(a))
    a = normal((9,), scale=3.0)
    s = scipy.special.expit(a)
    by_a, _ = gradients(lambda a: keras.ops.sum(ops.binary_entropy(a)), a)
    np.testing.assert_allclose(by_a, -a * s * (1 - s), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_trap_17_entropies_are_those_of_the_table_of_all_codes(bits):
    logits = normal((6, bits), scale=2.0)
    table = brute_force(logits)
    p = scipy.special.expit(logits)
    np.testing.assert_allclose(
        to_numpy(ops.mean_code_distribution(p)), table.mean(0), rtol=1e-4, atol=1e-7
    )
    of_mean = float(ops.mean_distribution_entropy(p, group_bits=10))
    assert of_mean == pytest.approx(scipy.stats.entropy(table.mean(0)), rel=1e-5)
    of_each = to_numpy(ops.binary_entropy(logits)).sum(-1)
    np.testing.assert_allclose(of_each, scipy.stats.entropy(table, axis=-1), rtol=1e-5)


def test_groups_are_an_upper_bound_and_exact_for_independent_bits():
    p = scipy.special.expit(normal((6, 5), scale=2.0))
    exact = float(ops.mean_distribution_entropy(p, 5))
    grouped = [float(ops.mean_distribution_entropy(p, n)) for n in (1, 2, 3)]
    assert all(value > exact for value in grouped)
    by_hand = scipy.stats.entropy(np.stack([p.mean(0), 1 - p.mean(0)])).sum()
    assert grouped[0] == pytest.approx(by_hand, rel=1e-5)
    one = p[:1]  # one vector: its bits are independent
    assert float(ops.mean_distribution_entropy(one, 2)) == pytest.approx(
        float(ops.mean_distribution_entropy(one, 5)), rel=1e-5
    )


def test_weights_leave_rows_out():
    p = scipy.special.expit(normal((6, 4))).astype("float32")
    weights = np.array([1, 0, 1, 1, 0, 0], "float32")
    np.testing.assert_allclose(
        to_numpy(ops.mean_code_distribution(p, weights)),
        to_numpy(ops.mean_code_distribution(p[weights > 0])),
        rtol=1e-5,
    )
    assert float(ops.mean_distribution_entropy(p, 2, 0 * weights)) == 0.0


def test_the_gradient_is_finite_where_a_code_has_no_mass():
    p = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")
    by_p, _ = gradients(lambda p: ops.mean_distribution_entropy(p, 2), p)
    assert np.isfinite(by_p).all()
