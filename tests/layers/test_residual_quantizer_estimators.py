"""How the gradient passes a sum of any quantizers."""

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae import layers, ops


def made(**kwargs):
    return layers.ResidualQuantizer([layers.SimVQ(8), layers.SimVQ(8)], **kwargs)


def test_the_estimator_is_applied_once_to_the_sum():
    z, towards = normal((6, 4)), normal((6, 4), seed=1)
    layer = made(estimator="rotation")
    layer.build(z.shape)
    codes = layer.discretize(z).codes
    found, _ = gradients(lambda z: keras.ops.sum(layer(z) * towards), z)
    expected, _ = gradients(lambda z: keras.ops.sum(ops.rotation_trick(z, codes) * towards), z)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(found - towards).max() > 0.01  # which it is straight through
    again = layers.ResidualQuantizer.from_config(layer.get_config())
    assert again.estimator == "rotation"
    straight = made()
    straight.build(z.shape)
    found, _ = gradients(lambda z: keras.ops.sum(straight(z) * towards), z)
    np.testing.assert_array_equal(found, towards)


def test_an_estimator_of_ones_own_may_draw_in_training():
    given = []

    def estimator(vectors, codes, seed=None):
        given.append(seed)
        return ops.straight_through(vectors, codes)

    layer, z = made(estimator=estimator), normal((6, 4))
    layer(z)
    layer(z, training=True)
    assert given[0] is None
    assert isinstance(given[1], keras.random.SeedGenerator)


@pytest.mark.parametrize("estimator", ["diveq", "sf_diveq", "synchronized"])
def test_estimators_that_train_codes_are_refused(estimator):
    with pytest.raises(ValueError, match="`estimator` should hand no gradient to the codes"):
        made(estimator=estimator)


def test_projections_have_no_place_for_one():
    parts = [layers.ProjectedQuantizer(layers.VectorQuantizer(8), codebook_dim=2) for _ in "ab"]
    with pytest.raises(ValueError, match=r"`estimator` has no place where .*ProjectedQuantizer"):
        layers.ResidualQuantizer(parts, estimator="rotation")


def test_a_number_of_all_depths_is_that_of_one_that_still_learns():
    halving = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    layer = layers.ResidualVectorQuantizer(2, 8, 4, beta=halving)
    layer.build((None, 4))
    layer.quantizers[0].trainable = False
    layer(normal((6, 4)), training=True)
    assert float(to_numpy(layer.number("beta"))) == 0.5
    assert float(to_numpy(layer.quantizers[0].number("beta"))) == 1.0
