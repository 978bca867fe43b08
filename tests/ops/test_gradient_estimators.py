import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.ops import get_gradient_estimator, straight_through


def test_straight_through_is_the_codes_to_the_last_bit():
    # x + (q − x) would be rounded: here x is 10⁸ times as large as q.
    vectors, codes = normal((5, 3), 0, scale=1e8), normal((5, 3), 1)
    np.testing.assert_array_equal(to_numpy(straight_through(vectors, codes)), codes)


def test_straight_through_hands_the_gradient_to_the_vectors_only():
    codes = keras.Variable(normal((5, 3), 1))
    weights = normal((5, 3), 2)  # the gradient of what follows
    by_vectors, (by_codes,) = gradients(
        lambda x: keras.ops.sum(straight_through(x, codes) * weights), normal((5, 3)), [codes]
    )
    np.testing.assert_array_equal(by_vectors, weights)
    assert not by_codes.any()


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"`estimator` should be one of \['straight_through'\]"):
        get_gradient_estimator("gumbel")
