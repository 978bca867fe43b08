"""GatedMaskedConv2D: the formula by hand, no blind spot, and steps equal to the whole grid."""

import keras
import numpy as np
import pytest
from causal_support import before, reached, scale_weights
from keras import ops
from support import normal, to_numpy

from keras_vqvae import layers

GRID = (5, 6)


def chain(*sizes, condition=False, **options):
    """A layer of mask A and then one of mask B for each further kernel size, with noisy weights."""
    made = [layers.GatedMaskedConv2D(4, sizes[0], "A", **options)]
    made += [layers.GatedMaskedConv2D(4, size, "B", **options) for size in sizes[1:]]
    shape = (None, *GRID, 3)
    for i, layer in enumerate(made):
        layer.build(shape, (None, None, None, 2) if condition else None)
        shape = layer.compute_output_shape(shape)
        scale_weights(layer, 1.0, seed=i)
    return made


def whole(made, x, condition=None):
    for layer in made:
        x = layer(x, condition=condition)
    return x


def by_steps(made, x, condition=None):
    """Vertical and horizontal outputs: by rows, and by positions."""
    batch, height, width, _ = x.shape
    states = [layer.initial_state(batch, (height, width)) for layer in made]
    vertical, horizontal = [], []
    for row in range(height):
        row_condition = None
        if condition is not None:
            row_condition = condition[:, row if condition.shape[1] > 1 else 0]
        for i, layer in enumerate(made):
            above = states[i - 1]["vertical"] if i else None
            states[i] = layer.start_row(states[i], row, above, row_condition)
        vertical.append(to_numpy(states[-1]["vertical"]))
        for column in range(width):
            y = made[0].read(states[0], row, column)
            for i, layer in enumerate(made[1:], 1):
                y, states[i] = layer.step(y, states[i], row, column)
            horizontal.append(to_numpy(y))
            here = ops.convert_to_tensor(x[:, row, column])
            states[0] = made[0].write(here, states[0], row, column)
    horizontal = np.stack(horizontal, 1).reshape(batch, height, width, -1)
    return np.stack(vertical, 1), horizontal


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_first_layer_by_hand():
    """One channel, kernels of ones: sums of the row above and of the left neighbour."""
    layer = layers.GatedMaskedConv2D(1, 3, "A", kernel_initializer="ones")
    x = normal((1, 4, 5, 1))
    vertical, horizontal = layer(x)
    grid = np.pad(x[0, ..., 0], [(1, 0), (1, 1)])
    above = grid[:-1, :-2] + grid[:-1, 1:-1] + grid[:-1, 2:]
    left = grid[1:, :-2]
    # The 1×1 kernel of ones from the vertical stack's two maps adds both.
    h = left + 2 * above
    np.testing.assert_allclose(
        to_numpy(vertical)[0, ..., 0], np.tanh(above) * sigmoid(above), atol=1e-6
    )
    np.testing.assert_allclose(to_numpy(horizontal)[0, ..., 0], np.tanh(h) * sigmoid(h), atol=1e-6)


def test_later_layer_by_hand():
    layer = layers.GatedMaskedConv2D(1, 3, "B", kernel_initializer="ones")
    v, h = normal((1, 4, 5, 1), 0), normal((1, 4, 5, 1), 1)
    vertical, horizontal = layer((v, h))
    padded = np.pad(v[0, ..., 0], [(1, 0), (1, 1)])
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    above = rows[:-1] + rows[1:]
    before_here = np.pad(h[0, ..., 0], [(0, 0), (1, 0)])
    sums = before_here[:, :-1] + before_here[:, 1:] + 2 * above
    expected = h[0, ..., 0] + np.tanh(sums) * sigmoid(sums)
    np.testing.assert_allclose(
        to_numpy(vertical)[0, ..., 0], np.tanh(above) * sigmoid(above), atol=1e-6
    )
    np.testing.assert_allclose(to_numpy(horizontal)[0, ..., 0], expected, atol=1e-6)


CHAINS = {
    "first": ((5,), {}),
    "two": ((3, 3), {}),
    "three_wide": ((7, 3, 5), {}),
    "dilated": ((3, 3, 3), {"dilation_rate": 2}),
    "dilated_differently": ((5, 3), {"dilation_rate": (1, 3)}),
    "rectangular": (((3, 5), (5, 3)), {}),
    "not_residual": ((3, 3), {"residual": False}),
}


@pytest.mark.parametrize(("sizes", "options"), CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("condition", [None, (1, 1), GRID], ids=["plain", "vector", "grid"])
def test_steps_equal_the_call(sizes, options, condition):
    made = chain(*sizes, condition=condition is not None, **options)
    x = normal((2, *GRID, 3), 7)
    condition = None if condition is None else normal((2, *condition, 2), 8)
    v, h = whole(made, x, condition)
    by_rows, by_positions = by_steps(made, x, condition)
    np.testing.assert_allclose(by_rows, to_numpy(v), atol=1e-5)
    np.testing.assert_allclose(by_positions, to_numpy(h), atol=1e-5)


def test_condition_moves_both_stacks():
    made = chain(3, 3, condition=True)
    x = normal((1, *GRID, 3), 7)
    c = normal((1, 1, 1, 2), 8)
    plain, moved = whole(made, x, 0 * c), whole(made, x, c)
    for a, b in zip(plain, moved, strict=True):
        assert (np.abs(to_numpy(a) - to_numpy(b)).max(axis=-1) > 1e-4).all()


def test_receptive_field_by_hand():
    """A 3×3 layer of mask A and one of mask B, from (3, 3).

    Row 3: the first layer looks one to the left, the second another. Above: the second's vertical
    stack looks at rows 2 and 3 of the first's within one column, and that one row up within one
    more. So rows 1 and 2, columns 1 to 5.
    """
    made = chain(3, 3)
    field = reached(lambda x: whole(made, x)[1], (1, *GRID, 3), (3, 3))
    expected = np.zeros(GRID, bool)
    expected[3, 1:3] = True
    expected[1:3, 1:6] = True
    np.testing.assert_array_equal(field, expected)


@pytest.mark.parametrize("position", [(0, 0), (2, 0), (2, 3), (4, 5)])
def test_no_blind_spot_and_no_leak(position):
    made = chain(3, 3, 3, 3, 3, 3)
    field = reached(lambda x: whole(made, x)[1], (1, *GRID, 3), position)
    np.testing.assert_array_equal(field, before(GRID, position))
    rows_above = np.arange(GRID[0])[:, None] < position[0]
    field = reached(lambda x: whole(made, x)[0], (1, *GRID, 3), position)
    np.testing.assert_array_equal(field, np.broadcast_to(rows_above, GRID))


@pytest.mark.parametrize("initializer", ["glorot_uniform", keras.initializers.HeNormal(seed=3)])
def test_kernels_start_from_other_numbers(initializer):
    """One initializer gives all that it is called for the same stream."""
    layer = layers.GatedMaskedConv2D(4, 3, "B", kernel_initializer=initializer)
    layer.build([(None, 3, 4, 4), (None, 3, 4, 4)], (None, None, None, 4))
    kernels = [to_numpy(w).ravel() for w in layer.weights if "bias" not in w.name]
    assert len(kernels) == 5
    for i, one in enumerate(kernels):
        for other in kernels[:i]:
            n = min(len(one), len(other))
            assert abs(np.corrcoef(one[:n], other[:n])[0, 1]) < 0.9


def test_an_initializer_without_a_config_of_its_own_is_taken_as_it_is():
    class Scaled(keras.initializers.Initializer):
        def __init__(self, scale=1.0):
            self.scale = scale

        def __call__(self, shape, dtype=None):
            return keras.ops.full(shape, self.scale, dtype)

    layer = layers.GatedMaskedConv2D(4, 3, "B", kernel_initializer=Scaled(0.5))
    layer.build([(None, 3, 4, 4), (None, 3, 4, 4)])
    kernels = [to_numpy(w) for w in layer.weights if "bias" not in w.name]
    assert all((kernel == 0.5).all() for kernel in kernels)


def test_dropout_in_training_only():
    layer = layers.GatedMaskedConv2D(8, 3, "B", dropout=0.5, residual=False)
    pair = (normal((1, *GRID, 8), 0), normal((1, *GRID, 8), 1))
    a, b = (to_numpy(layer(pair, training=True)[1]) for _ in range(2))
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(to_numpy(layer(pair)[1]), to_numpy(layer(pair)[1]))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    layer = layers.GatedMaskedConv2D(4, 3, "A", dtype=policy)
    for y in layer(normal((2, *GRID, 3))):
        assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert layer.vertical_kernel.dtype == "float32"


def test_round_trips(tmp_path):
    inputs, condition = keras.Input((*GRID, 3)), keras.Input((1, 1, 2))
    first = layers.GatedMaskedConv2D(
        4, (3, 5), "A", (1, 2), kernel_initializer="he_normal", name="first"
    )
    second = layers.GatedMaskedConv2D(4, 3, "B", residual=False, dropout=0.25, name="second")
    outputs = second(first(inputs, condition=condition))
    model = keras.Model([inputs, condition], outputs)
    for layer in (first, second):
        again = layers.GatedMaskedConv2D.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
    assert (first.kernel_size, first.dilation_rate) == ((3, 5), (1, 2))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = [normal((2, *GRID, 3)), normal((2, 1, 1, 2))]
    for a, b in zip(loaded(x), model(x), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_type": "C"}, "`mask_type` should be 'A' or 'B'"),
        ({"kernel_size": 4}, "`kernel_size` should be odd and at least 3"),
        ({"kernel_size": 1}, "`kernel_size` should be odd and at least 3"),
        ({"kernel_size": (3, 1)}, "`kernel_size` should be odd and at least 3"),
        ({"kernel_size": 3.5}, "`kernel_size` should be a positive integer"),
        ({"filters": 0}, "`filters` should be a positive integer"),
        ({"filters": 4.5}, "`filters` should be a positive integer"),
        ({"filters": "4"}, "`filters` should be a positive integer"),
        ({"dilation_rate": 0}, "`dilation_rate` should be a positive integer"),
        ({"dilation_rate": (1, 2, 3)}, "`dilation_rate` should be a positive integer"),
        ({"dropout": 1.0}, "`dropout` should be in"),
    ],
)
def test_refused_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        layers.GatedMaskedConv2D(**{"filters": 4, "kernel_size": 3, **options})


def test_sizes_may_be_numpys():
    layer = layers.GatedMaskedConv2D(np.int64(4), np.int64(3), dilation_rate=np.int64(2))
    assert (layer.filters, layer.kernel_size, layer.dilation_rate) == (4, (3, 3), (2, 2))


def test_the_first_call_settles_whether_there_is_a_condition():
    x, condition = normal((1, *GRID, 3)), normal((1, 1, 1, 2))
    for first, then, message in (
        (None, condition, "is called with a condition, and was built without one"),
        (condition, None, "is called without a condition, and was built with one"),
    ):
        layer = layers.GatedMaskedConv2D(4, 3, "A")
        layer(x, condition=first)
        with pytest.raises(ValueError, match=message):
            layer(x, condition=then)


def test_refused_inputs():
    x = normal((1, *GRID, 3))
    with pytest.raises(ValueError, match=r"expects grids \(batch, height, width, channels\)"):
        layers.GatedMaskedConv2D(4, 3, "A")(x[0])
    with pytest.raises(ValueError, match="has mask A and takes one tensor"):
        layers.GatedMaskedConv2D(4, 3, "A")([x, x])
    with pytest.raises(ValueError, match=r"has mask B and takes the pair \(vertical, horizontal\)"):
        layers.GatedMaskedConv2D(4, 3, "B")(x)
