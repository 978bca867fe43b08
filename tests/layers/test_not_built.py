"""What a quantizer says that is asked for its weights before there are any."""

import copy

import keras
import numpy as np
import pytest
from support import to_numpy

from keras_vqvae import layers
from keras_vqvae.layers import ResidualVectorQuantizer, VectorQuantizer

TEXT = r"^Layer '{}' is not built yet\. Call it, or `build` it, before `{}`\.$"
QUANTIZERS = {
    "vector": lambda: VectorQuantizer(8),
    "residual": lambda: ResidualVectorQuantizer(2, 8),
    "product": lambda: layers.ProductQuantizer(2, 8),
    "projected": lambda: layers.ProjectedQuantizer(VectorQuantizer(8), 2),
    "multi_scale": lambda: layers.MultiScaleVectorQuantizer(8, (1, 2)),
    "random_projection": lambda: layers.RandomProjectionQuantizer(8),
    "gumbel": lambda: layers.GumbelQuantizer(8),
    "sim": lambda: layers.SimVQ(8),
    "scalar": lambda: layers.FiniteScalarQuantizer((3, 3, 3, 3)),
    "lookup_free": lambda: layers.LookupFreeQuantizer(4),
    "latent": lambda: layers.LatentQuantizer((3, 3, 3, 3)),
}


@pytest.mark.parametrize("make", QUANTIZERS.values(), ids=QUANTIZERS)
def test_counts_say_so(make):
    layer = make()
    with pytest.raises(AttributeError, match=TEXT.format(layer.name, "code_counts")):
        _ = layer.code_counts
    assert not hasattr(layer, "code_counts")
    layer.build((None, 2, 2, 4))
    assert to_numpy(layer.code_counts).ndim == 1


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (VectorQuantizer(8), "embeddings"),
        (VectorQuantizer(8).codebook, "embeddings"),
        (VectorQuantizer(8).codebook, "code_counts"),
        (layers.GumbelQuantizer(8), "embeddings"),
        (layers.GumbelQuantizer(8), "temperature_weight"),
    ],
)
def test_weights_say_so(layer, name):
    with pytest.raises(AttributeError, match=TEXT.format(layer.name, name)):
        getattr(layer, name)
    assert not hasattr(layer, name)


def test_the_table_says_so():
    codebook = VectorQuantizer(8).codebook
    with pytest.raises(AttributeError, match=TEXT.format("codebook", "embeddings")):
        codebook.table()


def test_none_says_that_there_are_too_many_codes_to_count():
    layer = layers.LookupFreeQuantizer(24)
    layer.build((None, 24))
    assert layer.code_counts is None


@pytest.mark.parametrize("make", QUANTIZERS.values(), ids=QUANTIZERS)
def test_a_layer_that_is_not_built_is_copied_and_written_down(make):
    layer = make()
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    for other in (again, type(layer).from_config(layer.get_config()), copy.deepcopy(layer)):
        assert not other.built
        assert other.get_config() == layer.get_config()
        other.build((None, 2, 2, 4))
        assert not hasattr(layer, "code_counts")


def test_a_model_that_is_not_built_is_saved(tmp_path):
    model = keras.Sequential([VectorQuantizer(8, 2), layers.LookupFreeQuantizer(2)])
    with pytest.warns(UserWarning, match="built"):
        model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert not again.built
    assert tuple(again(np.ones((3, 2), "float32")).shape) == (3, 2)
