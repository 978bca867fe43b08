import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae.ops import area_matrix, cubic_matrix, resize_grid


def test_area_of_a_divisor_is_the_mean_of_blocks():
    x = normal((2, 4, 6, 3))
    found = to_numpy(resize_grid(x, [area_matrix(4, 2), area_matrix(6, 3)]))
    np.testing.assert_allclose(
        found, x.reshape(2, 2, 2, 3, 2, 3).mean((2, 4)), rtol=1e-5, atol=1e-6
    )


def test_area_of_no_divisor_by_hand():
    # 5 → 3: bins [0, 2), [1, 4), [3, 5)
    third = np.float32(1 / 3)
    expected = [[0.5, 0.5, 0, 0, 0], [0, third, third, third, 0], [0, 0, 0, 0.5, 0.5]]
    np.testing.assert_array_equal(area_matrix(5, 3), np.float32(expected))


def test_cubic_by_hand():
    # 2 → 4. Output 1 lies at 1.5 · ½ − ½ = ¼, between inputs 0 and 1; those at −1 and 2 repeat the
    # border. Distances 1¼, ¼, ¾, 1¾ with a = −¾:
    #   w(¼) = 1.25/64 − 2.25/16 + 1         = 0.87890625
    #   w(¾) = 1.25 · 27/64 − 2.25 · 9/16 + 1 = 0.26171875
    #   w(1¼) = −¾ (125/64 − 5 · 25/16 + 10 − 4) = −0.10546875
    #   w(1¾) = −¾ (343/64 − 5 · 49/16 + 14 − 4) = −0.03515625
    expected = [-0.10546875 + 0.87890625, 0.26171875 - 0.03515625]
    np.testing.assert_allclose(cubic_matrix(2, 4)[1], expected, atol=1e-7)
    np.testing.assert_allclose(cubic_matrix(2, 4)[2], expected[::-1], atol=1e-7)


@pytest.mark.parametrize(("size", "new"), [(1, 3), (2, 5), (3, 16), (7, 7), (4, 6)])
def test_constants_stay_and_the_same_size_is_the_identity(size, new):
    for matrix in (cubic_matrix(size, new), area_matrix(new, size)):
        np.testing.assert_allclose(matrix.sum(-1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(cubic_matrix(new, new), np.eye(new))
    np.testing.assert_array_equal(area_matrix(new, new), np.eye(new))
    np.testing.assert_allclose(
        cubic_matrix(size, new), cubic_matrix(size, new)[::-1, ::-1], atol=1e-6
    )


def test_height_and_width_are_told_apart():
    x = normal((1, 2, 3, 1))
    rows, columns = cubic_matrix(2, 4), area_matrix(3, 1)
    expected = np.einsum("ih,bhwd,jw->bijd", rows, x, columns)
    found = to_numpy(resize_grid(x, [rows, columns]))
    assert found.shape == (1, 4, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
