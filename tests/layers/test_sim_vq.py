import keras
import numpy as np
import pytest
from support import gradients, grey_images, normal, to_numpy

from keras_vqvae import models
from keras_vqvae.layers import SimVQ


def built(num_embeddings=6, dim=3, **options):
    layer = SimVQ(num_embeddings, seed=1, **options)
    layer.build((None, dim))
    return layer


def table_of(layer):
    return to_numpy(layer.codebook.embeddings) @ to_numpy(layer.codebook.kernel)


def nearest(x, table):
    return np.argmin(((x[:, None] - table) ** 2).sum(-1), axis=-1)


def losses_of(layer, x):
    return {name: float(v) for name, v in layer.discretize(x).losses.items()}


def test_it_is_brute_force():
    layer, x = built(beta=0.5), normal((20, 3))
    table = table_of(layer)
    indices = nearest(x, table)
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_allclose(to_numpy(out.quantized), table[indices], rtol=1e-5, atol=1e-7)
    error = np.mean((x - table[indices]) ** 2)
    expected = {"codebook_loss": error, "commitment_loss": 0.5 * error}
    assert losses_of(layer, x) == pytest.approx(expected, rel=1e-5)


def test_the_frozen_table_is_normal_with_variance_one_over_d():
    table = to_numpy(built(2000, 16).codebook.embeddings)
    assert table.std() == pytest.approx(0.25, rel=0.02)  # 32 000 draws: ±0.4 % is one deviation
    assert abs(table.mean()) < 0.25 * 4 / np.sqrt(table.size)
    assert np.abs(table).max() > 0.25 * 3.5  # not cut off


def test_only_the_map_learns_and_moves_codes_that_nobody_chose():
    layer, x = built(), normal((4, 3))
    assert [w.path.split("/")[-1] for w in layer.trainable_variables] == ["kernel"]
    before, frozen = table_of(layer), to_numpy(layer.codebook.embeddings)
    _, (by_kernel,) = gradients(
        lambda x: layer.discretize(x).losses["codebook_loss"], x, layer.trainable_variables
    )
    indices = nearest(x, before)
    by_codes = np.zeros_like(before)
    np.add.at(by_codes, indices, 2 * (before[indices] - x) / x.size)
    np.testing.assert_allclose(by_kernel, frozen.T @ by_codes, rtol=1e-4, atol=1e-6)
    kernel = layer.codebook.kernel
    kernel.assign(to_numpy(kernel) - 0.1 * by_kernel)
    unused = np.setdiff1d(np.arange(6), indices)
    assert len(unused)
    assert (np.abs(table_of(layer) - before)[unused].max(-1) > 0).all()
    np.testing.assert_array_equal(to_numpy(layer.codebook.embeddings), frozen)


def test_trap_1_beta_is_on_the_commitment_term():
    x, found = normal((20, 3)), []
    for beta in (0.25, 1.0):
        layer = built(beta=beta)
        found.append(
            gradients(
                lambda x, q=layer: sum(q.discretize(x).losses.values()), x, layer.trainable_weights
            )
        )
    np.testing.assert_allclose(found[1][0], 4 * found[0][0], rtol=1e-5)
    np.testing.assert_allclose(found[1][1][0], found[0][1][0], rtol=1e-5)


def test_trap_2_the_codebook_loss_gives_the_vectors_no_gradient():
    layer = built()
    by_x, _ = gradients(lambda x: layer.discretize(x).losses["codebook_loss"], normal((20, 3)))
    assert not by_x.any()


@pytest.mark.parametrize("estimator", ["straight_through", "rotation"])
def test_trap_13_the_value_is_the_code_and_the_gradient_the_estimators(estimator):
    layer, x, weights = built(estimator=estimator), normal((20, 3)), normal((20, 3), 1)
    x[0] = 0.0
    out = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(out.quantized), to_numpy(layer.decode(out.indices)))
    by_x, (by_kernel,) = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * weights), x, layer.trainable_weights
    )
    assert np.isfinite(by_x).all()
    assert np.array_equal(by_x, weights) == (estimator == "straight_through")
    assert not by_kernel.any()


def test_diveq_trains_the_map_without_a_codebook_loss():
    layer = built(estimator="diveq", beta=0.0)
    assert layer.loss_names == ("commitment_loss",)
    _, (by_kernel,) = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized ** 2),
        normal((20, 3)),
        layer.trainable_variables,
    )
    assert by_kernel.any()


def test_in_a_vqvae_the_codebook_optimizer_trains_the_map():
    model = models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,)),
        SimVQ(5),
        models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,)),
    )
    still = keras.optimizers.SGD(0.0)
    model.compile("adam", codebook_optimizer=still, run_eagerly=True)
    model.build((None, 8, 8, 1))
    kernel, others = model.quantizer.codebook.kernel, model.encoder.trainable_weights[0]
    before = to_numpy(kernel), to_numpy(others)
    logs = model.fit(grey_images(4), verbose=0).history
    np.testing.assert_array_equal(to_numpy(kernel), before[0])
    assert not np.array_equal(to_numpy(others), before[1])
    assert {"codebook_loss", "commitment_loss", "perplexity"} <= set(logs)


def bridge(dim=3, dtype=None):
    """Two dense layers, the first one about the inputs of which nothing is known."""
    return keras.Sequential(
        [
            keras.layers.Dense(8, activation="gelu", dtype=dtype),
            keras.layers.Dense(dim, dtype=dtype),
        ]
    )


def test_a_layer_can_stand_in_for_the_matrix():
    layer, x = built(codebook_transform=bridge()), normal((20, 3))
    weights = layer.trainable_variables
    assert [tuple(w.shape) for w in weights] == [(3, 8), (8,), (8, 3), (3,)]
    frozen = to_numpy(layer.codebook.embeddings)
    table = to_numpy(layer.codebook.transform(frozen))
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), nearest(x, table))
    np.testing.assert_allclose(to_numpy(out.codes), table[nearest(x, table)], rtol=1e-5)
    _, by_weights = gradients(
        lambda x: layer.discretize(x, training=True).losses["codebook_loss"], x, weights
    )
    assert all(by.any() for by in by_weights)
    by_x, by_weights = gradients(
        lambda x: layer.discretize(x).losses["commitment_loss"], x, weights
    )
    assert by_x.any()
    assert not any(by.any() for by in by_weights)


def test_the_transform_is_saved_and_trained_with_the_rest(tmp_path):
    inputs = keras.Input((5, 4))
    z = keras.layers.Dense(3)(inputs)
    outputs = keras.layers.Dense(4)(SimVQ(6, codebook_transform=bridge(), seed=1)(z))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = normal((16, 5, 4))
    before = [to_numpy(w) for w in model.layers[2].trainable_weights]
    model.fit(x, x, epochs=2, verbose=0)
    after = [to_numpy(w) for w in model.layers[2].trainable_weights]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))
    again.fit(x, x, verbose=0)


@keras.saving.register_keras_serializable("tests")
class Residual(keras.Model):
    """The codes and what a dense layer, made in `build`, says of them."""

    def build(self, input_shape):
        self.dense = keras.layers.Dense(input_shape[-1])
        self.dense.build(input_shape)

    def call(self, x):
        return x + self.dense(x)


def functional(dtype):
    inputs = keras.Input((3,))
    return keras.Model(inputs, bridge(dtype=dtype)(inputs))


@pytest.mark.parametrize("make", [bridge, functional, lambda dtype: keras.layers.Dense(3)])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_transform_that_rounds_codes_to_half_precision_is_refused(make, policy):
    keras.config.set_dtype_policy(policy)
    half = policy.removeprefix("mixed_")
    with pytest.raises(ValueError, match=rf"Pass `dtype='float32'` to .* computes in {half}"):
        SimVQ(6, codebook_transform=make(dtype=None))


def test_so_is_one_that_makes_such_layers_when_it_is_built():
    keras.config.set_dtype_policy("mixed_float16")
    with pytest.raises(ValueError, match="layer 'residual', which computes in float16"):
        SimVQ(6, codebook_transform=Residual())
    with pytest.raises(ValueError, match="layer 'dense', which computes in float16"):
        built(codebook_transform=Residual(dtype="float32"))


@pytest.mark.parametrize("make", [lambda dtype: None, bridge, functional])
def test_under_a_mixed_policy_codes_are_those_of_float32(make, tmp_path):
    def model():
        transform = make(dtype="float32")
        quantizer = SimVQ(6, codebook_transform=transform, seed=1)
        inputs = keras.Input((3,))
        return keras.Model(inputs, quantizer(inputs)), quantizer

    (_, full), x = model(), normal((20, 3))
    keras.config.set_dtype_policy("mixed_float16")
    mixed_model, mixed = model()
    for a, b in zip(full.weights, mixed.weights, strict=True):
        b.assign(a)
    np.testing.assert_array_equal(to_numpy(mixed.codebook.table()), to_numpy(full.codebook.table()))
    # Copies and files are as good as the model, under any policy.
    mixed_model.save(tmp_path / "model.keras")
    for policy in ("mixed_float16", "float32"):
        keras.config.set_dtype_policy(policy)
        again = keras.models.load_model(tmp_path / "model.keras")
        keras.models.clone_model(again)
        np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(mixed_model(x)))


def test_a_transform_keeps_the_shape_of_the_table():
    with pytest.raises(ValueError, match=r"`codebook_transform` should give .* gives \(6, 4\) for"):
        built(codebook_transform=bridge(4))
    with pytest.raises(ValueError, match="`codebook_transform` should be a Keras layer"):
        SimVQ(6, codebook_transform=np.tanh)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`beta` should be ≥ 0"):
        SimVQ(4, beta=-1.0)
    with pytest.raises(ValueError, match="`num_embeddings` should be a positive integer"):
        SimVQ(0)
    with pytest.raises(ValueError, match="`estimator` should be one of"):
        SimVQ(4, estimator="rotate")
