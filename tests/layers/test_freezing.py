"""Trap 20 in parts: what is frozen within a quantizer stays so where it is made again."""

import keras
import pytest
from support import normal, same_bits, values_of

from keras_vqvae import layers
from keras_vqvae.layers.freezing import frozen_parts

MADE = {
    "residual": (
        lambda: layers.ResidualVectorQuantizer(3, 8, update="ema"),
        lambda layer: [layer.quantizers[1], layer.quantizers[2].codebook],
        ["depth_1", "depth_2/codebook"],
    ),
    "product": (
        lambda: layers.ProductQuantizer(2, 8),
        lambda layer: [layer.quantizers[0]],
        ["group_0"],
    ),
    "grouped": (
        lambda: layers.GroupedResidualVectorQuantizer(2, 2, 8, update="ema"),
        lambda layer: [layer.quantizers[1].quantizers[0]],
        ["group_1/depth_0"],
    ),
    "implicit": (
        lambda: layers.ImplicitResidualVectorQuantizer(2, 8, 4),
        lambda layer: [layer.quantizers[1]],
        ["depth_1"],
    ),
    "latent": (
        lambda: layers.LatentQuantizer((4, 4, 4, 4)),
        lambda layer: [layer.quantizers[3]],
        ["group_3"],
    ),
    "any": (
        lambda: layers.ResidualQuantizer([layers.SimVQ(8), layers.SimVQ(8, name="second")]),
        lambda layer: [layer.quantizers[1]],
        ["second"],
    ),
    "gumbel": (  # whose projection is made by `build`
        lambda: layers.GumbelQuantizer(8, 4),
        lambda layer: [layer.projection],
        ["projection"],
    ),
}
each = pytest.mark.parametrize(("make", "parts", "names"), MADE.values(), ids=MADE)


def frozen(make, parts):
    layer = make()
    layer.build((None, 4))
    for part in parts(layer):
        part.trainable = False
    return layer


def trainable_flags(layer):
    return [weight.trainable for weight in layer.weights]


@each
def test_parts_stay_frozen_in_a_config(make, parts, names):
    layer = frozen(make, parts)
    assert frozen_parts(layer) == names
    again = type(layer).from_config(layer.get_config())
    again.build((None, 4))
    assert frozen_parts(again) == names
    assert trainable_flags(again) == trainable_flags(layer)
    for part in parts(again):
        part.trainable = True
    assert "frozen_parts" not in again.get_config()


@each
def test_parts_stay_frozen_in_a_model(make, parts, names, tmp_path):
    model = keras.Sequential([keras.Input((6, 4)), frozen(make, parts)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    for again in (loaded.layers[0], clone.layers[0]):
        assert frozen_parts(again) == names
        assert trainable_flags(again) == trainable_flags(model.layers[0])
    assert len(loaded.trainable_variables) == len(model.trainable_variables)


def test_a_convolution_of_several_scales_stays_frozen(tmp_path):
    """Convolutions are made behind what the base class makes."""
    layer = layers.MultiScaleVectorQuantizer(8, (1, 2), num_convolutions=2)
    model = keras.Sequential([keras.Input((2, 2, 4)), layer])
    layer.convolutions[0].trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[0]
    assert frozen_parts(again) == frozen_parts(layer) == ["convolution_0"]
    assert trainable_flags(again) == trainable_flags(layer)


def test_a_loaded_depth_learns_no_more():
    layer = frozen(*MADE["residual"][:2])
    again = type(layer).from_config(layer.get_config())
    again.build((None, 4))
    before = [values_of(part) for part in again.quantizers]
    again(normal((2, 6, 4)), training=True)
    after = [values_of(part) for part in again.quantizers]
    assert same_bits(before[1], after[1])
    assert not same_bits(before[0], after[0])


def test_of_a_frozen_layer_nothing_is_said_of_its_parts():
    layer = MADE["residual"][0]()
    layer.trainable = False
    assert "frozen_parts" not in layer.get_config()
    again = type(layer).from_config(layer.get_config())
    again.build((None, 4))
    assert again.weights
    assert not any(trainable_flags(again))


def test_names_may_be_the_same():
    parts = [layers.VectorQuantizer(8, name="one"), layers.VectorQuantizer(8, name="one")]
    layer = layers.ResidualQuantizer(parts)
    layer.build((None, 4))
    for i, name in enumerate(("one", "one#1")):
        for j, part in enumerate(layer.quantizers):
            part.trainable = i != j
        assert frozen_parts(layer) == [name]
        again = type(layer).from_config(layer.get_config())
        assert [part.trainable for part in again.quantizers] == [i == 1, i == 0]


def test_what_is_thawed_before_the_build_stays_thawed_and_what_is_not_made_is_not_forgotten():
    layer = frozen(*MADE["gumbel"][:2])
    layer.codebook.trainable = False
    again = type(layer).from_config(layer.get_config())
    again.codebook.trainable = True
    once_more = type(layer).from_config(again.get_config())  # neither is built
    for one in (again, once_more):
        one.build((None, 4))
        assert frozen_parts(one) == ["projection"]
