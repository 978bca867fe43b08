"""What every model keeps to: training, evaluation, saving, resuming."""

import copy

import keras
import numpy as np
import pytest
from case_types import by_name
from model_cases import COMPOSITES, MODELS
from support import same_bits, to_numpy, values_of

each_model = pytest.mark.parametrize("case", MODELS, ids=by_name)

# The step of each network is compiled by XLA: the VQ-VAE of a gradient table differs in the
# quantizer alone, and quantizers have `test_fits` of their own. All priors have one step, and
# `test_prior_training.py` trains each of them as a plain graph.
_AS_A_GRAPH = {"autoencoder", "vae", "vqvae_gradient", "vqvae_ema", "pixelcnn"}
# By XLA they take five seconds and more each; their layers are compiled in the layers' own tests.
_LONG = {"autoencoder", "vae", "gated_pixelcnn", "pixelsnail", "transformer_prior"}
COMPILED = [
    pytest.param(
        case,
        xla,
        id=f"{case.name}-{'xla' if xla else 'graph'}",
        marks=[pytest.mark.slow] if xla and case.name in _LONG else [],
    )
    for case in MODELS
    for xla in (False, True)
    if (case.name != "vqvae_gradient" if xla else case.name in _AS_A_GRAPH)
]


def compiled(case, **kwargs):
    """A model ready for training: eagerly, which takes a tenth of the time of tracing."""
    model = case.make()
    model.compile("adam", **{"run_eagerly": True, **kwargs})
    return model


def fit(model, case, seed=0, **kwargs):
    options = {"batch_size": 4, "verbose": 0, "shuffle": False, **kwargs}
    return model.fit(case.data(8, seed), **options).history


@each_model
def test_config_round_trip(case):
    model = case.make()
    config = model.get_config()
    # A copy, because Keras's `Functional.from_config` empties what it is given.
    again = type(model).from_config(copy.deepcopy(config))
    assert again.get_config() == config


@each_model
def test_summary_names_every_layer_and_shape(case):
    model = case.make()
    if not model.built:
        model(case.data(2, 0))
    lines = []
    model.summary(print_fn=lines.append, expand_nested=True)
    text = "\n".join(lines)
    assert f"{model.count_params():,}" in text
    assert "?" not in text  # Keras's sign for a shape that a layer does not tell
    assert all(layer.name[:8] in text for layer in model.layers)


@pytest.mark.parametrize(("case", "jit_compile"), COMPILED)
def test_fits_compiled(case, jit_compile):
    model = case.make()
    # Without XLA, JAX would compile nothing at all.
    jit_compile = jit_compile or keras.backend.backend() == "jax"
    model.compile(keras.optimizers.Adam(0.01), jit_compile=jit_compile)
    data = case.data(4, 0)
    logs = model.fit(data, validation_data=data, batch_size=4, epochs=6, verbose=0).history
    for name in case.loss_terms:
        assert np.isfinite(logs[name]).all(), name
        assert np.isfinite(logs[f"val_{name}"]).all(), name
    assert min(logs["gradient_norm"]) > 0
    assert "val_gradient_norm" not in logs
    assert logs["loss"][-1] < logs["loss"][0]
    # Evaluation again is validation again, to the last bit.
    again = model.evaluate(data, batch_size=4, verbose=0, return_dict=True)
    assert again == {name: logs[f"val_{name}"][-1] for name in again}


# On JAX's CPU, where bfloat16 is slow, float16 stands for both.
@each_model
@pytest.mark.parametrize(
    "policy", [pytest.param("mixed_bfloat16", marks=pytest.mark.option), "mixed_float16"]
)
def test_mixed_precision(case, policy):
    keras.config.set_dtype_policy(policy)
    model = compiled(case)
    before = [to_numpy(v) for v in model.trainable_variables]
    assert np.isfinite(fit(model, case)["loss"]).all()
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    assert not same_bits([to_numpy(v) for v in model.trainable_variables], before)


@each_model
def test_evaluation_repeats_bit_for_bit_and_changes_no_weight(case):
    model = compiled(case)
    fit(model, case)
    data = case.data(6, 1)
    before = [to_numpy(w) for w in model.weights]
    metrics = {id(v) for v in model.metrics_variables}
    state = [to_numpy(v) for v in model.variables if id(v) not in metrics]
    first, second, one = (
        model.evaluate(data, batch_size=n, verbose=0, return_dict=True) for n in (4, 4, 1)
    )
    assert first == second
    assert set(case.loss_terms) <= set(first)
    # Nor does it depend on the batch size: means over other batches, float32 in another order.
    assert one == pytest.approx(first, rel=1e-5)
    np.testing.assert_array_equal(
        model.predict(data, batch_size=4, verbose=0), model.predict(data, batch_size=4, verbose=0)
    )
    assert same_bits([to_numpy(w) for w in model.weights], before)
    assert same_bits([to_numpy(v) for v in model.variables if id(v) not in metrics], state)


@each_model
def test_symbolic_shape_is_the_eager_one(case):
    model = case.make()
    data = case.data(2, 0)
    symbolic = model(keras.Input(data.shape[1:], dtype=str(data.dtype)))
    assert tuple(symbolic.shape[1:]) == tuple(model(data).shape[1:])
    assert keras.backend.standardize_dtype(model(data).dtype) == symbolic.dtype


@each_model
def test_round_trips_and_resume(case, tmp_path):
    """Trap 19. What is saved is everything; training that goes on is training uninterrupted.

    A weights file has what evaluation needs.
    """
    model = compiled(case)
    fit(model, case)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")  # safe mode is the default
    model.save_weights(tmp_path / "model.weights.h5")
    other, data = case.make(), case.data(4, 1)
    other(data)
    other.load_weights(tmp_path / "model.weights.h5")
    expected = to_numpy(model(data))
    for loaded in (again, other):
        np.testing.assert_array_equal(to_numpy(loaded(data)), expected)
    assert same_bits(values_of(again.optimizer), values_of(model.optimizer))
    assert len(again.optimizer.variables) > 2  # the slots are there, not only step and rate
    logs = [fit(m, case, seed=2) for m in (model, again)]
    assert logs[0] == logs[1]
    assert same_bits([to_numpy(w) for w in again.weights], [to_numpy(w) for w in model.weights])


@each_model
def test_a_loss_is_refused(case):
    with pytest.raises(ValueError, match="has its own loss"):
        case.make().compile("adam", loss="mse")


@pytest.mark.parametrize("case", COMPOSITES, ids=by_name)
def test_composites_save_and_load(case, tmp_path):
    model = case.make()
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    # What they do is what their parts do.
    parts = {name: part for name, part in vars(model).items() if isinstance(part, keras.Model)}
    assert parts
    for name, part in parts.items():
        loaded = getattr(again, name)
        assert type(loaded) is type(part)
        assert same_bits(values_of(loaded), values_of(part))
