"""Any shape, rank, mask, dtype, table and sampler: a right result, or a documented error."""

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops
from support import normal, to_numpy

from keras_vqvae import layers, sampling

# JAX compiles every operation anew for every shape.
EXAMPLES = 8 if keras.backend.backend() == "jax" else 40
quickly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
numbers = st.integers(0, 2**31 - 1)


@st.composite
def quantizers(draw):
    """How to make a quantizer with a table of any size, and the length of its vectors."""
    dim, size = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    seed = draw(st.integers(0, 99))
    kind = draw(st.sampled_from(["vector", "ema", "residual", "product", "fsq", "lfq", "bsq"]))
    if kind == "vector":
        distance = draw(st.sampled_from(["euclidean", "cosine"]))
        return partial(layers.VectorQuantizer, size, dim, distance=distance, seed=seed), dim
    if kind == "ema":
        more = {"update": "ema", "embeddings_initializer": "kmeans", "revival": "replace_dead"}
        return partial(layers.VectorQuantizer, size, dim, **more, seed=seed), dim
    if kind == "residual":
        depths = draw(st.integers(1, 3))
        return partial(layers.ResidualVectorQuantizer, depths, size, dim, seed=seed), dim
    if kind == "product":
        heads = draw(st.integers(1, 3))
        return partial(layers.ProductQuantizer, heads, size, seed=seed), dim * heads
    if kind == "fsq":
        levels = draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
        return partial(layers.FiniteScalarQuantizer, tuple(levels)), len(levels)
    binary = layers.LookupFreeQuantizer if kind == "lfq" else layers.BinarySphericalQuantizer
    return partial(binary, dim), dim


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4)
# JAX has no float64, unless it is asked for.
DTYPES = ["float32", "float16", "bfloat16"] + ["float64"] * (keras.backend.backend() != "jax")
dtypes = st.sampled_from(DTYPES)


@quickly
@given(quantizer=quantizers(), shape=shapes, dtype=dtypes, seed=numbers, scale=st.floats(1e-3, 1e3))
def test_quantizers_of_any_shape_and_dtype(quantizer, shape, dtype, seed, scale):
    make, dim = quantizer
    layer = make()
    rng = np.random.default_rng(seed)
    values = (scale * rng.normal(size=(*shape, dim))).astype("float32")
    x = ops.cast(ops.convert_to_tensor(values), dtype)
    mask = rng.random(shape) < 0.7
    mask_or_none = None if seed % 3 == 0 else ops.convert_to_tensor(mask)

    layer.build(tuple(x.shape))
    out = layer.discretize(x, training=True, mask=mask_or_none)
    assert tuple(out.quantized.shape) == tuple(x.shape)
    assert all(np.isfinite(to_numpy(ops.cast(v, "float32"))).all() for v in out.losses.values())
    z_q, indices = layer(x, mask=mask_or_none, return_indices=True)
    indices = to_numpy(indices)
    valid = mask if mask_or_none is not None else np.ones(shape, bool)
    several = indices.ndim > len(shape)
    assert (indices[valid] >= 0).all()
    sizes = np.broadcast_to(np.asarray(layer.table_sizes), indices.shape[len(shape) :] or (1,))
    assert (indices[valid].reshape(-1, sizes.size) < sizes.reshape(1, -1)).all()
    assert (indices[~valid] == -1).all()
    # The same again from the indices: bit for bit where the compute dtype is float32.
    decoded = to_numpy(ops.cast(layer.decode(indices), "float32"))
    again = to_numpy(ops.cast(z_q, "float32"))
    if several:  # sums of several codes, in another order
        np.testing.assert_allclose(decoded[valid], again[valid], rtol=1e-4, atol=1e-4 * scale)
    else:
        np.testing.assert_array_equal(decoded[valid], again[valid])
    assert np.isfinite(decoded).all()


@quickly
@given(quantizer=quantizers(), shape=shapes, seed=numbers)
def test_masked_positions_change_nothing(quantizer, shape, seed):
    make, dim = quantizer
    layer = make()
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(*shape, dim)).astype("float32")
    mask = rng.random(shape) < 0.5
    other = np.where(mask[..., None], values, 1e3 * normal(values.shape, 1))
    layer.build((None, *values.shape[1:]))
    before = [to_numpy(w) for w in layer.variables]
    found = []
    for x in (values, other):
        for variable, value in zip(layer.variables, before, strict=True):
            variable.assign(value)
        out = layer.discretize(
            ops.convert_to_tensor(x), training=True, mask=ops.convert_to_tensor(mask)
        )
        state = [to_numpy(w) for w in layer.variables]
        losses = [float(out.losses[name]) for name in sorted(out.losses)]
        found.append((to_numpy(out.indices), losses, state))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    for a, b in zip(found[0][2], found[1][2], strict=True):
        np.testing.assert_array_equal(a, b)


@st.composite
def samplers(draw):
    temperature = draw(st.floats(1e-3, 1e3))
    kind = draw(st.sampled_from(["random", "greedy", "top_k", "top_p"]))
    if kind == "top_k":
        return sampling.TopK(draw(st.integers(1, 12)), temperature)
    if kind == "top_p":
        return sampling.TopP(draw(st.floats(1e-6, 1.0)), temperature)
    return sampling.Greedy() if kind == "greedy" else sampling.Random(temperature)


@quickly
@given(
    sampler=samplers(),
    size=st.integers(2, 12),
    seed=numbers,
    scale=st.one_of(st.just(0.0), st.floats(1e-3, 50)),
)
def test_samplers_draw_what_they_may(sampler, size, seed, scale):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.normal(size=(8, size))).astype("float32")
    logits[rng.random(logits.shape) < 0.2] = -1e9  # impossible codes
    logits[:, rng.integers(size)] = 0.0
    if isinstance(sampler, sampling.TopK) and sampler.k > size:
        with pytest.raises(ValueError, match="`k` should be at most the number of codes"):
            sampler.check(size)
        return
    uniforms = rng.random(8).astype("float32")
    tensors = ops.convert_to_tensor(logits), ops.convert_to_tensor(uniforms)
    drawn = to_numpy(sampler.draw(*tensors, sampler.settings()))
    assert ((drawn >= 0) & (drawn < size)).all()
    chosen = np.take_along_axis(logits, drawn[:, None], axis=1)[:, 0]
    assert (chosen > -1e8).all()
    better = (logits > chosen[:, None]).sum(axis=1)
    if isinstance(sampler, sampling.Greedy):
        assert (better == 0).all()
    elif isinstance(sampler, sampling.TopK):
        assert (better < sampler.k).all()
    elif isinstance(sampler, sampling.TopP):
        scaled = logits.astype("float64") / sampler.temperature
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        before = (weights * (logits > chosen[:, None])).sum(axis=1)
        assert (before < sampler.p + 1e-5).all()  # float32 sums
