"""CausalAttention: the formula in NumPy, what it reaches, and steps equal to the whole grid."""

import keras
import numpy as np
import pytest
from causal_support import before, layer_by_steps, reached, scale_weights
from support import normal, to_numpy

from keras_vqvae import layers

GRID = (3, 4)


def test_trap_20_a_frozen_layer_holds_frozen_ones():
    inputs = keras.Input((*GRID, 5))
    frozen = keras.Model(inputs, layers.CausalAttention(2, 3, trainable=False)(inputs))
    assert frozen.trainable_variables == []
    layer = made()
    layer.trainable = False
    again = layers.CausalAttention.from_config(layer.get_config())
    again.build((None, *GRID, 5))
    assert not any(weight.trainable for weight in again.weights)


def test_its_kernels_start_from_other_numbers():
    layer = layers.CausalAttention(1, 6, kernel_initializer=keras.initializers.RandomNormal(seed=1))
    layer.build((None, *GRID, 6))
    first, second = (to_numpy(w).ravel()[:36] for w in layer.weights if "kernel" in w.path)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.6


def made(**options):
    layer = layers.CausalAttention(2, 3, **options)
    layer.build((None, *GRID, 5))
    return scale_weights(layer, 1.0)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_equals_a_loop_over_heads_and_positions():
    layer = made(filters=4)
    x = normal((1, *GRID, 5))
    weights = {w.path.split("/", 1)[1]: to_numpy(w) for w in layer.weights}
    flat = x.reshape(-1, 5)
    projected = flat @ weights["projection/kernel"] + weights["projection/bias"]
    q, k, v = projected.reshape(-1, 3, 2, 3).transpose(1, 2, 0, 3)
    rows = []
    for p in range(len(flat)):
        heads = [softmax(k[h, : p + 1] @ q[h, p] / np.sqrt(3)) @ v[h, : p + 1] for h in range(2)]
        rows.append(np.concatenate(heads) @ weights["output/kernel"] + weights["output/bias"])
    np.testing.assert_allclose(to_numpy(layer(x))[0].reshape(-1, 4), rows, atol=1e-5)


def test_steps_equal_the_call():
    layer, x = made(), normal((2, *GRID, 5), 3)
    np.testing.assert_allclose(layer_by_steps(layer, x), to_numpy(layer(x)), atol=1e-5)


@pytest.mark.parametrize("position", [(0, 0), (1, 2), (2, 3)])
def test_reaches_itself_and_all_before(position):
    field = reached(made(), (1, *GRID, 5), position)
    np.testing.assert_array_equal(field, before(GRID, position, depth_open=True))


def test_large_scores_do_not_overflow_in_half_precision():
    """Scores and softmax are float32: 5.7e6, as here, is beyond float16."""
    layer = layers.CausalAttention(1, 2, dtype="mixed_float16", kernel_initializer="ones")
    x = 1000 * np.ones((1, *GRID, 2), "float32")
    for y in (to_numpy(layer(x)), layer_by_steps(layer, x)):
        # Weights of a sum over 12 positions are rounded to 11 bits.
        np.testing.assert_allclose(y, np.full(y.shape, 4000.0), rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 0, "key_dim": 2}, "num_heads"),
        ({"num_heads": 2.5, "key_dim": 2}, "`num_heads` should be a positive integer"),
        ({"num_heads": 1, "key_dim": 0}, "key_dim"),
        ({"num_heads": 1, "key_dim": 2, "filters": 0}, "filters"),
        ({"num_heads": 1, "key_dim": 2, "dropout": 1.0}, "dropout"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        layers.CausalAttention(**options)


def test_it_takes_grids_of_a_known_size():
    for wrong in ((None, 3, 2), (None, None, 3, 2)):
        with pytest.raises(ValueError, match=r"expects grids \(batch, height, width, channels\)"):
            layers.CausalAttention(1, 2).build(wrong)


def test_dropout_is_on_in_training_only():
    layer = made(dropout=0.5)
    x = normal((2, *GRID, 5))
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(layer(x, training=False)))
    dropped = to_numpy(layer(x, training=True)) == 0
    assert 0.2 < dropped.mean() < 0.8
