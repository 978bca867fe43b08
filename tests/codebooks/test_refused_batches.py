"""Item by item, what a batch that is not finite could poison."""

import numpy as np
import pytest
from support import normal, same_bits, to_numpy, train_often

from keras_vqvae.codebooks import (
    AffineUpdate,
    AnchorRevival,
    CrossEntropyCommitment,
    EMAUpdate,
    FrozenCodes,
    ReplaceDead,
    ReplaceUnused,
)
from keras_vqvae.layers import ResidualVectorQuantizer, VectorQuantizer

UPDATES = {
    "gradient": "gradient",
    "ema": EMAUpdate(0.5),
    "frozen": "frozen",
    "affine": AffineUpdate(0.5, 0.5),
    "frozen_codes": FrozenCodes([1], otherwise="ema"),
}
REVIVALS = {
    "none": None,
    "dead": ReplaceDead(0.5, 0.1),
    "unused": ReplaceUnused(1),
    "cvq": AnchorRevival(0.5),
}

each_update = pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
each_revival = pytest.mark.parametrize("revival", REVIVALS.values(), ids=REVIVALS)


def weights_of(layer):
    return {w.path: to_numpy(w) for w in layer.weights if w.name != "refused_batches"}


def unchanged(layer, before):
    after = weights_of(layer)
    return list(after) == list(before) and same_bits(list(after.values()), list(before.values()))


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"update": "ema"},
        {"update": "ema", "regularizer": CrossEntropyCommitment()},
        {"estimator": "diveq", "revival": ReplaceDead(0.5, 0.1)},
    ],
    ids=["ema", "regularized", "diveq"],
)
def test_so_it_is_in_a_compiled_step_without_a_commitment_loss(options, xla):
    """Where β is 0 a compiler may take the loss for 0, and nothing may depend on it."""
    layer = VectorQuantizer(4, 2, beta=0.0, seed=0, **options)
    x = normal((10, 2))
    layer.build(x.shape)
    train_often(layer, x, 2, xla)
    before = weights_of(layer)
    spoilt = x.copy()
    spoilt[3, 1] = np.nan
    train_often(layer, spoilt, 1, xla)
    assert unchanged(layer, before)
    assert int(layer.codebook.refused_batches) == 1


@each_update
@each_revival
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_that_is_not_finite_changes_no_weight_and_is_counted(update, revival, bad):
    layer = VectorQuantizer(
        4, 2, update=update, embeddings_initializer="kmeans", revival=revival, seed=0
    )
    x = normal((10, 2))
    spoilt = x.copy()
    spoilt[3, 1] = bad
    wholly_spoilt = np.full_like(x, bad)
    layer.build(x.shape)
    before = weights_of(layer)
    layer(spoilt, training=True)
    assert unchanged(layer, before)  # no start from it
    layer(x, training=True)
    before = weights_of(layer)
    layer(spoilt, training=True)
    layer(wholly_spoilt, training=True)
    layer(spoilt, training=False)
    assert unchanged(layer, before)  # nor averages, usage, ages, revivals
    assert float(layer.codebook.refused_batches) == 3.0
    layer(x, training=True)
    assert float(layer.codebook.refused_batches) == 3.0
    assert to_numpy(layer.code_counts).sum() == 20


@each_update
@each_revival
def test_an_empty_batch_changes_no_weight_and_is_not_counted(update, revival):
    layer = VectorQuantizer(4, 2, update=update, revival=revival, seed=0)
    layer(normal((10, 2)), training=True)
    before = weights_of(layer)
    layer.discretize(normal((3, 2)), training=True, mask=np.zeros(3, bool))
    layer.discretize(normal((0, 2)), training=True)
    assert unchanged(layer, before)
    assert float(layer.codebook.refused_batches) == 0.0


@pytest.mark.parametrize("shared", [False, True])
def test_every_depth_refuses(shared):
    layer = ResidualVectorQuantizer(2, 4, 2, shared_codebook=shared, update="ema", seed=0)
    x = normal((10, 2))
    layer(x, training=True)
    before = weights_of(layer)
    x[0] = np.nan
    layer(x, training=True)
    assert unchanged(layer, before)
    assert all(float(q.codebook.refused_batches) == 1.0 for q in layer.quantizers)
