import keras
import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.ops import two_sum


@pytest.mark.parametrize("jit_compile", [False, True])
def test_sum_and_rest_are_exact_compiled_too(jit_compile):
    a, b = normal((200,)), normal((200,), seed=1, scale=1e5)
    compiled = CompiledFunction(two_sum, list, jit_compile)
    s, rest = compiled(keras.ops.convert_to_tensor(a), keras.ops.convert_to_tensor(b))
    exact = a.astype("float64") + b.astype("float64")  # two float32 fit into a float64
    np.testing.assert_array_equal(to_numpy(s), exact.astype("float32"))
    np.testing.assert_array_equal(to_numpy(s).astype("float64") + to_numpy(rest), exact)
    assert np.count_nonzero(to_numpy(rest)) > 50


def test_what_is_not_finite_leaves_no_rest():
    s, rest = two_sum(np.array([np.inf, 3e38, np.nan], "float32"), np.float32(3e38))
    np.testing.assert_array_equal(to_numpy(s), [np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(to_numpy(rest), [0, 0, 0])
