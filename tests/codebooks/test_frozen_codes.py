import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.codebooks import (
    AffineUpdate,
    AnchorRevival,
    Codebook,
    EMAUpdate,
    FrozenCodes,
    ReplaceDead,
    ReplaceUnused,
)
from keras_vqvae.layers import VectorQuantizer

TABLE = np.array([[0.0, 0.0], [100.0, 100.0], [1.0, 1.0], [-90.0, 90.0]], "float32")
RULES = {"gradient": "gradient", "ema": EMAUpdate(0.5), "affine": AffineUpdate(0.5, 0.5)}
REVIVALS = {
    "none": None,
    "dead": ReplaceDead(0.5, 0.1),
    "unused": ReplaceUnused(1),
    "cvq": AnchorRevival(0.5),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def quantizer(rule, codes=(0, 1), **options):
    layer = VectorQuantizer(4, 2, update=FrozenCodes(list(codes), rule), seed=0, **options)
    layer.build((None, 2))
    layer.embeddings.assign(TABLE)
    return layer


@each_rule
@pytest.mark.parametrize("revival", REVIVALS.values(), ids=REVIVALS)
@pytest.mark.parametrize("start", ["uniform", "kmeans"])
def test_they_stay_whatever_moves_the_others(rule, revival, start):
    layer = quantizer(rule, revival=revival, embeddings_initializer=start)
    x = normal((20, 2))
    for _ in range(3):
        layer(x, training=True)
    seen = to_numpy(layer.codebook.table())
    np.testing.assert_array_equal(to_numpy(layer.embeddings)[:2], TABLE[:2])
    np.testing.assert_array_equal(seen[:2], TABLE[:2])
    if revival is not None or start == "kmeans":
        assert np.abs(seen[3]).max() < 10  # the far one that may move has come


@pytest.mark.parametrize("revival", ["dead", "cvq"])
def test_the_others_are_revived_through_the_map_of_their_rule(revival):
    layer, x = quantizer(RULES["affine"], revival=REVIVALS[revival]), normal((20, 2))
    before = to_numpy(layer.embeddings)
    layer(x, training=True)
    seen = to_numpy(layer.codebook.table())[3]
    assert (to_numpy(layer.embeddings)[3] != before[3]).any()
    # An anchor is reached but for 0.001 of the way, which is less than 5 in the map.
    assert np.abs(x - seen).max(-1).min() < 5e-3


@each_rule
def test_trap_20_they_have_no_gradient_and_the_others_have(rule):
    layer = quantizer(rule)
    x = normal((20, 2))
    x[:5] += 1.0
    _, (by_table,) = gradients(
        lambda x: sum(layer.discretize(x).losses.values()), x, [layer.embeddings]
    )
    indices = to_numpy(layer.encode(x))
    assert {0, 2} <= set(indices.tolist())
    assert not by_table[:2].any()
    assert by_table[2].any() == (rule != RULES["ema"])


def test_in_fit_an_optimizer_leaves_them():
    layer = quantizer("gradient")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(normal((32, 2)) + 0.3, epochs=2, verbose=0)
    found = to_numpy(layer.embeddings)
    np.testing.assert_array_equal(found[:2], TABLE[:2])
    assert (found[2] != TABLE[2]).any()


def test_they_are_searched_and_counted():
    layer = quantizer("ema")
    layer(np.array([[0.1, 0.0], [99.0, 99.0]], "float32"), training=True)
    assert to_numpy(layer.code_counts).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert layer.learns_by_gradient is False
    assert quantizer("gradient").loss_names == ("codebook_loss", "commitment_loss")


def test_a_mask_says_the_same_as_indices():
    mask = Codebook(4, update=FrozenCodes([True, False, False, True])).frozen_codes
    indices = Codebook(4, update=FrozenCodes(np.array([0, 3]))).frozen_codes
    assert mask.tolist() == indices.tolist() == [True, False, False, True]


@pytest.mark.parametrize("codes", [3, [], [0.5], [True, 2.5], "ab", [[1]]])
def test_codes_are_indices_or_a_mask(codes):
    with pytest.raises(ValueError, match="`codes` should be indices"):
        FrozenCodes(codes)


def test_codes_are_in_the_table():
    for wrong in ([4], [-1]):
        with pytest.raises(ValueError, match=r"should be indices in \[0, 4\)"):
            VectorQuantizer(4, update=FrozenCodes(wrong))
    with pytest.raises(ValueError, match="a boolean for each of the 4 codes"):
        VectorQuantizer(4, update=FrozenCodes([True, False]))


def test_codes_are_frozen_in_one_place():
    with pytest.raises(ValueError, match="put all frozen codes into one `FrozenCodes`"):
        FrozenCodes([0], otherwise=FrozenCodes([1]))


def test_a_wrong_rule_is_told_by_the_name_of_its_argument():
    with pytest.raises(ValueError, match=r"`otherwise` should be one of.*: otherwise='x'"):
        FrozenCodes([0], otherwise="x")
