import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import GroupedResidualVectorQuantizer, ResidualVectorQuantizer


def quantizer(beam_size, **options):
    layer = ResidualVectorQuantizer(3, 4, 2, beam_size=beam_size, seed=0, **options)
    layer.build((None, 2))
    for i, part in enumerate(layer.quantizers):
        part.embeddings.assign(normal((4, 2), 10 + i, scale=0.7**i))
    return layer


def error(layer, x):
    return np.square(x - to_numpy(layer.decode(layer.encode(x)))).sum(-1)


def test_evaluation_searches_with_the_beam_and_training_does_not():
    x = normal((50, 2))
    greedy, beam = quantizer(1), quantizer(16)
    assert (error(beam, x) <= error(greedy, x) + 1e-6).all()  # 16 paths to the last table: exact
    assert (error(beam, x) < error(greedy, x) - 1e-3).any()
    found = to_numpy(beam.discretize(x, training=True).indices)
    np.testing.assert_array_equal(found, to_numpy(greedy.encode(x)))


def test_far_from_zero_the_beam_still_ends_nearer():
    greedy, beam, shift = quantizer(1), quantizer(16), np.float32(3000.0)
    for layer in (greedy, beam):
        first = layer.quantizers[0].embeddings
        first.assign(np.round(to_numpy(first) * 2**10) / 2**10 + shift)
    x = np.float32(np.round(normal((50, 2)) * 2**10) / 2**10) + shift
    assert (error(beam, x) <= error(greedy, x) + 1e-3).all()
    assert (error(beam, x) < error(greedy, x) - 1e-2).any()


@pytest.mark.parametrize("shared", [False, True])
def test_output_and_losses_are_those_of_the_path(shared):
    layer, x = quantizer(5, shared_codebook=shared, beta=0.5), normal((20, 2))
    tables = [to_numpy(layer.at(i).embeddings) for i in range(3)]
    out = layer.discretize(x)
    residual, squares = x.copy(), []
    for table, found in zip(tables, to_numpy(out.indices).T, strict=True):
        residual = residual - table[found]
        squares.append(np.mean(residual**2))
    np.testing.assert_allclose(to_numpy(out.quantized), x - residual, rtol=1e-5, atol=1e-6)
    assert float(out.losses["codebook_loss"]) == pytest.approx(np.mean(squares), rel=1e-5)
    assert float(out.losses["commitment_loss"]) == pytest.approx(0.5 * np.mean(squares), rel=1e-5)


def test_masks_and_gradients_are_as_ever():
    layer, x = quantizer(5), normal((4, 5, 2))
    mask = np.arange(20).reshape(4, 5) % 3 > 0
    spoilt = np.where(mask[..., None], x, np.nan).astype("float32")
    found = to_numpy(layer.discretize(spoilt, mask=mask).indices)
    np.testing.assert_array_equal(found[mask], to_numpy(layer.encode(x))[mask])
    assert (found[~mask] == -1).all()
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x).quantized), x)
    np.testing.assert_array_equal(by_x, np.ones_like(x))


def test_groups_pass_it_on():
    layer = GroupedResidualVectorQuantizer(2, 3, 4, 4, beam_size=5)
    assert [part.beam_size for part in layer.quantizers] == [5, 5]
    again = GroupedResidualVectorQuantizer.from_config(layer.get_config())
    assert again.quantizers[1].beam_size == 5


@pytest.mark.parametrize("wrong", [0, 2.0, True])
def test_the_size_is_checked(wrong):
    with pytest.raises(ValueError, match="`beam_size` should be a positive integer"):
        ResidualVectorQuantizer(2, 4, beam_size=wrong)
