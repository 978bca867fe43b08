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


def test_a_share_on_the_border_of_two_codes_is_of_the_second_one():
    weights = np.float32([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.25, 0.25, 0.5]])
    drawn = invert_cumulative(weights, np.float32([0.5, 0.0, 0.25]))
    assert keras.ops.convert_to_numpy(drawn).tolist() == [2, 1, 1]


@pytest.mark.parametrize("count", [3, 100, 1000])
def test_the_largest_share_is_of_the_last_code_that_has_a_weight(count):
    """Where running sums are rounded so that none of them is above it, too."""
    rng = np.random.default_rng(count)
    last = rng.integers(count, size=2000)
    weights = rng.random((2000, count), dtype="float32")
    weights[np.arange(count) > last[:, None]] = 0.0
    weights[np.arange(2000), last] = 1.0
    drawn = invert_cumulative(weights, np.full(2000, 1.0 - 2.0**-24, "float32"))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(drawn), last)
