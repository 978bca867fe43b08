import numpy as np
import pytest
from support import normal

from keras_vqvae.ops import all_reduce_sum, gather_rows, mean_over_valid, mean_square, num_replicas


def test_mean_over_valid_by_hand():
    values = np.array([[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], "float32")
    assert float(mean_over_valid(values)) == pytest.approx(212 / 6)
    assert float(mean_over_valid(values, np.array([1.0, 1.0, 0.0], "float32"))) == 3.0


def test_mean_over_valid_with_all_weights_is_the_plain_mean():
    values = normal((20, 3))
    weighted = float(mean_over_valid(values, np.ones(20, "float32")))
    # Sums in another order: the last bits of float32.
    assert weighted == pytest.approx(float(mean_over_valid(values)), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3), (4, 1, 2, 3)])
def test_means_of_rows_of_any_rank(shape):
    values, weights = normal(shape), np.float32([1, 0, 1, 1])
    kept = values[weights > 0]
    assert float(mean_over_valid(values, weights)) == pytest.approx(kept.mean(), rel=1e-5)
    assert float(mean_square(values, weights)) == pytest.approx(np.square(kept).mean(), rel=1e-5)


def test_mean_over_nothing_valid_is_zero():
    assert float(mean_over_valid(normal((4, 3)), np.zeros(4, "float32"))) == 0.0


def test_collectives_of_one_replica_are_the_identity():
    x = normal((4, 3))
    assert num_replicas() == 1
    assert all_reduce_sum(x) is x
    assert gather_rows(x) is x
