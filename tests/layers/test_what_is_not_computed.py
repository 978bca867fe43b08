"""What is not computed: by `encode` beside indices, by weights of 0, of what is not finite."""

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae import layers

MADE = {
    "bits": lambda: layers.LookupFreeQuantizer(4),
    "spherical": lambda: layers.BinarySphericalQuantizer(4),
    "product": lambda: layers.ProductQuantizer(2, 8),
    "one_table": lambda: layers.ProductQuantizer(2, 8, shared_codebook=True),
    "grouped_residual": lambda: layers.GroupedResidualVectorQuantizer(2, 3, 8),
    "latent": lambda: layers.LatentQuantizer((4, 4, 4, 5)),
    "bits_in_groups": lambda: layers.GroupedQuantizer([layers.BinaryMapper(2) for _ in range(2)]),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_indices_are_those_of_discretize(make):
    layer, z = make(), normal((3, 5, 4))
    layer.build(z.shape)
    expected = to_numpy(layer.discretize(z).indices)
    np.testing.assert_array_equal(to_numpy(layer.encode(z)), expected)
    np.testing.assert_array_equal(to_numpy(layer.encode(z[0, 0])), expected[0, 0])


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_an_entropy_of_no_weight_is_not_computed(weight, monkeypatch):
    layer = layers.LookupFreeQuantizer(4, entropy_weight=weight)
    z, asked = normal((6, 4)), []
    layer.build(z.shape)
    name = "keras_vqvae.layers.binary_quantizer.mean_distribution_entropy"
    monkeypatch.setattr(name, lambda *arguments: asked.append(arguments) or 0.5)
    losses = layer.discretize(z, training=True).losses
    assert (float(losses["entropy_loss"]) == 0, len(asked)) == (weight == 0, int(weight > 0))


def test_a_layer_with_an_entropy_of_no_weight_is_trained():
    quantizer = layers.LookupFreeQuantizer(4, entropy_weight=0.0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), quantizer])
    model.compile("sgd", "mse")
    z = normal((6, 4))
    assert np.isfinite(model.fit(z, z, verbose=0).history["loss"][0])


def test_large_tables_of_bits_tell_of_refused_batches():
    layer = layers.LookupFreeQuantizer(24)
    layer.build((None, 24))
    layer(np.full((2, 24), np.nan, "float32"), training=True)
    layer(np.ones((2, 24), "float32"), training=True)
    assert layer.code_counts is None
    assert float(layer.refused_batches) == 1


@pytest.mark.parametrize("bad", [False, True])
def test_convolutions_of_scales_learn_nothing_from_what_is_not_finite(bad):
    layer = layers.MultiScaleVectorQuantizer(8, (1, 2), 3, num_convolutions=2)
    z = normal((2, 2, 2, 3))
    layer.build(z.shape)
    if bad:
        z[0, 0, 0, 0] = np.nan

    def cost(z):
        output = layer.discretize(z, training=True)
        return keras.ops.sum(output.quantized**2) + sum(output.losses.values())

    kernels = [v for one in layer.convolutions for v in one.trainable_variables]
    _, found = gradients(cost, z, kernels)
    assert all(np.isfinite(g).all() for g in found)
    assert any((g != 0).any() for g in found) != bad
