import numpy as np
import pytest
import scipy.stats
from support import normal, to_numpy

from keras_vqvae import ops


def test_counts_by_hand():
    indices = np.array([[0, 2], [2, -1]])
    assert to_numpy(ops.code_counts(indices, 4)).tolist() == [1, 0, 2, 0]
    weights = np.array([[0.5, 1.0], [0.0, 9.0]])  # −1 counts nothing, whatever its weight
    assert to_numpy(ops.code_counts(indices, 4, weights)).tolist() == [0.5, 0, 1, 0]


def test_counts_are_bincount():
    indices = np.random.default_rng(0).integers(0, 7, 100)
    np.testing.assert_array_equal(
        to_numpy(ops.code_counts(indices, 8)), np.bincount(indices, minlength=8)
    )


def test_counts_of_nothing_are_zero():
    assert to_numpy(ops.code_counts(np.zeros((0,), "int32"), 3)).tolist() == [0, 0, 0]
    assert to_numpy(ops.code_counts(np.full((2, 2), -1), 3)).tolist() == [0, 0, 0]


def test_sums_by_hand():
    vectors = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    indices = np.array([1, 0, 1])
    assert to_numpy(ops.code_sums(vectors, indices, 3)).tolist() == [[3, 4], [6, 8], [0, 0]]
    weighted = ops.code_sums(vectors, indices, 3, np.array([1.0, 1.0, 0.0]))
    assert to_numpy(weighted).tolist() == [[3, 4], [1, 2], [0, 0]]


def test_sums_are_float32_for_half_precision():
    # 2049 ones: float16 would stop at 2048.
    vectors = np.ones((2049, 1), "float16")
    assert to_numpy(ops.code_sums(vectors, np.zeros(2049, "int32"), 1)).tolist() == [[2049.0]]


@pytest.mark.parametrize("counts", [[1, 1, 1, 1], [5, 0, 3, 2], [1e6, 1, 1, 0], [0, 0, 7, 0]])
def test_entropy_and_perplexity_are_scipys(counts):
    expected = scipy.stats.entropy(counts)
    # float32 has 7 digits; the entropy is a sum of four terms.
    assert float(ops.entropy(np.array(counts))) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert float(ops.perplexity(np.array(counts))) == pytest.approx(np.exp(expected), rel=1e-5)


def test_entropy_takes_leading_axes():
    counts = np.abs(normal((2, 3, 5)))
    expected = scipy.stats.entropy(counts, axis=-1)
    for scale in (100.0, 1.0, 1e-3):  # shares and decayed averages as well as counts
        found = to_numpy(ops.entropy(np.float32(counts * scale)))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_nothing_counted():
    assert float(ops.entropy(np.zeros(4))) == 0.0
    assert float(ops.perplexity(np.zeros(4))) == 1.0
    assert float(ops.codebook_usage(np.zeros(4))) == 0.0


def test_usage_is_the_share_that_occurs():
    assert float(ops.codebook_usage(np.array([3, 0, 1e-3, 0]))) == 0.5
    assert to_numpy(ops.codebook_usage(np.array([[1, 1], [0, 2]]))).tolist() == [1.0, 0.5]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int64"])
def test_indices_may_be_of_any_integers(dtype):
    indices = np.array([2, 0, 2], dtype)
    sums = ops.code_sums(np.eye(3, dtype="float32"), indices, 3)
    np.testing.assert_array_equal(to_numpy(sums), [[0, 1, 0], [0, 0, 0], [1, 0, 1]])
    rows = ops.take_rows(np.arange(6.0).reshape(3, 2), indices)
    np.testing.assert_array_equal(to_numpy(rows), [[4, 5], [0, 1], [4, 5]])
