import keras
import numpy as np
import pytest

from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.ops.histogram import histogram


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("weighted", [False, True], ids=["ones", "weights"])
def test_is_numpys_bincount(weighted, compiled):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, 1000).astype("int32")
    weights = rng.random(1000).astype("float32") if weighted else None
    arguments = [keras.ops.convert_to_tensor(a) for a in (values, weights) if a is not None]

    def count(values, weights=None):
        return histogram(values, 12, weights)

    function = CompiledFunction(count, list) if compiled else count
    counts = keras.ops.convert_to_numpy(function(*arguments))
    assert counts.dtype == "float32"
    np.testing.assert_allclose(counts, np.bincount(values, weights, 12), rtol=1e-5)
