import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.ops import mean_square, with_value


@pytest.mark.parametrize("shape", [(7, 3), (1, 1), (4, 2, 5)])
def test_mean_square_and_its_gradient(shape):
    x = normal(shape)
    exact = np.float64(x)
    assert float(mean_square(x)) == pytest.approx(np.mean(exact**2), rel=1e-6)
    by_x, _ = gradients(mean_square, x)
    np.testing.assert_allclose(by_x, 2 * exact / x.size, rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (7, 3), (70, 33), (64, 48)])
def test_mean_square_and_its_gradient_compiled(shape):
    """XLA on a CPU sums in parts, the last of which is filled up."""
    x = normal(shape)
    exact = np.float64(x)
    compiled = CompiledFunction(mean_square, variables=list)
    expected = np.mean(exact**2) if x.size else 0.0
    assert float(compiled(keras.ops.convert_to_tensor(x))) == pytest.approx(expected, rel=1e-6)
    by_x, _ = gradients(compiled, x)
    np.testing.assert_allclose(by_x, 2 * exact / max(x.size, 1), rtol=1e-6)
    if x.size:
        for value in (np.nan, np.inf, -np.inf, 3e38):
            x[3, 2] = value
            assert not np.isfinite(float(compiled(keras.ops.convert_to_tensor(x))))


def test_mean_square_of_valid_rows_and_of_none():
    x = normal((4, 3))
    weights = np.float32([1, 0, 1, 0])
    assert float(mean_square(x, weights)) == pytest.approx(np.mean(x[[0, 2]] ** 2), rel=1e-6)
    assert float(mean_square(x, np.zeros(4, "float32"))) == 0.0
    assert float(mean_square(np.zeros((0, 3), "float32"))) == 0.0


def test_a_value_keeps_its_bits_and_the_gradient_is_the_others():
    x, value, weights = normal((5, 3)), normal((5, 3), 1) * 1e-9, normal((5, 3), 2)
    np.testing.assert_array_equal(to_numpy(with_value(x, value)), value)
    by_x, _ = gradients(lambda x: keras.ops.sum(with_value(2.0 * x, value) * weights), x)
    np.testing.assert_array_equal(by_x, 2.0 * weights)
    by_value, _ = gradients(lambda value: keras.ops.sum(with_value(x, value) * weights), value)
    assert not by_value.any()


def test_a_value_may_be_a_variable():
    variable = keras.Variable(normal((5, 3)))
    _, (by_variable,) = gradients(
        lambda x: keras.ops.sum(with_value(variable * 1.0, x)), normal((5, 3), 1), [variable]
    )
    np.testing.assert_array_equal(by_variable, np.ones((5, 3)))
    np.testing.assert_array_equal(
        to_numpy(with_value(normal((5, 3), 1), variable)), to_numpy(variable)
    )


def test_a_value_is_the_same_where_the_other_is_not_finite():
    x = np.float32([np.nan, np.inf, -np.inf, 3e38, 1.0])
    np.testing.assert_array_equal(to_numpy(with_value(x, np.ones(5, "float32"))), 1.0)
