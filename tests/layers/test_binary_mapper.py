import keras
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import bernoulli
from support import gradients, normal, to_numpy, train_often

from keras_vqvae.layers import BinaryMapper

BITS = np.array([[index >> h & 1 for h in range(3)] for index in range(8)])


def built(num_bits=3, dim=2, **options):
    layer = BinaryMapper(num_bits, seed=1, **options)
    layer.build((None, dim))
    layer.projection.bias.assign(normal((num_bits,), 9, scale=0.3))
    return layer


def logits_of(layer, x):
    return x @ to_numpy(layer.projection.kernel) + to_numpy(layer.projection.bias)


def joint(logits):
    """p of each of the 8 codes of three bits, by brute force: `(N, 3)` to `(N, 8)`."""
    return bernoulli.pmf(BITS[None], expit(logits)[:, None]).prod(-1)


def divergence(logits, free_nats):
    p = joint(logits)
    return np.maximum((p * np.log(p * 8)).sum(-1) - free_nats, 0.0)


@pytest.mark.parametrize("free_nats", [0.0, 0.3])
def test_evaluation_is_the_most_likely_code(free_nats):
    layer, x = built(kl_weight=0.5, free_nats=free_nats), normal((20, 2))
    logits, table = logits_of(layer, x), to_numpy(layer.embeddings)
    out = layer.discretize(x)
    expected = joint(logits).argmax(-1)
    np.testing.assert_array_equal(to_numpy(out.indices), expected)
    np.testing.assert_array_equal(to_numpy(out.quantized), table[expected])
    np.testing.assert_array_equal(to_numpy(layer.encode(x)), expected)
    loss = divergence(logits, free_nats)
    assert free_nats == 0.0 or 0 < np.count_nonzero(loss) < 20
    assert float(out.losses["kl_loss"]) == pytest.approx(0.5 * loss.mean(), rel=1e-5)


def test_training_draws_each_bit_from_its_probability():
    layer = built()
    x = np.tile(normal((1, 2)), (8000, 1))
    out = layer.discretize(x, training=True)
    indices = to_numpy(out.indices)
    shares = np.bincount(indices, minlength=8) / 8000
    p = joint(logits_of(layer, x[:1]))[0]
    assert (np.abs(shares - p) < 4 * np.sqrt(p * (1 - p) / 8000)).all()  # four deviations
    np.testing.assert_array_equal(to_numpy(out.quantized), to_numpy(layer.embeddings)[indices])
    again = layer.discretize(x, training=True)
    assert (to_numpy(again.indices) != indices).any()


def test_the_gradient_is_that_of_the_expected_code_and_the_table_has_that_of_the_drawn_one():
    layer, x, g = built(), normal((6, 2)), normal((6, 2), 2)
    table, kernel = to_numpy(layer.embeddings), to_numpy(layer.projection.kernel)
    out = None

    def loss(x):
        nonlocal out
        out = layer.discretize(x, training=True)
        return keras.ops.sum(out.quantized * g)

    u = to_numpy(keras.random.uniform((6, 3), seed=keras.random.SeedGenerator(1)))
    by_x, (by_table, by_kernel) = gradients(loss, x, [layer.embeddings, layer.projection.kernel])
    p = expit(logits_of(layer, x))
    # d p_j / d a_h = p_j (bit h of j − σ(a_h))
    slopes = joint(logits_of(layer, x))[:, :, None] * (BITS[None] - p[:, None])
    by_logits = np.einsum("nj,njh->nh", g @ table.T, slopes)
    np.testing.assert_allclose(by_x, by_logits @ kernel.T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_kernel, x.T @ by_logits, rtol=1e-4, atol=1e-6)
    expected = np.zeros_like(table)
    np.add.at(expected, (u < p) @ [1, 2, 4], g)
    np.testing.assert_allclose(by_table, expected, rtol=1e-5, atol=1e-6)


def test_what_is_below_the_threshold_is_free():
    x = normal((6, 2))
    for free_nats, moved in ((0.0, True), (10.0, False)):
        layer = built(free_nats=free_nats)
        by_x, (by_table,) = gradients(
            lambda x, layer=layer: layer.discretize(x).losses["kl_loss"], x, [layer.embeddings]
        )
        assert by_x.any() == moved
        assert not by_table.any()


def test_a_schedule_moves_the_threshold_in_compiled_steps():
    halving = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    layer = built(free_nats=halving)
    train_often(layer, normal((6, 2)), 3)
    assert float(layer.number("free_nats")) == 0.125


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`num_bits` should be a positive integer of at most 20"):
        BinaryMapper(21)
    with pytest.raises(ValueError, match="`free_nats` should be ≥ 0"):
        BinaryMapper(4, free_nats=-1.0)
    with pytest.raises(ValueError, match="`kl_weight` should be ≥ 0"):
        BinaryMapper(4, kl_weight=-1.0)
    with pytest.raises(ValueError, match="no start from data"):
        BinaryMapper(4, embeddings_initializer="kmeans")
