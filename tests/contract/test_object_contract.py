"""What options, likelihoods, metrics and codebooks keep to."""

import re

import keras
import numpy as np
import pytest
from case_types import by_name
from object_cases import CHOICES, CODEBOOKS, LIKELIHOODS, METRICS
from support import gradients, normal, same_bits, to_numpy, values_of

from keras_vqvae import codebooks, likelihoods, ops
from keras_vqvae.compilation import CompiledFunction

BOTH = [*CHOICES, *LIKELIHOODS]


@pytest.mark.parametrize("case", BOTH, ids=by_name)
def test_an_option_is_its_config(case):
    option = case.make()
    again = type(option).from_config(option.get_config())
    assert again == option
    assert hash(again) == hash(option)
    assert repr(option).startswith(type(option).__name__ + "(")
    serialized = keras.saving.serialize_keras_object(option)
    assert serialized["registered_name"] == f"keras_vqvae>{type(option).__name__}"
    assert keras.saving.deserialize_keras_object(serialized) == option


@pytest.mark.parametrize("case", BOTH, ids=by_name)
def test_options_of_other_kinds_are_not_equal(case):
    others = [other.make() for other in BOTH if other.name != case.name]
    assert case.make() not in others


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("update", ["gradient", "ema", "frozen"]),
        ("revival", ["replace_dead", "replace_unused", "cvq"]),
        ("distance", ["euclidean", "cosine"]),
        ("assignment", ["nearest", "sampled", "optimal_transport"]),
        ("embeddings_initializer", ["kmeans"]),
    ],
)
def test_every_option_of_a_codebook_goes_by_name_config_and_instance(argument, options):
    attribute = {"update": "update_rule"}.get(argument, argument)
    for name in options:
        by_name = getattr(codebooks.Codebook(4, **{argument: name}), attribute)
        config = keras.saving.serialize_keras_object(by_name)
        for given in (config, by_name):
            assert getattr(codebooks.Codebook(4, **{argument: given}), attribute) == by_name


@pytest.mark.parametrize("case", CODEBOOKS, ids=by_name)
def test_codebook_round_trip(case, tmp_path):
    codebook = case.make()
    codebook.build((None, 3))
    x = keras.ops.convert_to_tensor(normal((12, 3)))
    codebook.initialize(x)
    codebook.learn(x, codebook.search(x))
    again = codebooks.Codebook.from_config(codebook.get_config())
    again.build((None, 3))
    store = {}
    codebook.save_own_variables(store)
    again.load_own_variables({key: to_numpy(value) for key, value in store.items()})
    assert again.get_config() == codebook.get_config()
    assert same_bits(values_of(again), values_of(codebook))


# -- likelihoods ----------------------------------------------------------------------------------

each_likelihood = pytest.mark.parametrize("case", LIKELIHOODS, ids=by_name)


def parameters_for(likelihood, images, seed=1):
    return normal((*images.shape[:-1], likelihood.num_parameters(images.shape[-1])), seed)


@each_likelihood
def test_a_likelihood_gives_nats_per_dimension_of_each_image(case):
    likelihood = case.make()
    images = np.random.default_rng(0).random((3, 4, 4, 2)).astype("float32")
    parameters = parameters_for(likelihood, images)
    loss = to_numpy(likelihood.loss(images, parameters))
    assert loss.shape == (3,)
    assert loss.dtype == np.float32
    one = to_numpy(likelihood.loss(images[1:2], parameters[1:2]))
    np.testing.assert_allclose(loss[1:2], one, rtol=1e-6)  # an image's loss is its own
    tiled = to_numpy(
        likelihood.loss(np.tile(images, (1, 2, 1, 1)), np.tile(parameters, (1, 2, 1, 1)))
    )
    np.testing.assert_allclose(tiled, loss, rtol=1e-5)  # a mean, not a sum, over dimensions
    mean = to_numpy(likelihood.mean(parameters))
    assert mean.shape == images.shape


@each_likelihood
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_likelihood_computes_in_float32(case, dtype):
    likelihood = case.make()
    images = np.random.default_rng(0).random((2, 4, 4, 1)).astype("float32")
    half = keras.ops.cast(parameters_for(likelihood, images), dtype)
    full = keras.ops.cast(half, "float32")
    np.testing.assert_array_equal(
        to_numpy(likelihood.loss(images, half)), to_numpy(likelihood.loss(images, full))
    )
    assert keras.backend.standardize_dtype(likelihood.mean(half).dtype) == "float32"


@each_likelihood
def test_gradients_are_finite_far_out(case):
    likelihood = case.make()
    images = np.array([0.0, 1.0], "float32").reshape(2, 1, 1, 1)
    for size in (0.0, 50.0, -50.0):
        parameters = np.full((2, 1, 1, likelihood.num_parameters(1)), size, "float32")
        by_parameters, _ = gradients(
            lambda p: keras.ops.sum(likelihood.loss(images, p)), parameters
        )
        assert np.isfinite(by_parameters).all()


@each_likelihood
def test_descending_the_loss_brings_the_mean_to_the_image(case):
    likelihood = case.make()
    images = np.random.default_rng(0).uniform(0.2, 0.8, (1, 2, 2, 1)).astype("float32")
    parameters = parameters_for(likelihood, images)
    before = np.abs(to_numpy(likelihood.mean(parameters)) - images).mean()
    for _ in range(20):
        by_parameters, _ = gradients(
            lambda p: keras.ops.sum(likelihood.loss(images, p)), parameters
        )
        parameters = parameters - 0.1 * np.sign(by_parameters)
    after = np.abs(to_numpy(likelihood.mean(parameters)) - images).mean()
    assert after < before


@each_likelihood
def test_a_likelihood_scores_what_it_samples(case):
    likelihood = case.make()
    parameters = parameters_for(likelihood, np.zeros((3, 4, 4, 2)))
    images = to_numpy(likelihood.sample(parameters, seed=1))
    assert images.shape == (3, 4, 4, 2)
    assert images.dtype == np.float32
    np.testing.assert_allclose(255 * images, np.round(255 * images), atol=1e-4)
    assert images.min() >= 0
    assert images.max() <= 1
    likelihood.check_scores(images)
    log_prob = to_numpy(likelihood.log_prob(images, parameters))
    assert log_prob.shape == (3,)
    assert log_prob.dtype == np.float32
    assert (log_prob <= 0).all()
    # A sum over dimensions, and not a mean: the image twice has the probability squared.
    twice = [np.tile(x, (1, 2, 1, 1)) for x in (images, parameters)]
    np.testing.assert_allclose(to_numpy(likelihood.log_prob(*twice)), 2 * log_prob, rtol=1e-5)
    compiled = CompiledFunction(likelihood.log_prob, list)
    tensors = [keras.ops.convert_to_tensor(x) for x in (images, parameters)]
    np.testing.assert_allclose(to_numpy(compiled(*tensors)), log_prob, rtol=1e-5)


@each_likelihood
def test_samples_depend_on_seed_and_index_alone(case):
    likelihood = case.make()
    parameters = parameters_for(likelihood, np.zeros((4, 3, 3, 1)))
    images = to_numpy(likelihood.sample(parameters, seed=1))
    np.testing.assert_array_equal(likelihood.sample(parameters[2:], seed=1, first=2), images[2:])
    assert not np.array_equal(likelihood.sample(parameters, seed=2), images)
    keras.utils.set_random_seed(5)
    drawn = to_numpy(likelihood.sample(parameters))
    assert not np.array_equal(likelihood.sample(parameters), drawn)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(likelihood.sample(parameters), drawn)


@each_likelihood
def test_a_likelihood_knows_its_parameters(case):
    likelihood = case.make()
    for channels in (1, 2, 3, 4):
        assert likelihood.num_channels(likelihood.num_parameters(channels)) == channels
    if likelihood.num_parameters(1) > 1:
        with pytest.raises(ValueError, match="numbers a pixel for images of 1, 2, 3"):
            likelihood.num_channels(likelihood.num_parameters(1) + 1)


@each_likelihood
def test_a_likelihood_goes_by_name(case):
    likelihood = case.make()
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(likelihood).__name__).lower()
    assert type(likelihoods.get(name)) is type(likelihood)


# -- metrics --------------------------------------------------------------------------------------

each_metric = pytest.mark.parametrize("case", METRICS, ids=by_name)
each_stateless_metric = pytest.mark.parametrize(
    "case", [case for case in METRICS if not case.on_host], ids=by_name
)
each_host_metric = pytest.mark.parametrize(
    "case", [case for case in METRICS if case.on_host], ids=by_name
)


def results(metric):
    result = metric.result()
    values = result if isinstance(result, dict) else {"value": result}
    return {key: float(value) for key, value in values.items()}


@each_metric
def test_metric_config_round_trip(case):
    metric = case.make()
    again = type(metric).from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    for update in case.updates:
        metric.update_state(*update)
        again.update_state(*update)
    assert results(again) == results(metric)


@each_stateless_metric
def test_metric_reset_forgets_everything(case):
    metric = case.make()
    empty = results(metric)
    for update in case.updates:
        metric.update_state(*update)
    assert results(metric) != empty
    assert all(np.isfinite(list(results(metric).values())))
    metric.reset_state()
    assert results(metric) == empty


@each_metric
def test_metric_state_is_float32_under_every_policy(case):
    keras.config.set_dtype_policy("mixed_float16")
    metric = case.make()
    for update in case.updates:
        metric.update_state(*update)
    assert all(v.dtype == "float32" for v in metric.variables)


@each_host_metric
def test_metric_on_the_host_says_what_it_cannot_do(case):
    metric = case.make()
    for update in case.updates:
        metric.update_state(*update)
    before = results(metric)
    assert all(np.isfinite(list(before.values())))
    metric.reset_state()
    with pytest.raises(ValueError, match="too few samples"):
        metric.result()
    for update in case.updates:
        metric.update_state(*update)
    assert results(metric) == before
    for refused in (
        lambda: metric.stateless_update_state([], *case.updates[0]),
        lambda: metric.stateless_result([]),
        lambda: metric.update_state(keras.KerasTensor((None, 2))),
    ):
        with pytest.raises(NotImplementedError, match="eagerly"):
            refused()


@each_stateless_metric
def test_metric_stateless_update_gives_the_same(case):
    stateful, stateless = case.make(), case.make()
    values = [v.value for v in stateless.variables]
    for update in case.updates:
        stateful.update_state(*update)
        values = stateless.stateless_update_state(values, *update)
    result = stateless.stateless_result(values)
    result = result if isinstance(result, dict) else {"value": result}
    assert {key: float(value) for key, value in result.items()} == results(stateful)


def test_gradient_estimators_of_ops_go_by_name():
    assert ops.get_gradient_estimator("straight_through") is ops.straight_through
    with pytest.raises(ValueError, match="straight_through"):
        ops.get_gradient_estimator("rotate")
