import itertools

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy, train_often

from keras_vqvae.layers import GumbelQuantizer


def built(num_embeddings=5, dim=3, **options):
    layer = GumbelQuantizer(num_embeddings, seed=1, **options)
    layer.build((None, dim))
    layer.projection.bias.assign(normal((num_embeddings,), 9, scale=0.3))
    return layer


def logits_of(layer, x):
    return x @ to_numpy(layer.projection.kernel) + to_numpy(layer.projection.bias)


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def noise_of_the_first_step(shape):
    """The layer's first draw: a generator of the same seed gives the same uniforms."""
    u = to_numpy(keras.random.uniform(shape, seed=keras.random.SeedGenerator(1)))
    return -np.log(-np.log(u))


def test_evaluation_is_the_most_likely_code():
    layer, x = built(kl_weight=0.5), normal((20, 3))
    logits, table = logits_of(layer, x), to_numpy(layer.embeddings)
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), logits.argmax(-1))
    np.testing.assert_array_equal(to_numpy(out.quantized), table[logits.argmax(-1)])
    p = softmax(logits)
    expected = 0.5 * (p * np.log(p * 5)).sum(-1).mean()
    assert float(out.losses["kl_loss"]) == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_zero_for_the_uniform_distribution():
    layer = built()
    layer.projection.bias.assign(np.zeros(5, "float32"))
    assert abs(float(layer.discretize(np.zeros((4, 3))).losses["kl_loss"])) < 1e-9


def test_training_draws_the_code_from_the_distribution():
    layer = built(4)
    x = np.tile(normal((1, 3)), (8000, 1))
    out = layer.discretize(x, training=True)
    shares = np.bincount(to_numpy(out.indices), minlength=4) / 8000
    p = softmax(logits_of(layer, x[:1]))[0]
    assert (np.abs(shares - p) < 4 * np.sqrt(p * (1 - p) / 8000)).all()  # four deviations
    np.testing.assert_array_equal(
        to_numpy(out.quantized), to_numpy(layer.embeddings)[to_numpy(out.indices)]
    )
    again = layer.discretize(x, training=True)
    assert (to_numpy(again.indices) != to_numpy(out.indices)).any()


def test_draws_of_zero_have_a_logarithm_too():
    layer, x = built(4), normal((5, 3))
    layer.uniforms = keras.ops.zeros_like  # of all codes: the noise is the same for each
    out = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(out.indices), to_numpy(layer.encode(x)))
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x, True).quantized), x)
    assert by_x.any()
    assert np.isfinite(by_x).all()


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_the_gradient_is_that_of_the_soft_choice_and_the_table_has_that_of_the_hard_one(
    temperature,
):
    layer, x, g = built(temperature=temperature), normal((6, 3)), normal((6, 3), 2)
    table, kernel = to_numpy(layer.embeddings), to_numpy(layer.projection.kernel)
    scores = logits_of(layer, x) + noise_of_the_first_step((6, 5))
    by_x, by_weights = gradients(
        lambda x: keras.ops.sum(layer.discretize(x, training=True).quantized * g),
        x,
        [layer.embeddings, layer.projection.kernel],
    )
    p, by_p = softmax(scores / temperature), g @ table.T
    by_logits = p * (by_p - (p * by_p).sum(-1, keepdims=True)) / temperature
    np.testing.assert_allclose(by_x, by_logits @ kernel.T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_weights[1], x.T @ by_logits, rtol=1e-4, atol=1e-6)
    expected = np.zeros_like(table)
    np.add.at(expected, scores.argmax(-1), g)
    np.testing.assert_allclose(by_weights[0], expected, rtol=1e-5, atol=1e-6)


def test_the_loss_reaches_vectors_and_logits_but_not_the_table():
    layer = built()
    by_x, (by_table, by_kernel) = gradients(
        lambda x: layer.discretize(x).losses["kl_loss"],
        normal((6, 3)),
        [layer.embeddings, layer.projection.kernel],
    )
    assert by_x.any()
    assert by_kernel.any()
    assert not by_table.any()


def test_a_schedule_lowers_the_temperature_in_compiled_steps():
    halving = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    layer = built(temperature=halving)
    train_often(layer, normal((6, 3)), 3)
    assert float(layer.number("temperature")) == 0.125


class Thaw(keras.callbacks.Callback):
    """Sets the temperature of the model's quantizer at the beginning of each epoch."""

    def __init__(self, temperatures):
        super().__init__()
        self.temperatures, self.kernels = temperatures, []

    def on_epoch_begin(self, epoch, logs=None):
        self.kernels.append(to_numpy(self.model.layers[-1].projection.kernel))
        self.model.layers[-1].temperature_weight.assign(self.temperatures[epoch])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_callback_may_set_the_temperature_without_a_new_trace(jit_compile):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, GumbelQuantizer(4, kl_weight=0.0, seed=1)(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_compile)
    x, thaw = normal((8, 3)), Thaw([1e9, 1.0, 1.0])
    model.fit(x, x, epochs=3, callbacks=[thaw], verbose=0)
    frozen, thawed = (np.abs(b - a).max() for a, b in itertools.pairwise(thaw.kernels))
    assert frozen < 1e-7  # the gradient is divided by the temperature
    assert thawed > 1e-3


def test_a_resumed_run_draws_the_same_and_keeps_the_temperature(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, GumbelQuantizer(4)(inputs))
    x = normal((16, 3))
    model(x, training=True)
    model.layers[-1].temperature_weight.assign(0.3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert float(again.layers[-1].number("temperature")) == pytest.approx(0.3)
    a, b = (m.layers[-1].discretize(x, training=True).indices for m in (model, again))
    np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_the_number_of_codes_may_be_a_numpy_integer():
    assert GumbelQuantizer(np.int64(4)).get_config()["num_embeddings"] == 4


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`temperature` should be > 0"):
        GumbelQuantizer(4, temperature=0.0)
    with pytest.raises(ValueError, match="`kl_weight` should be ≥ 0"):
        GumbelQuantizer(4, kl_weight=-1.0)
    with pytest.raises(ValueError, match="no start from data"):
        GumbelQuantizer(4, embeddings_initializer="kmeans")
