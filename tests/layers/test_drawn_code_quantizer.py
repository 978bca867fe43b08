"""What quantizers that draw their codes share."""

import numpy as np
import pytest
from support import grey_images, normal, to_numpy

from keras_vqvae import models
from keras_vqvae.layers import BinaryMapper, GumbelQuantizer

each = pytest.mark.parametrize(
    "make", [lambda: GumbelQuantizer(5, seed=1), lambda: BinaryMapper(3, free_nats=0.05, seed=1)]
)


@each
def test_masked_positions_are_not_counted_and_not_in_the_mean(make):
    layer, x = make(), normal((4, 3))
    layer.build(x.shape)
    mask = np.array([True, False, True, False])
    out = layer.discretize(x, training=True, mask=mask)
    expected = float(layer.discretize(x[mask]).losses["kl_loss"])
    assert expected > 0
    assert float(out.losses["kl_loss"]) == pytest.approx(expected, rel=1e-5)
    assert to_numpy(layer.code_counts).sum() == 2
    np.testing.assert_array_equal(to_numpy(out.indices) == -1, ~mask)


@each
def test_a_vqvae_trains_with_it(make):
    model = models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,)),
        make(),
        models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,)),
    )
    model.compile("adam", codebook_optimizer="sgd")
    images = grey_images(4)
    logs = model.fit(images, validation_data=images, verbose=0).history
    assert {"kl_loss", "val_kl_loss", "perplexity", "val_perplexity"} <= set(logs)
    assert np.isfinite(logs["loss"]).all()
