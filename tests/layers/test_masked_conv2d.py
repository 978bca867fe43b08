"""MaskedConv2D: the mask by hand, causality, and steps equal to the whole grid."""

import keras
import numpy as np
import pytest
from causal_support import before, composed, layer_by_steps, reached
from keras import ops
from support import gradients, normal, to_numpy

from keras_vqvae import layers
from keras_vqvae.ops import causal_kernel_mask

OPTIONS = {
    "A": {"kernel_size": 3, "mask_type": "A"},
    "B": {"kernel_size": 3, "mask_type": "B"},
    "A_wide": {"kernel_size": 7, "mask_type": "A"},
    "B_no_bias_relu": {
        "kernel_size": 3,
        "mask_type": "B",
        "use_bias": False,
        "activation": "relu",
    },
    "A_dilated": {"kernel_size": 3, "mask_type": "A", "dilation_rate": 2},
    "B_dilated": {"kernel_size": 5, "mask_type": "B", "dilation_rate": 2},
    "B_dilated_differently": {"kernel_size": 3, "mask_type": "B", "dilation_rate": (3, 1)},
    "A_groups": {"kernel_size": 3, "mask_type": "A", "channel_groups": 3},
    "B_groups": {"kernel_size": 3, "mask_type": "B", "channel_groups": 3},
    "B_tall": {"kernel_size": (5, 3), "mask_type": "B"},
    "A_flat": {"kernel_size": (1, 5), "mask_type": "A"},
    "B_column": {"kernel_size": (3, 1), "mask_type": "B"},
    "B_pointwise": {"kernel_size": 1, "mask_type": "B"},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def noisy(layer, shape, seed=0):
    layer.build(shape)
    for i, weight in enumerate(layer.weights):
        weight.assign(normal(weight.shape, seed + i, 0.3))
    return layer


def test_mask_by_hand():
    # A 3×3 kernel of ones over the grid 1, 2, 4, 8, …: each output names what it has added up.
    x = (2.0 ** np.arange(9)).reshape(1, 3, 3, 1).astype("float32")
    make = {"kernel_initializer": "ones", "use_bias": False}
    a = to_numpy(layers.MaskedConv2D(1, 3, "A", **make)(x))[0, ..., 0]
    b = to_numpy(layers.MaskedConv2D(1, 3, "B", **make)(x))[0, ..., 0]
    #   1   2   4      (0,0): nothing; (0,1): 1; (0,2): 2
    #   8  16  32      (1,0): 1+2; (1,1): 1+2+4+8; (1,2): 2+4+16
    #  64 128 256      (2,0): 8+16; (2,1): 8+16+32+64; (2,2): 16+32+128
    expected = np.array([[0, 1, 2], [3, 15, 22], [24, 120, 176]])
    np.testing.assert_array_equal(a, expected)
    np.testing.assert_array_equal(b, expected + x[0, ..., 0])


def test_channel_groups_by_hand():
    # Two inputs and outputs a group, at the centre: [from, to].
    mask_a = causal_kernel_mask((3, 3), 4, 4, "A", 2)[1, 1]
    mask_b = causal_kernel_mask((3, 3), 4, 4, "B", 2)[1, 1]
    np.testing.assert_array_equal(mask_a, [[0, 0, 1, 1], [0, 0, 1, 1], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(mask_b, [[1] * 4, [1] * 4, [0, 0, 1, 1], [0, 0, 1, 1]])
    # Away from the centre groups see each other.
    assert causal_kernel_mask((3, 3), 4, 4, "A", 2)[1, 0].all()
    assert not causal_kernel_mask((3, 3), 4, 4, "B", 2)[1, 2].any()


@each_option
def test_steps_equal_the_call(options):
    layer = noisy(layers.MaskedConv2D(6, **options), (None, 5, 7, 3))
    x = normal((2, 5, 7, 3), 9)
    # 1e-5: the order of a sum of at most 75 numbers of size 1 differs.
    np.testing.assert_allclose(layer_by_steps(layer, x), to_numpy(layer(x)), atol=1e-5)


@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_steps_inside_a_compiled_loop(mask_type):
    """Rows and columns are tensors there, and states must keep their shapes."""
    from keras_vqvae.compilation import CompiledFunction

    layer = noisy(layers.MaskedConv2D(4, 3, mask_type, dilation_rate=2), (None, 4, 5, 4))
    x = ops.convert_to_tensor(normal((2, 4, 5, 4), 9))

    def loop(x):
        def at(row, column, carry):
            y, state = carry
            here = ops.slice(x, (0, row, column, 0), (2, 1, 1, 4))[:, 0, 0]
            out, state = layer.step(here, state, row, column)
            return ops.slice_update(y, (0, row, column, 0), out[:, None, None]), state

        def whole_row(row, carry):
            carry = (carry[0], layer.start_row(carry[1], row))
            return ops.fori_loop(0, 5, lambda column, c: at(row, column, c), carry)

        carry = (ops.zeros((2, 4, 5, 4)), layer.initial_state(2, (4, 5)))
        return ops.fori_loop(0, 4, whole_row, carry)[0]

    result = CompiledFunction(loop, lambda: layer.variables)(x)
    np.testing.assert_allclose(to_numpy(result), to_numpy(layer(x)), atol=1e-5)


@pytest.mark.parametrize("name", ["A", "B", "A_wide", "B_dilated", "B_tall", "A_flat"])
def test_reaches_exactly_what_the_mask_says(name):
    options = OPTIONS[name]
    grid = (6, 7)
    layer = noisy(layers.MaskedConv2D(6, **options), (None, *grid, 3))
    kernel = layer.mask[..., 0, 0] > 0
    for position in [(0, 0), (2, 3), (5, 6), (3, 0)]:
        field = reached(layer, (1, *grid, 3), position)
        expected = composed([(kernel, layer.dilation_rate)], grid, position)
        np.testing.assert_array_equal(field, expected)
        allowed = before(grid, position, depth_open=options["mask_type"] == "B")
        assert not (field & ~allowed).any()


def test_masked_weights_get_no_gradient_and_the_others_do():
    layer = noisy(layers.MaskedConv2D(4, 3, "B", channel_groups=2), (None, 4, 4, 4))
    x = normal((2, 4, 4, 4), 5)
    _, (kernel, _) = gradients(lambda x: ops.sum(layer(x) ** 2), x, layer.trainable_variables)
    assert np.all(kernel[layer.mask == 0] == 0)
    assert np.all(kernel[layer.mask == 1] != 0)


def test_masked_weights_do_not_matter():
    layer = noisy(layers.MaskedConv2D(4, 3, "A"), (None, 4, 4, 3))
    x = normal((1, 4, 4, 3), 5)
    y = to_numpy(layer(x))
    layer.kernel.assign(np.where(layer.mask > 0, to_numpy(layer.kernel), 1e6))
    np.testing.assert_array_equal(to_numpy(layer(x)), y)
    np.testing.assert_allclose(layer_by_steps(layer, x), y, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    layer = layers.MaskedConv2D(4, 3, "B", dtype=policy)
    x = normal((2, 4, 4, 3), 5)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert layer.kernel.dtype == "float32"
    y = to_numpy(ops.cast(y, "float32"))
    # bfloat16 has 8 bits, so sums of size 1 differ by a few 2⁻⁸.
    np.testing.assert_allclose(layer_by_steps(layer, x), y, atol=0.05)


def test_round_trips(tmp_path):
    layer = layers.MaskedConv2D(
        6, (3, 5), "A", (2, 1), 3, activation="relu", kernel_regularizer="l2", name="conv"
    )
    config = layer.get_config()
    again = layers.MaskedConv2D.from_config(config)
    assert again.get_config() == config
    assert (again.mask_type, again.channel_groups, again.dilation_rate) == ("A", 3, (2, 1))
    model = keras.Sequential([keras.Input((5, 5, 3)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normal((2, 5, 5, 3))
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_type": "C"}, "`mask_type` should be 'A' or 'B'"),
        ({"mask_type": None}, "`mask_type` should be 'A' or 'B'"),
        ({"strides": 2}, "`strides` of a `MaskedConv2D` is 1"),
        ({"padding": "valid"}, "`padding` of a `MaskedConv2D` is 'same'"),
        ({"groups": 2}, "`groups` of a `MaskedConv2D` is 1"),
        ({"kernel_size": 4}, "`kernel_size` should be odd"),
        ({"kernel_size": (3, 2)}, "`kernel_size` should be odd"),
        ({"data_format": "channels_first"}, "`data_format` should be 'channels_last'"),
        ({"channel_groups": 4}, "`channel_groups` should be a positive divisor"),
        ({"channel_groups": 0}, "`channel_groups` should be a positive divisor"),
    ],
)
def test_refused_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        layers.MaskedConv2D(**{"filters": 6, "kernel_size": 3, "mask_type": "A", **options})


def test_harmless_forms_of_fixed_arguments_are_taken():
    layer = layers.MaskedConv2D(6, 3, "A", strides=(1, 1), padding="same", groups=1)
    assert layer.strides == (1, 1)


def test_input_channels_must_fit_the_groups():
    with pytest.raises(ValueError, match="divisible by channel_groups=3"):
        layers.MaskedConv2D(6, 3, "A", channel_groups=3)(np.zeros((1, 4, 4, 4), "float32"))


def test_compiles_and_trains_in_a_sequential_model():
    model = keras.Sequential(
        [layers.MaskedConv2D(8, 3, "A", activation="relu"), layers.MaskedConv2D(1, 3, "B")]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x = normal((32, 5, 5, 1), 1)
    target = np.concatenate([np.zeros((32, 5, 1, 1)), x[:, :, :-1]], axis=2)  # the one to the left
    first = model.train_on_batch(x, target)
    for _ in range(60):
        last = model.train_on_batch(x, target)
    assert last < 0.2 * first
