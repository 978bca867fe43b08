"""Balanced codes against Sinkhorn's iterations on the whole matrix, in float64."""

import keras
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from support import normal, to_numpy

from keras_vqvae.ops import nearest_code, transported_code


def plan(x, table, epsilon, iterations):
    """The plan `(N, K)`: as published, columns before rows."""
    distances = np.sqrt(np.square(np.float64(x)[:, None] - np.float64(table)).sum(-1))
    costs = distances / distances.std()
    shares = np.exp(-epsilon * (costs - costs.min()))
    for _ in range(iterations):
        shares = shares / shares.sum(0)
        shares = shares / shares.sum(1, keepdims=True)
    return shares


# Most codes lie where no vectors are.
VECTORS, TABLE = normal((200, 3)), 0.3 * normal((16, 3), 1) + 0.5


@pytest.mark.parametrize("epsilon", [0.5, 10.0, 40.0])
@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_it_is_the_largest_share_of_sinkhorns_plan(epsilon, iterations):
    found = to_numpy(transported_code(VECTORS, TABLE, epsilon, iterations))
    shares = plan(VECTORS, TABLE, epsilon, iterations)
    best, second = np.sort(shares, axis=-1)[:, [-1, -2]].T
    clear = best > second * 1.001
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], shares.argmax(-1)[clear])


def test_codes_are_used_evenly_where_the_nearest_are_not():
    functions = (nearest_code, transported_code)
    indices = [to_numpy(function(VECTORS, TABLE)) for function in functions]
    nearest, even = (np.bincount(found, minlength=16) for found in indices)
    assert nearest.min() == 0
    assert nearest.max() > 60
    # 12.5 each, were it not for vectors that the plan divides among several codes.
    assert even.min() >= 1
    assert even.max() < 40


def test_as_many_codes_as_vectors_are_an_assignment_of_least_cost():
    x, table = normal((24, 2), 5), normal((24, 2), 6)
    distances = np.sqrt(np.square(x[:, None] - table).sum(-1))
    found = to_numpy(transported_code(x, table, epsilon=300.0, iterations=1000))
    rows, columns = linear_sum_assignment(distances)
    np.testing.assert_array_equal(found, columns[rows.argsort()])


@pytest.mark.parametrize("chunk_size", [1, 7, 100, 199, 200, 201])
def test_trap_23_any_chunk_size_gives_the_same(chunk_size):
    found = to_numpy(transported_code(VECTORS, TABLE, chunk_size=chunk_size))
    np.testing.assert_array_equal(found, to_numpy(transported_code(VECTORS, TABLE)))


@pytest.mark.parametrize("chunk_size", [None, 33])
def test_vectors_that_take_no_part_change_nothing(chunk_size):
    padded = np.concatenate([1e3 * normal((50, 3), 9), VECTORS, np.zeros((50, 3), "float32")])
    weights = np.repeat(np.float32([0, 1, 0]), [50, 200, 50])
    found = to_numpy(transported_code(padded, TABLE, weights=weights, chunk_size=chunk_size))
    np.testing.assert_array_equal(found[50:250], to_numpy(transported_code(VECTORS, TABLE)))


@pytest.mark.parametrize("chunk_size", [None, 33])
def test_far_from_zero_it_is_the_same(chunk_size):
    # 2^12 and whole numbers of 2^-11: both sums are exact.
    x, table = (np.round(v * 2**8) / 2**8 for v in (VECTORS, TABLE))
    found = to_numpy(transported_code(x + 2**12, table + 2**12, chunk_size=chunk_size))
    assert (found != to_numpy(transported_code(x, table))).mean() <= 0.01  # near ties


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_the_vectors_does_not_matter(scale):
    found = to_numpy(transported_code(VECTORS * np.float32(scale), TABLE * np.float32(scale)))
    assert (found != to_numpy(transported_code(VECTORS, TABLE))).mean() <= 0.01


def test_indices_are_in_the_table_for_what_is_not_finite_alike_or_not_there():
    for odd in (np.nan, np.inf, 3e38):
        x = VECTORS.copy()
        x[3, 1] = odd
        found = to_numpy(transported_code(x, TABLE))
        assert ((found >= 0) & (found < 16)).all()
    alike = np.zeros((4, 3), "float32")
    for args in ((alike, TABLE), (VECTORS, alike), (alike, alike), (VECTORS, TABLE[:1])):
        found = to_numpy(transported_code(*args))
        assert ((found >= 0) & (found < len(args[1]))).all()
    assert to_numpy(transported_code(VECTORS[:0], TABLE)).shape == (0,)
    assert to_numpy(transported_code(VECTORS, TABLE, weights=np.zeros(200))).shape == (200,)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("count", [None, 200])
@pytest.mark.tensorflow_only
def test_it_compiles_for_any_number_of_vectors(jit_compile, count):
    import tensorflow as tf

    compiled = tf.function(
        lambda x: transported_code(x, TABLE, chunk_size=30),
        jit_compile=jit_compile,
        autograph=False,
        input_signature=[tf.TensorSpec([count, 3])],
    )
    expected = to_numpy(transported_code(VECTORS, TABLE))
    np.testing.assert_array_equal(compiled(VECTORS).numpy(), expected)
    if count is None:
        assert compiled(VECTORS[:0]).shape == (0,)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="compiles by JAX")
def test_it_compiles_on_jax():
    import jax

    compiled = jax.jit(lambda x: transported_code(x, TABLE, chunk_size=30))
    expected = to_numpy(transported_code(VECTORS, TABLE))
    np.testing.assert_array_equal(to_numpy(compiled(VECTORS)), expected)
