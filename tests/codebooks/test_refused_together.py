"""A batch that is not finite is refused by all parts of a quantizer, wherever the bad value is."""

import keras
import numpy as np
import pytest
from support import normal, same_bits, to_numpy

from keras_vqvae import codebooks, layers
from keras_vqvae.ops import all_finite, within_batch

EMA = {"update": "ema", "embeddings_initializer": "random_normal"}
MAKERS = {
    "grouped_rvq": lambda: layers.GroupedResidualVectorQuantizer(2, 1, 8, **EMA),
    "product": lambda: layers.ProductQuantizer(2, 8, **EMA),
    "grouped": lambda: layers.GroupedQuantizer(
        [layers.VectorQuantizer(8, **EMA), layers.FiniteScalarQuantizer((3, 4))]
    ),
    "latent": lambda: layers.LatentQuantizer((3, 3, 3, 3)),
    "rvq_dropout": lambda: layers.ResidualVectorQuantizer(2, 8, dropout="sample", seed=0, **EMA),
    "kmeans": lambda: layers.ProductQuantizer(
        2, 8, update="ema", embeddings_initializer="kmeans", seed=0
    ),
}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("name", MAKERS)
def test_no_part_learns_from_a_batch_that_is_bad_in_another_part(name, bad):
    layer = MAKERS[name]()
    layer.build((None, 4))
    x = normal((16, 2, 4))
    refused = [w for w in layer.weights if w.path.endswith("refused_batches")]
    draws = [w for w in layer.weights if "seed_generator" in w.path]
    others = [w for w in layer.weights if all(w is not r for r in (*refused, *draws))]
    before = [to_numpy(w) for w in others]
    for _ in range(5):
        spoilt = x.copy()
        spoilt[0, 0, 0] = bad
        layer.discretize(spoilt, training=True)
    assert same_bits(before, [to_numpy(w) for w in others])
    assert {float(w) for w in refused} == {5.0}
    layer.discretize(x, training=True)
    assert not same_bits(before, [to_numpy(w) for w in others])


def test_padding_may_hold_anything():
    layer = MAKERS["product"]()
    layer.build((None, 4))
    x, mask = normal((6, 4)), np.arange(6) > 0
    x[0] = np.nan
    layer.discretize(x, training=True, mask=mask)
    assert [float(w) for w in layer.weights if w.path.endswith("refused_batches")] == [0.0, 0.0]


def test_within_a_batch_ends_with_it():
    good, bad = np.zeros((2, 2), "float32"), np.full((2, 2), np.nan, "float32")
    with within_batch(bad):
        with within_batch(good):
            assert not bool(all_finite(good))
        assert not bool(all_finite(good))
    assert bool(all_finite(good))


def test_within_a_good_batch_a_part_can_still_be_bad():
    good, bad = np.zeros((2, 2), "float32"), np.full((2, 2), np.nan, "float32")
    with within_batch(good):
        assert bool(all_finite(good))
        assert not bool(all_finite(bad))


def test_trap_20_a_regularizer_of_the_table_alone_waits_too():
    layer = layers.VectorQuantizer(8, 4, regularizer=codebooks.Orthogonality(10.0))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(0.1))
    x = normal((16, 4))
    x[0, 0] = np.nan
    before = to_numpy(layer.embeddings)
    model.train_on_batch(x)
    np.testing.assert_array_equal(to_numpy(layer.embeddings), before)
    model.train_on_batch(normal((16, 4)))
    assert (to_numpy(layer.embeddings) != before).any()


def test_an_affine_table_survives_a_value_whose_square_overflows():
    layer = layers.VectorQuantizer(8, 4, update=codebooks.AffineUpdate())
    layer.build((None, 4))
    x = normal((32, 4))
    layer.discretize(x, training=True)
    large = x.copy()
    large[0, 0] = 3e19
    layer.discretize(large, training=True)
    assert float(layer.codebook.refused_batches) == 1.0
    assert np.isfinite(to_numpy(layer.codebook.table())).all()
