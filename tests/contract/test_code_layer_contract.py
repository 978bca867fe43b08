"""Codes of each quantizer as outputs and as inputs of functional models."""

import keras
import numpy as np
import pytest
from case_types import by_name, marked
from contract_cases import CODE_LAYERS
from quantizer_cases import QUANTIZERS
from support import normal, to_numpy

from keras_vqvae import models
from keras_vqvae.layers import (
    CodeIndices,
    CodeLookup,
    GumbelQuantizer,
    IndexBackpropQuantizer,
    ResidualVectorQuantizer,
    VectorQuantizer,
)

each_quantizer = pytest.mark.parametrize("case", marked(QUANTIZERS), ids=by_name)


def encoder_and_quantizer(case):
    """Called as in `Sequential`: the quantizer's first call has one output."""
    x = case.inputs(0)
    encoder = keras.Sequential(
        [keras.Input(x.shape[1:]), keras.layers.Dense(case.dim, kernel_initializer="identity")]
    )
    quantizer = case.make()
    keras.Sequential([encoder, quantizer])(x)
    return encoder, quantizer, x


@each_quantizer
def test_codes_come_out_of_a_functional_model_and_go_into_one(case):
    encoder, quantizer, x = encoder_and_quantizer(case)
    to_codes = keras.Model(encoder.inputs[0], CodeIndices(quantizer)(encoder.outputs[0]))
    indices = to_numpy(to_codes(x))
    assert indices.dtype == "int32"
    assert to_codes.output_shape[1:] == indices.shape[1:]
    np.testing.assert_array_equal(indices, to_numpy(quantizer.encode(x)))
    codes = keras.Input(indices.shape[1:], dtype="int32")
    decoder = keras.Model(codes, CodeLookup(quantizer)(codes))
    assert decoder.output_shape[1:] == x.shape[1:]
    np.testing.assert_array_equal(to_numpy(decoder(indices)), to_numpy(quantizer.decode(indices)))
    assert not to_codes.losses


def test_a_mask_goes_through_codes():
    x = np.ones((2, 3, 4), "float32")
    x[:, 2] = 0.0
    for quantizer in (VectorQuantizer(8, 4), ResidualVectorQuantizer(2, 8, 4)):
        inputs = keras.Input((3, 4))
        codes = CodeIndices(quantizer)(keras.layers.Masking()(inputs))
        vectors = CodeLookup(quantizer)(codes)
        # A pooling that knows padding gives the mean of the first two.
        pooled = keras.layers.GlobalAveragePooling1D()(vectors)
        found, mean = keras.Model(inputs, [vectors, pooled])(x)
        assert not to_numpy(found)[:, 2].any()
        np.testing.assert_allclose(to_numpy(mean), to_numpy(found)[:, :2].mean(1), rtol=1e-5)


@pytest.mark.parametrize("make", [IndexBackpropQuantizer, GumbelQuantizer])
def test_indices_need_no_scores_of_all_codes_at_one_time(make, monkeypatch):
    quantizer = make(8, 4)
    quantizer.build((None, 4))
    x = normal((5, 4))
    expected = to_numpy(quantizer.encode(x))
    monkeypatch.setattr(type(quantizer), "discretize", None)  # which holds them
    np.testing.assert_array_equal(to_numpy(CodeIndices(quantizer)(x)), expected)


@each_quantizer
def test_vectors_of_another_length_are_refused_in_a_functional_model(case):
    quantizer = case.make()
    quantizer.build(case.inputs(0).shape)
    wrong = keras.Input((*case.inputs(0).shape[1:-1], case.dim + 1))
    with pytest.raises(ValueError, match=rf"vectors of length {case.dim} on the last axis"):
        quantizer(wrong)


@each_quantizer
def test_a_decoder_alone_is_saved_and_cloned(case, tmp_path):
    _, quantizer, x = encoder_and_quantizer(case)
    indices = to_numpy(quantizer.encode(x))
    codes = keras.Input(indices.shape[1:], dtype="int32")
    decoder = keras.Model(codes, CodeLookup(quantizer)(codes))
    expected = to_numpy(decoder(indices))
    decoder.save(tmp_path / "decoder.keras")
    loaded = keras.models.load_model(tmp_path / "decoder.keras")
    np.testing.assert_array_equal(to_numpy(loaded(indices)), expected)
    clone = keras.models.clone_model(decoder)
    clone.set_weights(decoder.get_weights())
    np.testing.assert_array_equal(to_numpy(clone(indices)), expected)


@each_quantizer
def test_what_are_no_indices_of_the_quantizer_is_refused(case):
    _, quantizer, x = encoder_and_quantizer(case)
    indices = to_numpy(quantizer.encode(x))
    lookup = CodeLookup(quantizer)
    with pytest.raises(TypeError, match=r"`indices`.*should be integers\. Received: dtype float32"):
        lookup(indices.astype("float32"))
    with pytest.raises(TypeError, match="should be integers"):
        CodeLookup(quantizer)(keras.Input(indices.shape[1:]))
    if not quantizer.has_index_axis:
        return
    for wrong in (indices[..., :-1], np.concatenate([indices, indices[..., :1]], -1)):
        with pytest.raises(ValueError, match="indices a position on the last axis"):
            lookup(wrong)
        with pytest.raises(ValueError, match="indices a position on the last axis"):
            CodeLookup(quantizer)(keras.Input(wrong.shape[1:], dtype="int32"))


def test_indices_are_the_quantizers_under_any_policy():
    before = keras.config.dtype_policy()
    z = np.random.default_rng(0).normal(size=(500, 4)).astype("float32")
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        for dtype in ("float32", None):
            quantizer = VectorQuantizer(256, embeddings_initializer="random_normal", dtype=dtype)
            expected = to_numpy(quantizer(z, return_indices=True)[1])
            layer = CodeIndices(quantizer)
            np.testing.assert_array_equal(to_numpy(layer(z)), expected)
            assert layer.dtype_policy == quantizer.dtype_policy
            codes = CodeLookup(quantizer)(expected)
            assert keras.backend.standardize_dtype(codes.dtype) == "float32"
            np.testing.assert_array_equal(to_numpy(codes), to_numpy(quantizer.decode(expected)))
    finally:
        keras.config.set_dtype_policy(before)


@each_quantizer
def test_config_round_trip(case):
    for kind in (CodeIndices, CodeLookup):
        layer = kind(case.make(), name="codes")
        again = kind.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert not again.weights


def test_a_saved_model_has_one_table_for_both_outputs(tmp_path):
    inputs = keras.Input((6, 3))
    quantizer = VectorQuantizer(5, seed=1)
    model = keras.Model(inputs, [quantizer(inputs), CodeIndices(quantizer)(inputs)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    for ours, theirs in zip(model(x), again(x), strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs))
    found = {id(w) for layer in again.layers for w in layer.weights}
    assert len(found) == len(quantizer.weights)


def test_padding_gets_no_index():
    inputs, mask = keras.Input((6, 3)), keras.Input((6,), dtype="bool")
    model = keras.Model([inputs, mask], CodeIndices(VectorQuantizer(5))(inputs, mask=mask))
    valid = np.arange(6) < np.array([[6], [2]])
    indices = to_numpy(model([np.ones((2, 6, 3), "float32"), valid]))
    np.testing.assert_array_equal(indices >= 0, valid)
    # Also by the mask that Keras hands on.
    skips = keras.Sequential([keras.layers.Masking(), CodeIndices(VectorQuantizer(5))])
    x = np.where(valid[..., None], 1.0, np.zeros((2, 6, 3), "float32"))
    np.testing.assert_array_equal(to_numpy(skips(x)) >= 0, valid)


def test_a_vqvae_of_parts_that_were_called_before_encodes():
    """Keras connects no second output of a layer whose first call had one."""
    encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 4, 4)])
    quantizer = VectorQuantizer(5)
    decoder = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Conv2DTranspose(1, 4, 4)])
    x = np.random.default_rng(0).random((6, 8, 8, 1), "float32")
    keras.Sequential([encoder, quantizer, decoder])(x)
    model = models.VQVAE(encoder, quantizer, decoder)
    model.compile("adam")
    images = (255 * x).astype("uint8")
    model.fit(images, verbose=0)
    assert model.encode(images).shape == (6, 2, 2)


def test_a_lookup_of_codes_of_unknown_length_says_what_to_do():
    codes = keras.Input((2, 2), dtype="int32")
    with pytest.raises(ValueError, match="Pass it an `embedding_dim`, or `build` it, before"):
        CodeLookup(VectorQuantizer(5))(codes)
    assert CodeLookup(VectorQuantizer(5, 3))(codes).shape == (None, 2, 2, 3)


@pytest.mark.parametrize("case", CODE_LAYERS, ids=by_name)
def test_what_is_no_quantizer_is_refused(case):
    with pytest.raises(ValueError, match="`quantizer` should be a quantizer"):
        case.covers[0](keras.layers.Dense(3))
    assert case.make(name="codes").name == "codes"
