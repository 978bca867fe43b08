import json

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import (
    GroupedQuantizer,
    GroupedResidualVectorQuantizer,
    ProductQuantizer,
    ProjectedQuantizer,
    RandomProjectionQuantizer,
    VectorQuantizer,
)

# What a class needs beside sizes.
_DEPTHS = {GroupedResidualVectorQuantizer: {"num_quantizers": 2}}


def nearest(x, table):
    return np.argmin(((x[:, None] - table) ** 2).sum(-1), axis=-1)


def losses_of(output):
    return {name: float(value) for name, value in output.losses.items()}


def test_product_is_brute_force():
    x, tables = normal((20, 4)), [normal((5, 2), 1), normal((3, 2), 2)]
    layer = ProductQuantizer(2, (5, 3), beta=0.5)
    layer.build((None, 4))
    for part, table in zip(layer.quantizers, tables, strict=True):
        part.embeddings.assign(table)
    indices = np.stack([nearest(x[:, :2], tables[0]), nearest(x[:, 2:], tables[1])], -1)
    codes = np.concatenate([tables[0][indices[:, 0]], tables[1][indices[:, 1]]], -1)
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_array_equal(to_numpy(out.quantized), codes)
    # Pieces are equally long, so the mean of their means is the mean.
    loss = np.mean((x - codes) ** 2)
    expected = {"codebook_loss": loss, "commitment_loss": 0.5 * loss}
    assert losses_of(out) == pytest.approx(expected, rel=1e-5)
    assert layer.num_embeddings == (5, 3)
    assert layer.codebook_shape == (8, 2)
    assert layer.uniform_bits_per_position == pytest.approx(np.log2(15))
    assert layer.embedding_dim == 4


def test_product_counts_and_gradients():
    layer = ProductQuantizer(2, 4, embeddings_initializer="random_normal")
    x, weights = normal((10, 4)), normal((10, 4), 1)
    layer(x, training=True)
    assert to_numpy(layer.code_counts).reshape(2, 4).sum(1).tolist() == [10, 10]
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x).quantized * weights), x)
    np.testing.assert_array_equal(by_x, weights)


def test_grouped_residual_is_brute_force():
    x = normal((20, 4))
    layer = GroupedResidualVectorQuantizer(2, num_quantizers=2, num_embeddings=(5, 3))
    layer.build((None, 4))
    indices, codes = [], []
    for g, group in enumerate(layer.quantizers):
        residual, total = x[:, 2 * g : 2 * g + 2], 0.0
        for i, part in enumerate(group.quantizers):
            table = normal(part.codebook_shape, 10 * g + i)
            part.embeddings.assign(table)
            indices.append(nearest(residual, table))
            residual = residual - table[indices[-1]]
            total = total + table[indices[-1]]
        codes.append(total)
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), np.stack(indices, -1))
    np.testing.assert_allclose(to_numpy(out.quantized), np.concatenate(codes, -1), rtol=1e-6)
    assert layer.table_sizes == (5, 3, 5, 3)
    names = ["group_0/depth_0", "group_0/depth_1", "group_1/depth_0", "group_1/depth_1"]
    assert [use.name for use in layer.tables()] == names
    assert [use.positions for use in layer.tables()] == [(0,), (1,), (2,), (3,)]
    np.testing.assert_array_equal(to_numpy(layer.decode(out.indices)), to_numpy(out.quantized))


@pytest.mark.parametrize("cls", [ProductQuantizer, GroupedResidualVectorQuantizer])
def test_arguments_are_checked(cls):
    sizes = {"num_embeddings": 4, **_DEPTHS.get(cls, {})}
    with pytest.raises(ValueError, match="`num_groups` should be a positive integer"):
        cls(num_groups=0, **sizes)
    with pytest.raises(ValueError, match="divisible by `num_groups`"):
        cls(num_groups=2, embedding_dim=3, **sizes)
    with pytest.raises(ValueError, match="cuts vectors into 2 equal pieces"):
        cls(num_groups=2, **sizes)(np.ones((1, 3), "float32"))
    with pytest.raises(ValueError, match="expects vectors of length 4"):
        cls(num_groups=2, embedding_dim=4, **sizes)(np.ones((1, 6), "float32"))
    with pytest.raises(ValueError, match="one number or one for each"):
        cls(num_groups=3, **{**sizes, "num_embeddings": (4, 4, 4, 4)})


@pytest.mark.parametrize("cls", [ProductQuantizer, GroupedResidualVectorQuantizer])
def test_the_number_of_groups_may_be_a_numpy_integer(cls):
    layer = cls(np.int64(2), num_embeddings=4, embedding_dim=4, **_DEPTHS.get(cls, {}))
    config = json.loads(json.dumps(layer.get_config()))  # as in a saved model
    assert cls.from_config(config).num_groups == 2


def test_a_wrong_mask_is_told_in_the_shape_of_the_positions():
    for layer in (
        ProductQuantizer(2, 4, shared_codebook=True, name="whole"),
        ProductQuantizer(2, 4, name="whole"),
    ):
        layer.build((None, 6))
        with pytest.raises(ValueError, match=r"layer 'whole'.*shape \(2, 3\)\. Received.*\(2, 4\)"):
            layer.discretize(normal((2, 3, 6)), mask=np.ones((2, 4), bool))


def test_depths_of_groups_do_not_start_alike():
    start = keras.initializers.RandomNormal(seed=0)
    layer = GroupedResidualVectorQuantizer(2, 3, 4, embeddings_initializer=start)
    layer.build((None, 6))
    firsts = [float(to_numpy(v)[0, 0]) for v in layer.trainable_variables]
    assert len(set(firsts)) == len(firsts) == 6


def test_groups_do_not_start_alike():
    layer = GroupedResidualVectorQuantizer(2, 2, 4, 4, seed=0)
    layer.build((None, 4))
    tables = [to_numpy(p.embeddings) for g in layer.quantizers for p in g.quantizers]
    assert len({table.tobytes() for table in tables}) == 4


def test_tables_of_groups_with_shared_tables():
    layer = GroupedResidualVectorQuantizer(2, 3, 4, shared_codebook=True)
    assert [(use.name, use.positions) for use in layer.tables()] == [
        ("group_0", (0, 1, 2)),
        ("group_1", (3, 4, 5)),
    ]


def test_sizes_may_be_an_array_and_shapes_that_differ_have_no_length_in_common():
    assert ProductQuantizer(2, np.array([4, 8])).num_embeddings == (4, 8)
    parts = [ProjectedQuantizer(VectorQuantizer(4), codebook_dim=c) for c in (1, 2)]
    layer = GroupedQuantizer(parts)
    layer.build((None, 6))
    assert layer.codebook_shape == (8, None)
    with pytest.raises(ValueError, match="`embedding_dim` should be a positive integer"):
        ProductQuantizer(2, 8, "a")
    with pytest.raises(ValueError, match="`embedding_dim` should be a positive integer"):
        RandomProjectionQuantizer(8, 4, embedding_dim=0)
