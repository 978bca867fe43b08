"""What every layer of the package keeps to, as a layer of Keras."""

import keras
import numpy as np
import pytest
from case_types import by_name, keras_model, marked
from contract_cases import LAYERS
from support import same_bits, to_numpy, values_of

each_layer = pytest.mark.parametrize("case", marked(LAYERS), ids=by_name)
each_class = pytest.mark.parametrize(
    "case", [c for c in LAYERS if not getattr(c, "option", False)], ids=by_name
)


@each_layer
def test_config_round_trip(case):
    layer = case.make()
    layer(case.inputs(0))
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert [w.shape for w in again.weights] == []  # not built: a config holds no weights
    again(case.inputs(0))
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    if config.get("seed") is not None and config.get("embeddings_initializer") == "uniform":
        assert same_bits(values_of(again), values_of(layer))  # one seed, one start


@each_layer
def test_keras_round_trip_gives_equal_outputs(case, tmp_path):
    model = keras_model(case)
    x = case.inputs(0)
    model.layers[-1](x, training=True)  # so that state which training makes is saved too
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")  # safe mode is the default
    assert same_bits(values_of(again), values_of(model))
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))


@each_class
def test_symbolic_shape_and_dtype_are_the_eager_ones(case):
    x = case.inputs(0)
    eager = case.output(case.make()(x))
    symbolic = case.output(case.make()(keras.Input(batch_shape=x.shape, dtype=str(x.dtype))))
    assert tuple(symbolic.shape) == tuple(eager.shape)
    assert symbolic.dtype == keras.backend.standardize_dtype(eager.dtype)
    shape = case.output(case.make().compute_output_shape(x.shape))
    assert tuple(shape) == tuple(eager.shape)


def train_a_step(model, x, xla):
    """One compiled step; a gradient reaches the layer before those under test, and is finite.

    A commitment loss is enough for that: `test_gradient_estimators.py` has the way back itself.
    """
    y = np.zeros(model(x).shape, "float32")
    before = values_of(model.layers[1])
    # Without XLA, JAX would compile nothing at all.
    model.compile("sgd", "mse", jit_compile=xla or keras.backend.backend() == "jax")
    logs = model.train_on_batch(x, y, return_dict=True)
    assert np.isfinite(logs["loss"])
    assert not same_bits(values_of(model.layers[1]), before)
    assert all(np.isfinite(value).all() for value in values_of(model))


# They put together, or leave out, what other cases have: XLA knows their operations from there.
NOTHING_NEW_TO_XLA = {
    "fsq_symmetric",
    "grouped_rvq",
    "projected_ema_kmeans",
    "rvq_ema_kmeans_revival",
    "rvq_shared_ema_dropout",
    "vq_cosine_ema_kmeans",
    "vq_ema",
    "vq_frozen",
    "vq_gradient_kmeans_revival",
}


@pytest.mark.parametrize("case", marked(LAYERS, pytest.mark.slow), ids=by_name)
def test_fits(case):
    """Compiled once: the trace is the same with XLA and without, but XLA takes not all of it."""
    train_a_step(keras_model(case), case.inputs(0), xla=case.name not in NOTHING_NEW_TO_XLA)


def test_the_cases_without_xla_are_there():
    assert {case.name for case in LAYERS} >= NOTHING_NEW_TO_XLA


@each_class
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_dtype_policies(case, policy):
    layer = case.make(dtype=policy)
    for training in (True, False):
        out = case.output(layer(case.inputs(0), training=training))
        assert keras.backend.standardize_dtype(out.dtype) == layer.compute_dtype
        assert np.isfinite(to_numpy(keras.ops.cast(out, "float32"))).all()
    for weight in layer.weights:  # nothing that learns or counts is rounded to 16 bits
        assert weight.dtype == "float32" or "seed_generator" in weight.path, weight.path
    for loss in layer.losses:
        assert keras.backend.standardize_dtype(loss.dtype) == "float32"


@each_class
def test_evaluation_repeats_bit_for_bit_and_changes_nothing(case):
    layer = case.make()
    x = case.inputs(0)
    layer(x, training=True)
    before = values_of(layer)
    first, second = case.output(layer(x, training=False)), case.output(layer(x))
    np.testing.assert_array_equal(to_numpy(first), to_numpy(second))
    assert same_bits(values_of(layer), before)
