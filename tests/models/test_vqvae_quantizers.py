"""`VQVAE` with every kind of quantizer: several indices a position, no table, large tables."""

import re

import keras
import numpy as np
import pytest
from support import grey_images, to_numpy

from keras_vqvae import layers, models


def make(quantizer, dim):
    return models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=dim, widths=(4,)),
        quantizer,
        models.convolutional_decoder((8, 8, 1), embedding_dim=dim, widths=(4,)),
    )


def fitted(quantizer, dim):
    model = make(quantizer, dim)
    model.compile("adam", run_eagerly=keras.backend.backend() == "tensorflow")
    images = grey_images(4)
    return model, model.fit(images, validation_data=images, verbose=0).history


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("names", [("codebook_loss",), ("codebook_loss", "commitment_loss", "z")])
def test_losses_that_are_not_those_listed_are_refused(names, training):
    class Unlisted(layers.VectorQuantizer):
        loss_names = names

    model = make(Unlisted(4), 3)
    model.compile("adam")
    given = "losses=['codebook_loss', 'commitment_loss'], "
    message = re.escape(f"{given}loss_names={list(names)}")
    with pytest.raises(ValueError, match=message):
        (model.fit if training else model.evaluate)(grey_images(4), verbose=0)


def test_residual_codes_have_a_last_axis_and_statistics_of_each_depth(tmp_path):
    model, logs = fitted(layers.ResidualVectorQuantizer(3, (5, 4, 8), dropout="sample"), 3)
    images = grey_images(3, seed=1)
    codes = model.encode(images)
    assert codes.shape == (3, 4, 4, 3)
    assert model.code_shape == (4, 4, 3)
    assert model.num_embeddings == (5, 4, 8)
    assert model.bits_per_image == pytest.approx(16 * np.log2(5 * 4 * 8))
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(images), atol=1e-3)
    for key in ("depth_0/perplexity", "depth_2/codebook_usage", "val_depth_1/perplexity"):
        assert 0 < logs[key][0] <= 8
    codes[..., 1:] = -1  # the first depth alone
    assert model.decode(codes).shape == images.shape
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(images), model.encode(images))
    assert again.fingerprint() == model.fingerprint()


def test_a_shared_table_has_one_perplexity():
    model, logs = fitted(layers.ResidualVectorQuantizer(2, 4, shared_codebook=True), 3)
    assert "perplexity" in logs
    assert model.bits_per_image == 16 * 2 * 2


@pytest.mark.parametrize(
    ("quantizer", "dim", "bits"),
    [
        (layers.FiniteScalarQuantizer((4, 4)), 2, 4),
        (layers.LookupFreeQuantizer(3), 3, 3),
        (layers.BinarySphericalQuantizer(3), 3, 3),
        (layers.ProductQuantizer(2, 4), 4, 4),
        (layers.GroupedResidualVectorQuantizer(2, 2, 4), 4, 8),
        (layers.ResidualFiniteScalarQuantizer(2, (4, 4)), 2, 8),
        (layers.RandomProjectionQuantizer(4, 2, num_codebooks=2), 3, 4),
    ],
    ids=["fsq", "lfq", "bsq", "product", "grouped", "rfsq", "random"],
)
def test_every_quantizer_trains(quantizer, dim, bits):
    model, logs = fitted(type(quantizer).from_config(quantizer.get_config()), dim)
    assert np.isfinite(logs["loss"]).all()
    assert any(key.endswith("perplexity") for key in logs)
    assert model.bits_per_image == pytest.approx(16 * bits)
    images = grey_images(2)
    np.testing.assert_allclose(
        model.decode(model.encode(images)), model.reconstruct(images), atol=1e-3
    )


def test_a_table_too_large_to_count_trains_without_statistics():
    _, logs = fitted(layers.LookupFreeQuantizer(24), 24)
    assert np.isfinite(logs["loss"]).all()
    assert "perplexity" not in logs


def test_a_codebook_optimizer_needs_a_table_that_learns_by_gradient():
    make(layers.VectorQuantizer(4, estimator="diveq"), 3).compile(codebook_optimizer="sgd")
    make(layers.ResidualVectorQuantizer(2, 4), 3).compile(codebook_optimizer="sgd")
    with pytest.raises(ValueError, match="learns by gradient"):
        make(layers.FiniteScalarQuantizer((4, 4)), 2).compile(codebook_optimizer="sgd")


@pytest.mark.parametrize("built_before", [False, True])
def test_a_codebook_optimizer_finds_all_tables_of_a_residual_quantizer(built_before, tmp_path):
    parts = [layers.VectorQuantizer(4), layers.VectorQuantizer(4)]
    if built_before:
        for part in parts:
            part.build((None, 3))
    model = make(layers.ResidualQuantizer(parts), 3)
    zero = keras.optimizers.SGD(0.0)
    model.compile("adam", codebook_optimizer=zero, run_eagerly=True)
    model.build((None, 8, 8, 1))
    before = [to_numpy(part.embeddings) for part in model.quantizer.quantizers]
    model.fit(grey_images(4), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.fit(grey_images(4), verbose=0)
    for quantizer in (model.quantizer, loaded.quantizer):
        for part, old in zip(quantizer.quantizers, before, strict=True):
            np.testing.assert_array_equal(to_numpy(part.embeddings), old)


@pytest.mark.parametrize(
    ("quantizer", "moved"),
    [
        (lambda: layers.SimVQ(8), {"kernel"}),
        (lambda: layers.SimVQ(8, codebook_transform=keras.layers.Dense(3)), {"kernel", "bias"}),
        (lambda: layers.SimVQ(8, codebook_transform=built_dense()), {"kernel", "bias"}),
        (
            lambda: layers.ImplicitResidualVectorQuantizer(2, 4, num_blocks=1, hidden_dim=4),
            {"embeddings", "kernel", "bias"},
        ),
    ],
    ids=["sim_vq", "sim_vq_transform", "sim_vq_built_transform", "implicit"],
)
def test_a_codebook_optimizer_finds_all_that_codes_are_made_of(quantizer, moved):
    keras.utils.set_random_seed(0)
    model = make(quantizer(), 3)
    model.compile(keras.optimizers.SGD(0.0), codebook_optimizer=keras.optimizers.SGD(1.0))
    images = grey_images(8)
    model.fit(images, batch_size=4, epochs=1, verbose=0)
    before = [to_numpy(w) for w in model.trainable_weights]
    model.fit(images, batch_size=4, epochs=1, verbose=0)
    found = {
        w.path
        for w, old in zip(model.trainable_weights, before, strict=True)
        if not np.array_equal(old, to_numpy(w))
    }
    assert found
    assert {path.split("/")[-1] for path in found} == moved
    assert found <= {w.path for w in model.quantizer.trainable_weights}


def built_dense():
    layer = keras.layers.Dense(3)
    layer.build((None, 3))
    return layer
