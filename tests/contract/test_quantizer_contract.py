"""What every quantizer keeps to: codes, masks, ranks, losses, statistics."""

import keras
import numpy as np
import pytest
from case_types import by_name, marked
from quantizer_cases import QUANTIZERS
from support import gradients, normal, same_bits, to_numpy, values_of

from keras_vqvae import layers

# They compute their codes.
NO_TABLE = (
    layers.BinarySphericalQuantizer,
    layers.FiniteScalarPerturbation,
    layers.FiniteScalarQuantizer,
    layers.LookupFreeQuantizer,
    layers.ResidualFiniteScalarQuantizer,
)
each_quantizer = pytest.mark.parametrize("case", marked(QUANTIZERS), ids=by_name)
each_class = pytest.mark.parametrize("case", [c for c in QUANTIZERS if not c.option], ids=by_name)


def trained(case, **kwargs):
    """A quantizer that has seen a training batch."""
    layer = case.make(**kwargs)
    layer(case.inputs(0), training=True)
    return layer


def built(case):
    """A built quantizer; two of them are equal to the last bit."""
    keras.utils.set_random_seed(0)
    layer = case.make()
    layer.build((None, case.dim))
    return layer


def losses_of(output):
    return {name: float(value) for name, value in output.losses.items()}


@each_class
@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 2), (1, 2, 3, 2)], ids=["BTD", "BHWD", "BTHWD"])
def test_any_rank_is_the_flat_computation(case, shape):
    x = normal((*shape, case.dim))
    layer = trained(case)
    out = layer.discretize(x)
    flat = layer.discretize(x.reshape(-1, case.dim))
    indices = to_numpy(flat.indices)
    assert tuple(out.quantized.shape) == x.shape
    assert tuple(out.indices.shape) == shape + indices.shape[1:]
    np.testing.assert_array_equal(to_numpy(out.indices).reshape(indices.shape), indices)
    np.testing.assert_array_equal(
        to_numpy(out.quantized).reshape(-1, case.dim), to_numpy(flat.quantized)
    )
    assert losses_of(out) == losses_of(flat)


@each_quantizer
def test_decode_of_encode_is_discretize_to_the_last_bit(case):
    """Trap 9. The output of evaluation is the decoding of its indices."""
    layer = trained(case)
    x = case.inputs(1)
    out = layer.discretize(x, training=False)
    np.testing.assert_array_equal(to_numpy(layer.encode(x)), to_numpy(out.indices))
    np.testing.assert_array_equal(to_numpy(layer.decode(layer.encode(x))), to_numpy(out.quantized))
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(out.quantized))
    assert keras.backend.standardize_dtype(out.indices.dtype) == "int32"


@each_class
def test_call_wires_discretize_to_keras(case):
    layer = trained(case)
    x = case.inputs(1)
    out = layer.discretize(x)
    quantized, indices = layer(x, return_indices=True)
    np.testing.assert_array_equal(to_numpy(quantized), to_numpy(out.quantized))
    np.testing.assert_array_equal(to_numpy(indices), to_numpy(out.indices))
    assert tuple(out.losses) == layer.loss_names
    assert [float(loss) for loss in layer.losses] == [float(v) for v in out.losses.values()]


@each_class
def test_symbolic_indices_have_the_eager_shape(case):
    x = case.inputs(0)
    z = keras.Input(x.shape[1:])
    quantized, indices = case.make()(z, return_indices=True)
    _, eager = case.make()(x, return_indices=True)
    assert tuple(indices.shape[1:]) == tuple(eager.shape[1:])
    assert (indices.dtype, tuple(quantized.shape[1:])) == ("int32", x.shape[1:])
    model = keras.Model(z, [quantized, indices])
    np.testing.assert_array_equal(to_numpy(model(x)[1]), to_numpy(model.layers[-1].encode(x)))


@each_class
def test_no_index_beyond_the_table_and_minus_one_decodes_to_zeros(case):
    layer = trained(case)
    indices = to_numpy(layer.encode(case.inputs(1)))
    assert indices.min() >= 0
    assert (indices < np.array(layer.table_sizes)).all()
    dropped = np.full_like(indices, -1)
    assert not to_numpy(layer.decode(dropped)).any()


@each_class
def test_encode_builds_lazily(case):
    layer = case.make()
    assert tuple(layer.encode(case.inputs(0)).shape) == layer.indices_shape(case.inputs(0).shape)
    assert layer.built


@each_quantizer
def test_before_it_is_built_an_error_says_what_to_do(case):
    layer, x = case.make(), case.inputs(0)
    calls = [lambda: layer.discretize(x, training=True), lambda: layer.decode([0])]
    if not isinstance(layer, NO_TABLE):
        calls.append(lambda: layer.discretize(x))
    for call in calls:
        with pytest.raises(ValueError, match=rf"'{layer.name}' is not built yet\. Call it, or"):
            call()


@pytest.mark.parametrize("case", [c for c in QUANTIZERS if c.covers[0] in NO_TABLE], ids=by_name)
def test_codes_that_are_computed_need_no_build(case):
    layer, x = case.make(), case.inputs(0)
    before = layer.discretize(x)
    layer.build(x.shape)
    after = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(before.quantized), to_numpy(after.quantized))
    np.testing.assert_array_equal(to_numpy(before.indices), to_numpy(after.indices))


@each_class
def test_symbols_are_refused_with_the_remedy(case):
    layer = trained(case)
    with pytest.raises(TypeError, match=r"layers\.CodeIndices\(quantizer\)"):
        layer.encode(keras.Input((2, case.dim)))
    with pytest.raises(TypeError, match=r"layers\.CodeLookup\(quantizer\)"):
        layer.decode(keras.Input((2,), dtype="int32"))


@each_class
def test_indices_are_checked(case):
    layer = trained(case)
    good = to_numpy(layer.encode(case.inputs(0)))
    for bad in (-2, max(layer.table_sizes), 2**32 + 1):
        with pytest.raises(ValueError, match=r"`indices.*should be in \[0, "):
            layer.decode(np.full_like(good, bad, dtype="int64"))
    with pytest.raises(TypeError, match="integers"):
        layer.decode(good.astype("float32"))


# -- masks ----------------------------------------------------------------------------------------

MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1]], bool)


def masked_batch(case, padding, seed=0):
    x = normal((*MASK.shape, case.dim), seed)
    x[~MASK] = padding
    return x


# Of the options, those whose vectors are normalised or projected before they are compared.
_OTHER_SPACES = {"vq_cosine", "vq_cosine_ema_kmeans", "projected_heads"}


@pytest.mark.parametrize(
    "case", [c for c in QUANTIZERS if not c.option or c.name in _OTHER_SPACES], ids=by_name
)
def test_an_all_true_mask_is_no_mask(case):
    """Trap 12. Neither for plain quantizers nor for cosine, projections and heads."""
    layers = [built(case), built(case)]
    for seed in range(2):
        x = normal((3, 4, case.dim), seed)
        keras.utils.set_random_seed(seed)
        plain = layers[0].discretize(x, training=True)
        keras.utils.set_random_seed(seed)
        masked = layers[1].discretize(x, training=True, mask=np.ones((3, 4), bool))
        np.testing.assert_array_equal(to_numpy(plain.indices), to_numpy(masked.indices))
        # Sums in another order differ in the last bits of float32, hence 1e-6.
        np.testing.assert_allclose(
            to_numpy(plain.quantized), to_numpy(masked.quantized), rtol=1e-6, atol=1e-6
        )
        assert losses_of(plain) == pytest.approx(losses_of(masked), rel=1e-5)
    for a, b in zip(values_of(layers[0]), values_of(layers[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@each_quantizer
@pytest.mark.parametrize("padding", [1e3, np.nan])
def test_padding_content_changes_nothing(case, padding):
    """Trap 12. Neither outputs nor losses nor weights see what padding holds, NaN included."""
    # Two steps: the first one initialises, the second may revive codes.
    layers = [built(case), built(case)]
    values = [v for layer in layers for v in layer.variables]
    for seed in range(2):
        outputs = [
            layer.discretize(masked_batch(case, content, seed), training=True, mask=MASK)
            for layer, content in zip(layers, (0.0, padding), strict=True)
        ]
        assert losses_of(outputs[0]) == losses_of(outputs[1])
        for name in ("quantized", "indices"):
            a, b = (to_numpy(getattr(out, name)) for out in outputs)
            np.testing.assert_array_equal(a, b)
    assert same_bits(values_of(layers[0]), values_of(layers[1]))
    assert all(np.isfinite(to_numpy(v)).all() for v in values if "float" in str(v.dtype))


@each_class
def test_padding_has_no_gradient_and_takes_none(case):
    layer = built(case)
    layer.discretize(masked_batch(case, 0.0), training=True, mask=MASK)

    def loss(x):
        out = layer.discretize(x, mask=MASK)
        return keras.ops.sum(out.quantized) + sum(out.losses.values())

    for content in (0.0, np.nan):
        by_x, by_weights = gradients(loss, masked_batch(case, content), layer.trainable_variables)
        assert np.isfinite(by_x).all()
        assert not by_x[~MASK].any()
        assert by_x[MASK].any()
        assert all(np.isfinite(g).all() for g in by_weights)


@each_quantizer
def test_masked_positions_get_zeros_and_minus_one(case):
    out = built(case).discretize(masked_batch(case, np.nan), mask=MASK)
    assert (to_numpy(out.indices)[~MASK] == -1).all()
    assert (to_numpy(out.indices)[MASK] >= 0).all()
    assert not to_numpy(out.quantized)[~MASK].any()


# One that draws has other draws for a batch of another shape.
@pytest.mark.parametrize("case", marked([c for c in QUANTIZERS if not c.draws]), ids=by_name)
def test_a_masked_step_is_the_step_on_the_valid_rows(case):
    masked, plain = built(case), built(case)
    for seed in range(2):
        x = masked_batch(case, 7.0, seed)
        with_mask = masked.discretize(x, training=True, mask=MASK)
        without = plain.discretize(x[MASK], training=True)
        # The same sums in another order: the last bits of float32.
        assert losses_of(with_mask) == pytest.approx(losses_of(without), rel=1e-5)
        np.testing.assert_array_equal(to_numpy(with_mask.indices)[MASK], to_numpy(without.indices))
    for a, b in zip(values_of(masked), values_of(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@each_quantizer
def test_a_wholly_masked_batch_changes_nothing_and_costs_nothing(case):
    layer = built(case)
    before = [to_numpy(w) for w in layer.weights]  # generators may advance, weights may not
    x = normal((*MASK.shape, case.dim))
    out = layer.discretize(x, training=True, mask=np.zeros_like(MASK))
    assert set(losses_of(out).values()) <= {0.0}
    assert (to_numpy(out.indices) == -1).all()
    assert same_bits([to_numpy(w) for w in layer.weights], before)


@each_class
def test_a_keras_mask_reaches_the_quantizer_and_passes_on(case):
    masking = keras.layers.Masking(mask_value=0.0)
    x = masked_batch(case, 0.0)
    layer = case.make()
    inputs = keras.Input(x.shape[1:])
    outputs = layer(masking(inputs), return_indices=True)
    indices = to_numpy(keras.Model(inputs, outputs)(x)[1])
    for column in np.moveaxis(indices.reshape(*MASK.shape, -1), -1, 0):
        np.testing.assert_array_equal(column == -1, ~MASK)
    embedded = layer(masking(x))
    np.testing.assert_array_equal(to_numpy(embedded._keras_mask), MASK)


# -- evaluation, dtypes, bad data ----------------------------------------------------------------


@each_quantizer
def test_trap_9_evaluation_is_exact_and_changes_no_variable(case):
    layer = trained(case)
    before = values_of(layer)
    x = case.inputs(1)
    first, second = layer.discretize(x), layer.discretize(x)
    for name in ("quantized", "indices"):
        a, b = (to_numpy(getattr(out, name)) for out in (first, second))
        np.testing.assert_array_equal(a, b)
    assert losses_of(first) == losses_of(second)
    layer.encode(x), layer.decode(first.indices)
    assert same_bits(values_of(layer), before)


@each_quantizer
def test_losses_are_there_in_evaluation_and_are_those_of_training(case):
    layer = trained(case)
    x = case.inputs(1)
    evaluation = losses_of(layer.discretize(x, training=False))
    training = losses_of(layer.discretize(x, training=True))
    assert evaluation.keys() == training.keys()
    if case.same_search:
        assert evaluation == training
    # An entropy loss is a difference, and may well be negative (trap 17).
    assert all(value > 0 for name, value in evaluation.items() if name != "entropy_loss")


@each_class
@pytest.mark.parametrize("policy", ["mixed_float16"])
def test_trap_14_mixed_precision_chooses_the_same_codes(case, policy):
    # Norms of about 1000: ‖x‖² overflows in float16, and bfloat16 cannot tell the codes apart.
    x = normal((64, case.dim), scale=600.0)
    x = to_numpy(keras.ops.cast(keras.ops.cast(x, policy.removeprefix("mixed_")), "float32"))
    full, mixed = case.make(), case.make(dtype=policy)
    for layer in (full, mixed):
        layer.build(x.shape)
        for variable in (v for v in layer.variables if v.name == "embeddings"):
            variable.assign(normal(variable.shape, seed=1, scale=600.0))
    quantized, indices = mixed(x, return_indices=True)
    np.testing.assert_array_equal(to_numpy(indices), to_numpy(full(x, return_indices=True)[1]))
    assert keras.backend.standardize_dtype(quantized.dtype) == mixed.compute_dtype
    for a, b in zip(full.losses, mixed.losses, strict=True):
        assert float(a) == float(b)  # float32 in both; infinite if it were float16
    assert np.isfinite([float(b) for b in mixed.losses]).all()


def not_finite(case):
    x = case.inputs(1)
    x[0, 0, 0] = np.nan
    return x


@each_quantizer
def test_a_batch_that_is_not_finite_is_refused_and_leaves_all_weights_finite(case):
    layer, x = trained(case), not_finite(case)
    before = to_numpy(layer.code_counts)
    indices = to_numpy(layer(x, training=True, return_indices=True)[1])
    assert all(np.isfinite(to_numpy(w)).all() for w in layer.weights)
    np.testing.assert_array_equal(to_numpy(layer.code_counts), before)
    refused = [to_numpy(w) for w in layer.weights if w.name == "refused_batches"]
    assert refused
    assert all(count == 1 for count in refused)
    assert (indices < np.array(layer.table_sizes)).all()
    assert indices.min() >= 0
    fresh = built(case)  # ... nor may it be what a table starts from
    fresh(x, training=True)
    assert all(np.isfinite(to_numpy(w)).all() for w in fresh.weights)


@each_class
def test_a_batch_that_is_not_finite_gives_no_table_a_gradient_that_is_not(case):
    layer, weights = trained(case), normal(case.inputs(1).shape, 5)
    tables = [v for v in layer.trainable_variables if "codebook" in v.path]

    def loss(x):
        out = layer.discretize(x, training=True)
        # What follows sees the output, and hands on a gradient that is not finite where it is not.
        return keras.ops.sum(out.quantized**2 * weights) + sum(out.losses.values())

    _, by_tables = gradients(loss, not_finite(case), tables)
    assert all(np.isfinite(g).all() for g in by_tables)


@each_quantizer
def test_an_empty_batch_costs_nothing(case):
    layer = trained(case)
    out = layer.discretize(np.zeros((0, 2, case.dim), "float32"), training=True)
    assert set(losses_of(out).values()) <= {0.0}
    assert tuple(out.quantized.shape) == (0, 2, case.dim)
    assert all(np.isfinite(v).all() for v in values_of(layer))


@each_quantizer
def test_trap_20_a_frozen_quantizer_is_frozen_too_where_it_was_loaded(case):
    """Keras sets the flag before there are layers in the quantizer to hand it on to."""
    config = {**case.make().get_config(), "trainable": False}
    layer = type(case.make()).from_config(config)
    layer.build((None, case.dim))
    assert not any(w.trainable for w in layer.weights)
    before = [to_numpy(w) for w in layer.weights]
    layer(case.inputs(0), training=True)
    assert same_bits([to_numpy(w) for w in layer.weights], before)
    layer.trainable = True
    layer(case.inputs(0), training=True)
    counts = to_numpy(layer.code_counts)
    assert counts.sum() > 0


@pytest.fixture
def double_precision():
    """float64 as what Keras makes arrays and weights of, unless it is told otherwise."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


@each_quantizer
@pytest.mark.usefixtures("double_precision")
# JAX has no float64 unless it is asked for, and says so of what Keras makes of NumPy arrays.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64:UserWarning")
def test_the_arithmetic_is_float32_whatever_the_default_is(case):
    layer = case.make()
    for _ in range(2):
        out = (
            layer.discretize(case.inputs(0), training=True)
            if layer.built
            else layer(case.inputs(0), training=True)
        )
    assert keras.backend.standardize_dtype(out.codes.dtype) == "float32"
    dtypes = {keras.backend.standardize_dtype(v.dtype) for v in out.losses.values()}
    assert dtypes <= {"float32"}
    layer.discretize(np.zeros((0, 2, case.dim), "float32"), training=True)


@each_class
def test_vectors_of_another_length_are_refused_after_the_build_too(case):
    layer, wrong = trained(case), normal((2, 3, case.dim + 1))
    for call in (layer.discretize, layer.encode, layer):
        with pytest.raises(ValueError, match=rf"vectors of length {case.dim} on the last axis"):
            call(wrong)


@each_class
def test_integers_are_quantized_as_numbers(case):
    x = np.array([[3, 0, 1, 2]])[:, : case.dim]
    layer = trained(case)
    out, same = layer.discretize(x), layer.discretize(x.astype("float32"))
    assert keras.backend.standardize_dtype(out.quantized.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(out.quantized), to_numpy(same.quantized))
    half = case.make(dtype="mixed_float16")
    half.build((None, case.dim))
    assert keras.backend.standardize_dtype(half(x).dtype) == "float16"


@each_quantizer
def test_what_a_quantizer_says_of_itself(case):
    layer = trained(case)
    assert layer.uniform_bits_per_code == pytest.approx(np.mean(np.log2(layer.table_sizes)))
    assert all(isinstance(n, int) for n in layer.codebook_shape)
    counts = to_numpy(layer.code_counts)
    assert counts.sum() == to_numpy(layer.encode(case.inputs(0))).size
