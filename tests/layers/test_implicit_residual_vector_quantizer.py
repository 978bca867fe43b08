import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import (
    ImplicitResidualVectorQuantizer,
    QuantizeDropout,
    ResidualVectorQuantizer,
)


def implicit(sizes=(5, 4, 6), bend=0.3, **options):
    """With tables, and networks whose weights are normal numbers times `bend`."""
    options = {"num_blocks": 2, "hidden_dim": 7, "seed": 0, **options}
    layer = ImplicitResidualVectorQuantizer(3, sizes, **options)
    layer.build((None, 3))
    for depth, part in enumerate(layer.quantizers):
        for i, weight in enumerate(part.trainable_variables):
            scale = 0.7**depth if weight is part.embeddings.value else bend
            weight.assign(normal(weight.shape, 100 * depth + i, scale=scale))
        part.embeddings.assign(normal(part.codebook_shape, depth, scale=0.7**depth))
    return layer


def network(part, codes, context):
    """f(e, s) in float64, of `(K, D)` codes behind one sum."""
    if part.network is None:
        return codes
    kernel, bias = (np.float64(to_numpy(w)) for w in part.network.from_context.weights)
    code_kernel = np.float64(to_numpy(part.network.from_code.kernel))
    values = codes + codes @ code_kernel + context @ kernel + bias
    for widen, narrow in zip(part.network.widen, part.network.narrow, strict=True):
        w, a, v, c = (np.float64(to_numpy(x)) for d in (widen, narrow) for x in d.weights)
        values = values + np.maximum(values @ w + a, 0) @ v + c
    return values


def brute_force(layer, x):
    """Codes of each depth, indices and errors of each vector, one vector at a time."""
    codes = np.zeros((len(x), 3, 3))
    indices = np.zeros((len(x), 3), int)
    for n, vector in enumerate(np.float64(x)):
        for i, part in enumerate(layer.quantizers):
            before = codes[n, :i].sum(0)
            table = network(part, np.float64(to_numpy(part.embeddings)), before)
            indices[n, i] = np.square(vector - before - table).sum(-1).argmin()
            codes[n, i] = table[indices[n, i]]
    return codes, indices


def test_it_is_brute_force():
    layer, x = implicit(depth_weights=(1.0, 0.5, 2.0)), normal((40, 3), 9)
    out = layer.discretize(x)
    codes, indices = brute_force(layer, x)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_allclose(to_numpy(out.quantized), codes.sum(1), rtol=1e-4, atol=1e-5)
    squares = np.square(x[:, None] - np.cumsum(codes, axis=1)).mean((0, 2))
    expected = (squares * (1.0, 0.5, 2.0)).sum() / 3
    assert float(out.losses["codebook_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(out.losses["commitment_loss"]) == pytest.approx(0.25 * expected, rel=1e-4)
    np.testing.assert_array_equal(to_numpy(layer.decode(indices)), to_numpy(out.quantized))
    assert len(np.unique(indices, axis=0)) > 10  # it is a test of many codes


def test_codes_depend_on_those_before():
    layer = implicit()
    second = [to_numpy(layer.decode([[k, 2, -1]]))[0] for k in range(5)]
    first = [to_numpy(layer.decode([[k, -1, -1]]))[0] for k in range(5)]
    added = np.subtract(second, first)
    assert np.ptp(added, axis=0).min() > 0.1


@pytest.mark.parametrize("initializer", [keras.initializers.RandomNormal(seed=3), "kmeans"])
def test_it_starts_as_the_residual_vector_quantizer(initializer):
    options = {"embeddings_initializer": initializer, "seed": 5}
    layers = [
        ImplicitResidualVectorQuantizer(3, 6, num_blocks=1, hidden_dim=4, **options),
        ResidualVectorQuantizer(3, 6, **options),
    ]
    for layer in layers:
        layer.build((None, 4))
    x = normal((50, 4))
    ours, theirs = (layer.discretize(x, training=True) for layer in layers)
    np.testing.assert_array_equal(to_numpy(ours.indices), to_numpy(theirs.indices))
    for name, value in theirs.losses.items():
        assert float(ours.losses[name]) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 7, 40])
def test_trap_23_any_chunk_size_gives_the_same(chunk_size):
    x = normal((40, 3), 9)
    np.testing.assert_array_equal(
        to_numpy(implicit(chunk_size=chunk_size).encode(x)), to_numpy(implicit().encode(x))
    )


def test_trap_10_each_depth_learns_from_its_own_loss_and_all_reach_the_vectors():
    x, g = normal((40, 3), 9), normal((40, 3), 8)
    for depth in range(3):
        layer = implicit(depth_weights=np.eye(3)[depth].tolist())
        by_x, by_weights = gradients(
            lambda x, layer=layer: sum(layer.discretize(x, training=True).losses.values()),
            x,
            layer.trainable_variables,
        )
        assert by_x.any(axis=-1).all()
        for weight, gradient in zip(layer.trainable_variables, by_weights, strict=True):
            assert gradient.any() == (f"/depth_{depth}/" in weight.path), weight.path
    by_x, by_weights = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * g), x, layer.trainable_variables
    )
    np.testing.assert_array_equal(by_x, g)  # once, straight through
    assert not any(w.any() for w in by_weights)


def test_the_gradient_of_the_network_is_that_of_its_loss():
    layer, x, step = implicit(), normal((40, 3), 9), 1e-4
    weight = layer.quantizers[1].network.widen[0].kernel
    _, (found,) = gradients(
        lambda x: layer.discretize(x, training=True).losses["codebook_loss"], x, [weight]
    )
    _, indices = brute_force(layer, x)

    def loss():
        """In float64, with the choices as they were."""
        first, second = (
            np.float64(to_numpy(part.embeddings))[indices[:, i]]
            for i, part in enumerate(layer.quantizers[:2])
        )
        return np.square(x - first - network(layer.quantizers[1], second, first)).mean() / 3

    start = to_numpy(weight)
    for place in ((0, 0), (1, 4), (2, 6)):
        values = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * step
            weight.assign(moved)
            values.append(loss())
        weight.assign(start)
        assert found[place] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-3)


def test_trap_12_dropped_depths_and_padding():
    layer = implicit(dropout=QuantizeDropout("sample", minimum=1))
    x, mask = normal((30, 2, 3), 9), np.arange(60).reshape(30, 2) % 7 > 0
    out = layer.discretize(np.where(mask[..., None], x, np.nan), training=True, mask=mask)
    indices = to_numpy(out.indices)
    assert set((indices[mask] >= 0).sum(-1)) == {1, 2, 3}
    assert (indices[~mask] == -1).all()
    np.testing.assert_array_equal(to_numpy(layer.decode(indices)), to_numpy(out.quantized))
    assert not to_numpy(out.quantized)[~mask].any()
    assert all(np.isfinite(float(value)) for value in out.losses.values())


def test_a_batch_that_is_not_finite_poisons_neither_tables_nor_networks():
    layer, x = implicit(), normal((40, 3), 9)
    x[3, 1] = np.nan
    _, by_weights = gradients(
        lambda x: sum(layer.discretize(x, training=True).losses.values()),
        x,
        layer.trainable_variables,
    )
    assert not any(w.any() for w in by_weights)
    layer.discretize(x, training=True)
    refused = 2.0 if keras.backend.backend() == "tensorflow" else 1.0  # JAX's gradients keep none
    assert [float(part.codebook.refused_batches) for part in layer.quantizers] == [refused] * 3


def test_it_learns_more_than_tables_alone():
    """Two clusters that are spread along different axes: one second table cannot serve both."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 2, 512)
    spread = rng.standard_normal(512)[:, None] * np.where(which[:, None], [0.0, 1.0], [1.0, 0.0])
    x = (np.where(which[:, None], [4.0, 0.0], [-4.0, 0.0]) + spread).astype("float32")

    def error(cls, **options):
        layer = cls(2, (2, 4), beta=0.0, seed=1, **options)
        model = keras.Sequential([keras.Input((2,)), layer])
        model.compile(keras.optimizers.Adam(0.05))
        layer.quantizers[0].embeddings.assign([[-4.0, 0.0], [4.0, 0.0]])
        layer.quantizers[1].embeddings.assign([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
        model.fit(x, epochs=40, batch_size=128, verbose=0)
        return float(np.mean((x - model.predict(x, verbose=0)) ** 2))

    keras.utils.set_random_seed(0)
    tables = error(ResidualVectorQuantizer)
    networks = error(ImplicitResidualVectorQuantizer, num_blocks=2, hidden_dim=32)
    # A table of 4 for both axes: 2 numbers for each, error about 0.36/2; 4 numbers each: 0.12/2.
    assert networks < 0.7 * tables


def test_arguments_are_checked():
    for name in ("num_blocks", "hidden_dim", "num_quantizers"):
        with pytest.raises(ValueError, match=f"`{name}` should be a positive integer"):
            ImplicitResidualVectorQuantizer(**{"num_quantizers": 2, "num_embeddings": 4, name: 0})
    with pytest.raises(ValueError, match="one for each of the 2 depths"):
        ImplicitResidualVectorQuantizer(2, (4, 5, 6))
    with pytest.raises(ValueError, match="expects vectors of length 3"):
        ImplicitResidualVectorQuantizer(2, 4, embedding_dim=3).build((None, 4))
