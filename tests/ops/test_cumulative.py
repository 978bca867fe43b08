import keras
import numpy as np
import pytest

from keras_vqvae.ops import invert_cumulative


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100, 1000])
def test_invert_cumulative_is_the_search_in_a_float64_cumulative_sum(count):
    rng = np.random.default_rng(count)
    weights = np.where(rng.random((500, count)) < 0.3, 0.0, rng.random((500, count)))
    weights[:, rng.integers(count)] = 0.5
    weights, uniforms = weights.astype("float32"), rng.random(500, dtype="float32")
    upto = np.cumsum(weights.astype("float64"), axis=1)
    target = uniforms.astype("float64") * upto[:, -1]
    expected = [np.searchsorted(u, t, side="right") for u, t in zip(upto, target, strict=True)]
    drawn = keras.ops.convert_to_numpy(invert_cumulative(weights, uniforms))
    # A target within rounding of a step may fall on either side of it.
    clear = np.abs(upto - target[:, None]).min(axis=1) > 1e-6 * upto[:, -1]
    assert clear.any()
    np.testing.assert_array_equal(drawn[clear], np.asarray(expected)[clear])
    assert (weights[np.arange(500), drawn] > 0).all()
