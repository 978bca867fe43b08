import keras
import numpy as np
import pytest
from support import gradients, grey_images, normal, to_numpy

from keras_vqvae import models
from keras_vqvae.layers import LatentQuantizer


def with_values(values, **options):
    layer = LatentQuantizer([len(v) for v in values], **options)
    layer.build((None, len(values)))
    for part, v in zip(layer.quantizers, values, strict=True):
        part.embeddings.assign(np.asarray(v, "float32")[:, None])
    return layer


def nearest(x, values):
    return np.stack([np.abs(x[:, i, None] - v).argmin(-1) for i, v in enumerate(values)], -1)


VALUES = [np.array([0.3, -0.7, 2.0]), np.array([1.0, -1.0]), np.array([0.0, 0.5, 0.1, -2.0])]


def test_values_start_evenly_spaced():
    layer = LatentQuantizer((2, 5))
    layer.build((None, 2))
    first, second = (to_numpy(part.embeddings)[:, 0].tolist() for part in layer.quantizers)
    assert first == [-0.5, 0.5]
    assert second == [-0.5, -0.25, 0.0, 0.25, 0.5]


def test_trap_18_the_index_is_that_of_the_nearest_learned_value():
    layer, x = with_values(VALUES), normal((30, 3))  # in no order, and on no grid
    indices = nearest(x, VALUES)
    quantized, found = layer(x, return_indices=True)
    np.testing.assert_array_equal(to_numpy(found), indices)
    codes = np.stack([v[indices[:, i]] for i, v in enumerate(VALUES)], -1)
    np.testing.assert_allclose(to_numpy(quantized), codes, rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(layer.decode(found)), to_numpy(quantized))


def test_trap_18_after_training_steps_too():
    layer, x = with_values(VALUES), normal((30, 3))
    for _ in range(20):
        _, by_values = gradients(
            lambda x: layer.discretize(x).losses["codebook_loss"], x, layer.trainable_variables
        )
        for part, g in zip(layer.quantizers, by_values, strict=True):
            part.embeddings.assign(to_numpy(part.embeddings) - 20.0 * g)
    learned = [to_numpy(part.embeddings)[:, 0] for part in layer.quantizers]
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(learned, VALUES, strict=True))
    np.testing.assert_array_equal(to_numpy(layer.encode(x)), nearest(x, learned))
    assert np.mean((x - to_numpy(layer(x))) ** 2) < np.mean(
        (x - to_numpy(with_values(VALUES)(x))) ** 2
    )


def test_losses_are_means_with_their_weights():
    layer, x = with_values(VALUES, codebook_weight=0.5, beta=0.2), normal((30, 3))
    codes = np.stack([v[nearest(x, VALUES)[:, i]] for i, v in enumerate(VALUES)], -1)
    error = np.mean((x - codes) ** 2)
    found = {name: float(v) for name, v in layer.discretize(x).losses.items()}
    assert found == pytest.approx(
        {"codebook_loss": 0.5 * error, "commitment_loss": 0.2 * error}, rel=1e-5
    )


def test_traps_1_and_2_each_loss_moves_its_own_side():
    layer, x = with_values(VALUES), normal((30, 3))
    found = {
        name: gradients(
            lambda x, n=name: layer.discretize(x).losses[n], x, layer.trainable_variables
        )
        for name in layer.loss_names
    }
    by_x, by_values = found["codebook_loss"]
    assert not by_x.any()
    assert all(g.any() for g in by_values)
    by_x, by_values = found["commitment_loss"]
    codes = to_numpy(layer(x))
    np.testing.assert_allclose(by_x, 0.1 * 2 * (x - codes) / x.size, rtol=1e-4, atol=1e-7)
    assert not any(g.any() for g in by_values)


def test_the_gradient_passes_straight_through():
    layer, x, weights = with_values(VALUES), normal((5, 3)), normal((5, 3), 1)
    by_x, _ = gradients(lambda x: keras.ops.sum(layer(x) * weights), x)
    np.testing.assert_array_equal(by_x, weights)


def test_a_vqvae_has_the_codes_and_the_figures_of_each_number():
    model = models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=2, widths=(4,)),
        LatentQuantizer((4, 3)),
        models.convolutional_decoder((8, 8, 1), embedding_dim=2, widths=(4,)),
    )
    model.compile("adam", codebook_optimizer="sgd")
    images = grey_images(4)
    logs = model.fit(images, verbose=0).history
    assert {"group_0/perplexity", "group_1/perplexity", "codebook_loss"} <= set(logs)
    assert model.code_shape == (4, 4, 2)
    assert model.bits_per_image == pytest.approx(16 * np.log2(12))
    np.testing.assert_allclose(
        model.decode(model.encode(images)), model.reconstruct(images), atol=1e-3
    )


def test_shapes():
    assert LatentQuantizer((3, 3)).codebook_shape == (2, 3)
    assert LatentQuantizer((3, 4)).codebook_shape == (7,)
    assert LatentQuantizer((3, 4)).embedding_dim == 2


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`levels` should be"):
        LatentQuantizer(5)
    with pytest.raises(ValueError, match="`codebook_weight` should be ≥ 0"):
        LatentQuantizer((3, 3), codebook_weight=-0.1)
    with pytest.raises(ValueError, match="`beta` should be ≥ 0"):
        LatentQuantizer((3, 3), beta=-0.1)
    with pytest.raises(ValueError, match="vectors of length 2"):
        LatentQuantizer((3, 3))(np.ones((2, 3)))


def test_beta_takes_a_schedule():
    x = normal((6, 2))
    layer = LatentQuantizer((3, 2), beta=keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5))
    layer.build(x.shape)
    first, second = (
        float(layer.discretize(x, training=True).losses["commitment_loss"]) for _ in range(2)
    )
    assert second == pytest.approx(first / 2, rel=1e-5)
    again = LatentQuantizer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
