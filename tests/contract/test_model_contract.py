"""What every model keeps to: training, evaluation, saving, resuming."""

import copy

import keras
import numpy as np
import pytest
from contract_cases import COMPOSITES, MODELS, by_name
from support import same_bits, to_numpy, values_of

each_model = pytest.mark.parametrize("case", MODELS, ids=by_name)


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
@pytest.mark.parametrize("jit_compile", [False, True])
def test_fits_compiled(case, jit_compile):
    model = case.make()
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


@each_model
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
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
    first = model.evaluate(data, batch_size=4, verbose=0, return_dict=True)
    second = model.evaluate(data, batch_size=4, verbose=0, return_dict=True)
    assert first == second
    assert set(case.loss_terms) <= set(first)
    np.testing.assert_array_equal(
        model.predict(data, batch_size=4, verbose=0), model.predict(data, batch_size=4, verbose=0)
    )
    assert same_bits([to_numpy(w) for w in model.weights], before)
    assert same_bits([to_numpy(v) for v in model.variables if id(v) not in metrics], state)


@each_model
def test_evaluation_does_not_depend_on_the_batch_size(case):
    model = compiled(case)
    fit(model, case)
    data = case.data(6, 1)
    one, all_ = (model.evaluate(data, batch_size=n, verbose=0, return_dict=True) for n in (1, 6))
    # Means over other batches: float32 sums in another order.
    assert one == pytest.approx(all_, rel=1e-5)


@each_model
def test_symbolic_shape_is_the_eager_one(case):
    model = case.make()
    data = case.data(2, 0)
    symbolic = model(keras.Input(data.shape[1:], dtype=str(data.dtype)))
    assert tuple(symbolic.shape[1:]) == tuple(model(data).shape[1:])
    assert keras.backend.standardize_dtype(model(data).dtype) == symbolic.dtype


@each_model
def test_keras_round_trip_and_resume(case, tmp_path):
    """Trap 19. What is saved is everything; training that goes on is training uninterrupted."""
    model = compiled(case)
    fit(model, case)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")  # safe mode is the default
    data = case.data(4, 1)
    np.testing.assert_array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))
    assert same_bits(values_of(again.optimizer), values_of(model.optimizer))
    assert len(again.optimizer.variables) > 2  # the slots are there, not only step and rate
    logs = [fit(m, case, seed=2) for m in (model, again)]
    assert logs[0] == logs[1]
    assert same_bits([to_numpy(w) for w in again.weights], [to_numpy(w) for w in model.weights])


@each_model
def test_weights_file_round_trip(case, tmp_path):
    model, other = compiled(case), case.make()
    fit(model, case)
    model.save_weights(tmp_path / "model.weights.h5")
    data = case.data(4, 1)
    other(data)
    other.load_weights(tmp_path / "model.weights.h5")
    other.compile("adam", run_eagerly=True)
    np.testing.assert_array_equal(other.predict(data, verbose=0), model.predict(data, verbose=0))


@each_model
def test_a_loss_is_refused(case):
    with pytest.raises(ValueError, match="has its own loss"):
        case.make().compile("adam", loss="mse")


@pytest.mark.parametrize("case", COMPOSITES, ids=by_name)
def test_composites_save_and_load(case, tmp_path):
    model = case.make()
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    np.testing.assert_array_equal(model.sample(2, seed=0), again.sample(2, seed=0))
