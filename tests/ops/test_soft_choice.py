import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.ops import categorical_entropy, highest_score, with_soft_gradient


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_entropy_of_a_distribution():
    logits = normal((6, 5), scale=3.0)
    p = softmax(logits.astype("float64"))
    np.testing.assert_allclose(
        to_numpy(categorical_entropy(logits)), -(p * np.log(p)).sum(-1), rtol=1e-5
    )


def test_entropy_of_a_sure_choice_is_zero_with_a_finite_gradient():
    logits = np.array([[0.0, 1e5, -1e5]], "float32")
    assert to_numpy(categorical_entropy(logits)).tolist() == [0.0]
    by_logits, _ = gradients(lambda a: keras.ops.sum(categorical_entropy(a)), logits)
    assert np.isfinite(by_logits).all()


def test_the_highest_score_and_the_first_of_equals():
    scores = np.array([[0.0, -0.0, 0.0], [1.0, 3.0, 2.0], [-5.0, -5.0, -4.0]], "float32")
    indices = highest_score(scores)
    assert to_numpy(indices).tolist() == [0, 1, 2]
    assert keras.backend.standardize_dtype(indices.dtype) == "int32"


@pytest.mark.parametrize("count", [16, 17, 31, 128, 512, 513, 2048, 4097])
def test_the_highest_of_many_scores_and_the_first_of_equals(count):
    scores = np.random.default_rng(count).integers(0, 40, (50, count)).astype("float32")
    scores[0, -1] = 50.0
    scores[1], scores[2, :-1] = -np.inf, -np.inf
    np.testing.assert_array_equal(to_numpy(highest_score(scores)), scores.argmax(-1))
    assert to_numpy(highest_score(scores[:0])).shape == (0,)


def test_soft_gradient_is_that_of_the_one_hot_product():
    """Trap 28. The codes chosen get dL/dq itself, added up over the vectors that chose them."""
    table, p, g = normal((5, 3)), softmax(normal((4, 5), 1)), normal((4, 3), 2)
    indices = np.array([0, 4, 4, 2])
    codes = table[indices]
    np.testing.assert_array_equal(to_numpy(with_soft_gradient(codes, p, table)), codes)
    by_p, _ = gradients(lambda p: keras.ops.sum(with_soft_gradient(codes, p, table) * g), p)
    np.testing.assert_allclose(by_p, g @ table.T, rtol=1e-5, atol=1e-6)

    def of_table(table):
        return keras.ops.sum(with_soft_gradient(keras.ops.take(table, indices, 0), p, table) * g)

    by_table, _ = gradients(of_table, table)
    expected = np.zeros_like(table)
    np.add.at(expected, indices, g)
    np.testing.assert_allclose(by_table, expected, rtol=1e-5)
