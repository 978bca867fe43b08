"""FSQ, LFQ, BSQ and residual VQ against vector-quantize-pytorch, by goldens."""

import keras
import numpy as np
import pytest
from goldens import Goldens, assert_close
from support import gradients, to_numpy

from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import (
    BinaryMapper,
    BinarySphericalQuantizer,
    FiniteScalarPerturbation,
    FiniteScalarQuantizer,
    LookupFreeQuantizer,
    ResidualQuantizer,
    ResidualVectorQuantizer,
)
from keras_vqvae.ops import pack_digits


def by_values(layer, x, upstream):
    """The gradient to x of a sum of the values, each with its weight."""
    return gradients(lambda x: keras.ops.sum(layer(x) * upstream), x)[0]


@pytest.mark.parametrize("name", ["paper", "odd", "symmetric"])
def test_fsq(name):
    golden = Goldens(f"fsq_{name}")
    layer = FiniteScalarQuantizer(golden.levels.tolist(), symmetric=name == "symmetric")
    values, indices = layer(golden.x, return_indices=True)
    assert_close(to_numpy(values), golden.values)
    np.testing.assert_array_equal(to_numpy(indices), golden.indices)
    assert_close(by_values(layer, golden.x, golden.upstream), golden.gradients)


def test_trap_16_fsq_bounds_inside_the_outermost_levels():
    """Their bound is `(L − 1)(1 + ε) / 2`, the paper's and ours has `1 − ε`: ε = 10⁻³."""
    golden = Goldens("fsq_odd")  # no shift for odd L, so the gradient is proportional to it
    ours = by_values(FiniteScalarQuantizer(golden.levels.tolist()), golden.x, golden.upstream)
    # 1 − tanh² of large numbers has few digits left.
    np.testing.assert_allclose(golden.own / ours, 1.001 / 0.999, rtol=1e-4)


def test_fsp():
    golden = Goldens("fsp")
    layer = FiniteScalarPerturbation(golden.levels.tolist())
    layer.build(golden.x.shape)
    out = layer.discretize(golden.x)
    assert_close(to_numpy(out.quantized), golden.values)
    np.testing.assert_array_equal(to_numpy(out.indices), golden.indices)
    assert_close(by_values(layer, golden.x, golden.upstream), golden.gradients)
    # Theirs has π²/12 with four digits.
    assert_close(float(out.losses["moment_loss"]), golden.loss, rtol=1e-4)
    by_x, _ = gradients(lambda x: layer.discretize(x).losses["moment_loss"], golden.x)
    assert_close(by_x, golden.by_loss, rtol=1e-4)


def test_trap_15_indices_are_packed_as_integers():
    """Theirs are packed as float32, which is exact up to 2²⁴; here there are 2²⁷ codes."""
    golden = Goldens("fsq_packing")
    exact = (golden.digits * 8 ** np.arange(9)).sum(axis=-1)
    ours = pack_digits(golden.digits.astype("int32"), golden.levels.tolist())
    np.testing.assert_array_equal(to_numpy(ours), exact)
    assert (golden.indices != exact).any()


def signs(name, beta=0.0):
    """1 ÷ τ = 4; the weights of both entropies as in `make_goldens.py`."""
    kind = {"lfq": LookupFreeQuantizer, "bsq": BinarySphericalQuantizer}[name]
    return kind(6, beta=beta, entropy_weight=0.1, diversity_weight=1.0, temperature=0.25)


@pytest.mark.parametrize("name", ["lfq", "bsq"])
def test_trap_17_entropy_losses(name):
    golden = Goldens(name)
    out = signs(name, golden.beta).discretize(golden.x)
    assert_close(to_numpy(out.quantized), golden.values)
    # Their first bit counts most, ours least.
    reversed_bits = sum(((golden.indices >> i) & 1) << (5 - i) for i in range(6))
    np.testing.assert_array_equal(to_numpy(out.indices), reversed_bits)
    entropy, commitment = (float(out.losses[k]) for k in ("entropy_loss", "commitment_loss"))
    assert_close(entropy, 0.1 * (golden.entropy - golden.mean_entropy))
    assert_close(commitment, golden.beta * golden.commitment)
    layer = signs(name, golden.beta)
    by_x, _ = gradients(lambda x: sum(layer.discretize(x).losses.values()), golden.x)
    assert_close(by_x, golden.gradients)
    assert_close(entropy + commitment, golden.loss)


@pytest.mark.parametrize("name", ["lfq", "bsq"])
def test_trap_17_small_probabilities_count(name):
    """They cut the logarithm off at 10⁻⁵, so the entropy of a sure vector comes out too low."""
    golden = Goldens(name)
    of_each = float(
        type(signs(name))(6, beta=0, entropy_weight=1, diversity_weight=0, temperature=0.25)
        .discretize(golden.x)
        .losses["entropy_loss"]
    )
    assert_close(of_each, golden.entropy)
    assert golden.entropy_own < of_each - 1e-5


def residual(golden):
    layer = ResidualVectorQuantizer(3, 8, beta=golden.beta, update=EMAUpdate(golden.decay))
    layer.build((None, 4))
    for part, table in zip(layer.quantizers, golden.tables, strict=True):
        part.embeddings.assign(table)
        part.codebook.update_state["counts"].assign(np.ones(8))
    return layer


def test_residual_vq():
    golden = Goldens("residual")
    layer = residual(golden)
    for i, x in enumerate(golden.batches):
        by_losses, _ = gradients(lambda x: layer.discretize(x).losses["commitment_loss"], x)
        out = layer.discretize(x, training=True)
        np.testing.assert_array_equal(to_numpy(out.indices), golden.indices[i])
        assert_close(to_numpy(out.quantized), golden.values[i], atol=1e-5)
        # Theirs are listed by depth and added up here; ours is the mean of the depths.
        assert_close(float(out.losses["commitment_loss"]), golden.losses[i].mean())
        assert_close(by_losses, golden.by_losses[i] / 3)  # trap 10: every depth's reaches x
        tables = [to_numpy(part.embeddings) for part in layer.quantizers]
        assert_close(np.stack(tables), golden.tables_after[i], atol=1e-5)


def test_residual_gradients_pass_once():
    """Theirs passes every depth's gradient to the vectors, so Q depths hand on Q times as much."""
    golden = Goldens("residual")
    ours = by_values(residual(golden), golden.batches[0], golden.upstream)
    np.testing.assert_array_equal(ours, golden.upstream)
    assert_close(golden.by_values[0], 3 * golden.upstream)


def test_residual_lfq():
    golden = Goldens("residual_lfq")
    layer = ResidualQuantizer([LookupFreeQuantizer(4, scale=0.5**i) for i in range(3)])
    values, indices = layer(golden.x, return_indices=True)
    assert_close(to_numpy(values), golden.values)
    # Their first bit counts most, ours least.
    reversed_bits = sum(((golden.indices >> i) & 1) << (3 - i) for i in range(4))
    np.testing.assert_array_equal(to_numpy(indices), reversed_bits)
    # Theirs passes the gradient once for each depth, as above.
    ours = by_values(layer, golden.x, golden.upstream)
    np.testing.assert_array_equal(ours, golden.upstream)
    assert_close(golden.gradients, 3 * golden.upstream)


def test_binary_mapper():
    golden = Goldens("binary_mapper")
    layer = BinaryMapper(4, free_nats=0.5)
    layer.build(golden.x.shape)
    layer.projection.kernel.assign(np.eye(4, dtype="float32"))  # vectors are logits
    layer.embeddings.assign(golden.table)
    out = layer.discretize(golden.x)
    assert_close(to_numpy(out.quantized), golden.values)
    np.testing.assert_array_equal(to_numpy(out.indices), golden.indices)
    assert_close(float(out.losses["kl_loss"]), golden.loss)
    by_x, (by_table,) = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * golden.upstream),
        golden.x,
        [layer.embeddings],
    )
    assert_close(by_x, golden.gradients)
    by_loss, _ = gradients(lambda x: layer.discretize(x).losses["kl_loss"], golden.x)
    assert_close(by_loss, golden.by_loss)
    assert_close(by_table, golden.by_table)
