"""`ResidualQuantizer` and `GroupedQuantizer`, made of quantizers of one's own choice."""

import re

import keras
import numpy as np
import pytest
from support import gradients, normal, same_bits, to_numpy, values_of

from keras_vqvae import layers
from keras_vqvae.layers import (
    FiniteScalarQuantizer,
    GroupedQuantizer,
    LookupFreeQuantizer,
    ProductQuantizer,
    ProjectedQuantizer,
    QuantizeDropout,
    ResidualQuantizer,
    ResidualVectorQuantizer,
    SimVQ,
    VectorQuantizer,
)


def losses_of(output):
    return {name: float(value) for name, value in output.losses.items()}


def mixed(**options):
    parts = [VectorQuantizer(5, seed=0), SimVQ(4, seed=1), LookupFreeQuantizer(3, scale=0.25)]
    layer = ResidualQuantizer(parts, **options)
    layer.build((None, 3))
    parts[0].embeddings.assign(normal((5, 3), 2))
    return layer


# -- residual -------------------------------------------------------------------------------------


def test_residual_of_tables_is_the_residual_vector_quantizer():
    options = {"update": "ema", "embeddings_initializer": "kmeans", "revival": "replace_dead"}
    ours = ResidualQuantizer([VectorQuantizer(6, seed=5 + i, **options) for i in range(3)])
    reference = ResidualVectorQuantizer(3, 6, seed=5, **options)
    for layer in (ours, reference):
        layer.build((None, 4))
    for step in range(3):
        x = normal((30, 4), step)
        a, b = (layer.discretize(x, training=True) for layer in (ours, reference))
        np.testing.assert_array_equal(to_numpy(a.indices), to_numpy(b.indices))
        assert losses_of(a) == losses_of(b)
    assert same_bits(values_of(ours), values_of(reference))


def test_residual_is_brute_force():
    layer, x = mixed(depth_weights=(1.0, 0.5, 2.0)), normal((20, 3))
    out = layer.discretize(x)
    residual, total, indices = np.float64(x), np.zeros_like(x), []
    squares = []
    for part in layer.quantizers[:2]:
        table = np.float64(to_numpy(part.codebook.table()))
        index = np.argmin(((residual[:, None] - table) ** 2).sum(-1), axis=-1)
        indices.append(index)
        total, residual = total + table[index], residual - table[index]
        squares.append(np.mean(residual**2))
    bits = residual > 0
    indices.append(bits @ [1, 2, 4])
    total = total + np.where(bits, 0.25, -0.25)
    squares.append(np.mean((residual - np.where(bits, 0.25, -0.25)) ** 2))
    np.testing.assert_array_equal(to_numpy(out.indices), np.stack(indices, -1))
    np.testing.assert_allclose(to_numpy(out.quantized), total, rtol=1e-5, atol=1e-6)
    losses = losses_of(out)
    assert tuple(losses) == layer.loss_names == ("codebook_loss", "commitment_loss", "entropy_loss")
    assert losses["codebook_loss"] == pytest.approx((squares[0] + 0.5 * squares[1]) / 3, rel=1e-5)
    by_hand = 0.25 * (squares[0] + 0.5 * squares[1] + 2 * squares[2]) / 3
    assert losses["commitment_loss"] == pytest.approx(by_hand, rel=1e-5)
    alone = losses_of(layer.quantizers[2].discretize(residual.astype("float32")))
    assert losses["entropy_loss"] == pytest.approx(2 * alone["entropy_loss"] / 3, rel=1e-4)


def test_trap_10_every_depths_commitment_loss_reaches_the_vectors():
    """Trap 10. And the gradient of the values passes once, not once a depth."""
    x, weights = normal((20, 3)), normal((20, 3), 1)
    for depth in range(3):
        layer = mixed(depth_weights=np.eye(3)[depth].tolist())
        by_x, _ = gradients(lambda x, q=layer: q.discretize(x).losses["commitment_loss"], x)
        assert by_x.any(axis=-1).all()
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x).quantized * weights), x)
    np.testing.assert_array_equal(by_x, weights)


def test_trap_2_each_table_learns_from_its_own_depth_alone():
    x = normal((20, 3))
    for depth, trained in ((0, [True, False]), (1, [False, True]), (2, [False, False])):
        layer = mixed(depth_weights=np.eye(3)[depth].tolist())

        def loss(x, layer=layer):
            out = layer.discretize(x)
            return keras.ops.sum(out.quantized) + sum(out.losses.values())

        _, by_tables = gradients(loss, x, layer.trainable_variables)
        assert [bool(g.any()) for g in by_tables] == trained


def test_dropped_depths_are_minus_one_and_cost_nothing():
    layer, x = mixed(dropout=QuantizeDropout("sample", minimum=1), seed=4), normal((40, 2, 3))
    out = layer.discretize(x, training=True)
    kept = (to_numpy(out.indices) >= 0).sum(-1)
    assert set(kept.ravel()) == {1, 2, 3}
    np.testing.assert_array_equal(to_numpy(layer.decode(out.indices)), to_numpy(out.quantized))
    counted = [to_numpy(part.code_counts).sum() for part in layer.quantizers]
    assert counted == [(kept > depth).sum() for depth in range(3)]


def projecting(count=3, make=lambda i: VectorQuantizer(5, seed=i), **options):
    """Depths with projections of their own, from 4 numbers to 2, and biases that are not zero."""
    parts = [ProjectedQuantizer(make(i), codebook_dim=2) for i in range(count)]
    layer = ResidualQuantizer(parts, **options)
    layer.build((None, 4))
    for i, part in enumerate(parts):
        part.project_in.bias.assign([0.1 * i, -0.2])
        part.project_out.bias.assign(0.1 * normal((4,), i))
        if isinstance(part.quantizer, VectorQuantizer):
            part.quantizer.embeddings.assign(normal((5, 2), 10 + i))
    return layer


def maps_of(layer):
    return [
        [np.float64(to_numpy(w)) for d in (part.project_in, part.project_out) for w in d.weights]
        for part in layer.quantizers
    ]


def test_residual_of_projections_is_brute_force():
    layer, x = projecting(), normal((20, 4), 5)
    out = layer.discretize(x)
    residual, squares = np.float64(x), []
    for part, (w_in, b_in, w_out, b_out) in zip(layer.quantizers, maps_of(layer), strict=True):
        y, table = residual @ w_in + b_in, np.float64(to_numpy(part.quantizer.embeddings))
        codes = table[np.square(y[:, None] - table).sum(-1).argmin(-1)]
        squares.append(np.mean((y - codes) ** 2))
        residual = residual - (codes @ w_out + b_out)
    np.testing.assert_allclose(to_numpy(out.quantized), x - residual, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(layer.decode(out.indices)), to_numpy(out.quantized))
    assert losses_of(out)["codebook_loss"] == pytest.approx(np.mean(squares), rel=1e-4)
    assert layer.codebook_shape == (3, 5, 2)
    assert layer.embedding_dim == 4
    assert [use.quantizer for use in layer.tables()] == [p.quantizer for p in layer.quantizers]


def test_the_gradient_of_projections_is_that_of_the_steps_as_they_stand():
    # r_{i+1} = r_i − r_i A_i with A_i = W_in W_out, straight through the codes, and z_q = x − r_Q.
    layer, x, g = projecting(), normal((20, 4), 5), normal((20, 4), 6)
    by_x, by_weights = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * g), x, layer.trainable_variables
    )
    left = np.eye(4)
    for w_in, _, w_out, _ in maps_of(layer):
        left = left @ (np.eye(4) - w_in @ w_out)
    np.testing.assert_allclose(by_x, g @ (np.eye(4) - left).T, rtol=1e-4, atol=1e-5)
    names = [w.path for w in layer.trainable_variables]
    for name, by_weight in zip(names, by_weights, strict=True):  # tables learn from losses alone
        assert by_weight.any() == ("/project_" in name), name


def test_trap_10_losses_of_projected_depths_reach_vectors_and_projections():
    for depth in range(3):
        layer = projecting(depth_weights=np.eye(3)[depth].tolist())
        by_x, by_weights = gradients(
            lambda x, layer=layer: layer.discretize(x).losses["commitment_loss"],
            normal((20, 4), 5),
            [part.project_in.kernel for part in layer.quantizers],
        )
        assert by_x.any(axis=-1).all()
        assert [bool(w.any()) for w in by_weights] == [i <= depth for i in range(3)]


@pytest.mark.parametrize(
    "make",
    [
        lambda i: VectorQuantizer(5, distance="cosine", estimator="rotation", seed=i),
        lambda i: VectorQuantizer(5, update="ema", embeddings_initializer="kmeans", seed=i),
        lambda i: FiniteScalarQuantizer((3, 5)),
        lambda i: LookupFreeQuantizer(2),
    ],
    ids=["cosine", "ema", "fsq", "lfq"],
)
def test_projections_go_around_any_quantizer(make):
    layer = projecting(make=make, dropout=QuantizeDropout("sample", minimum=1), seed=4)
    x, mask = normal((30, 2, 4), 5), np.arange(60).reshape(30, 2) % 7 > 0
    out = layer.discretize(np.where(mask[..., None], x, np.nan), training=True, mask=mask)
    indices = to_numpy(out.indices)
    assert set((indices >= 0).sum(-1).ravel()) == {0, 1, 2, 3}
    assert not to_numpy(out.quantized)[~mask].any()
    assert all(np.isfinite(value) for value in losses_of(out).values())
    after = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(layer.decode(after.indices)), to_numpy(after.quantized))
    np.testing.assert_array_equal(to_numpy(layer.encode(x)), to_numpy(after.indices))


def test_projections_and_plain_quantizers_do_not_mix():
    with pytest.raises(ValueError, match=r"`quantizers\[0\]`.* a `ProjectedQuantizer` around each"):
        ResidualQuantizer(
            [ProjectedQuantizer(VectorQuantizer(5), codebook_dim=2), VectorQuantizer(5)]
        )


def test_projections_learn_what_depths_are_for():
    """Trained alike, three depths leave less than 0.6 of the error of one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 4)).astype("float32")

    def error(count):
        keras.utils.set_random_seed(1)
        layer = projecting(
            count, lambda i: VectorQuantizer(5, update="ema", embeddings_initializer="kmeans")
        )
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile(keras.optimizers.Adam(0.02), "mse")
        model.fit(x, x, epochs=30, batch_size=64, verbose=0)
        return float(np.mean((x - model.predict(x, verbose=0)) ** 2))

    one, three = error(1), error(3)
    assert three < 0.6 * one < 0.6


def test_residual_says_of_itself():
    layer = mixed()
    assert layer.table_sizes == layer.num_embeddings == (5, 4, 8)
    assert layer.codebook_shape == (17, 3)
    assert [use.name for use in layer.tables()] == ["depth_0", "depth_1", "depth_2"]
    assert layer.learns_by_gradient
    signs = ResidualQuantizer([LookupFreeQuantizer(3, scale=0.5**i) for i in range(2)])
    assert signs.codebook_shape == (2, 8, 3)
    assert not signs.learns_by_gradient


class StepQuantizer(FiniteScalarQuantizer):
    """One's own, which says that its gradient may be replaced."""

    passes_straight_through = True


def test_what_can_be_no_depth_is_refused_with_the_remedy():
    for part, message in (
        (FiniteScalarQuantizer((3, 3)), "hand on the gradient straight through"),
        (VectorQuantizer(4, estimator="rotation"), "hand on the gradient straight through"),
        (VectorQuantizer(4, distance="cosine"), "no `distance='cosine'`"),
        (layers.GumbelQuantizer(4), "hand on the gradient straight through"),
        (ProductQuantizer(2, 4), "one index a position"),
    ):
        with pytest.raises(ValueError, match=r"`quantizers\[1\]` should .*" + message):
            ResidualQuantizer([SimVQ(4), part])
    assert ResidualQuantizer([StepQuantizer((3, 3))]).num_quantizers == 1
    with pytest.raises(ValueError, match="one for each of the 2 depths"):
        ResidualQuantizer([SimVQ(4), SimVQ(4)], depth_weights=[1.0])
    with pytest.raises(ValueError, match="`depth_weights` should be ≥ 0"):
        ResidualQuantizer([SimVQ(4), SimVQ(4)], depth_weights=[1.0, float("nan")])


# -- grouped --------------------------------------------------------------------------------------


def test_groups_are_the_quantizers_of_the_pieces():
    parts = [
        ResidualQuantizer([SimVQ(4, seed=i) for i in range(2)]),
        LookupFreeQuantizer(2),
        VectorQuantizer(5, embeddings_initializer="random_normal", seed=7),
    ]
    layer, x, weights = GroupedQuantizer(parts), normal((20, 6)), normal((20, 6), 1)
    layer.build(x.shape)
    out = layer.discretize(x)
    pieces = [part.discretize(x[:, 2 * i : 2 * i + 2]) for i, part in enumerate(parts)]
    indices = np.concatenate([to_numpy(p.indices).reshape(20, -1) for p in pieces], axis=-1)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    values = np.concatenate([to_numpy(p.quantized) for p in pieces], axis=-1)
    np.testing.assert_array_equal(to_numpy(out.quantized), values)
    assert tuple(losses_of(out)) == layer.loss_names
    for name, value in losses_of(out).items():
        mean = sum(losses_of(p).get(name, 0.0) for p in pieces) / 3
        assert value == pytest.approx(mean, rel=1e-5)
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x).quantized * weights), x)
    np.testing.assert_array_equal(by_x, weights)  # of these pieces, each straight through
    names = ["group_0/depth_0", "group_0/depth_1", "group_1", "group_2"]
    assert [use.name for use in layer.tables()] == names
    assert [use.positions for use in layer.tables()] == [(0,), (1,), (2,), (3,)]
    assert layer.table_sizes == (4, 4, 4, 5)
    assert (layer.embedding_dim, layer.codebook_shape) == (6, (17, 2))


def test_trap_15_groups_go_past_thirty_bits():
    layer = GroupedQuantizer([LookupFreeQuantizer(30) for _ in range(2)])
    layer.build((None, 60))
    assert layer.uniform_bits_per_position == 60
    assert layer.codebook_shape == (2, 2**30, 30)
    indices = np.array([[2**24 + 1, 2**30 - 2], [0, 2**30 - 1]], "int32")
    np.testing.assert_array_equal(to_numpy(layer.encode(layer.decode(indices))), indices)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResidualVectorQuantizer(1, 5),
        lambda: ProductQuantizer(1, 5),
        lambda: layers.ResidualFiniteScalarQuantizer(1, (3, 2, 2, 2)),
        lambda: layers.GroupedResidualVectorQuantizer(2, 1, 8),
        lambda: GroupedQuantizer([ProductQuantizer(1, 5)]),
        lambda: GroupedQuantizer([ResidualVectorQuantizer(1, 5), SimVQ(4)]),
        lambda: GroupedQuantizer([layers.LatentQuantizer((5, 5)), SimVQ(4)]),
        lambda: layers.ProjectedQuantizer(ProductQuantizer(1, 5), codebook_dim=2),
    ],
)
def test_one_index_keeps_its_axis(make):
    layer, x = make(), normal((2, 3, 4))
    layer.build(x.shape)
    out = layer.discretize(x)
    count = len(layer.table_sizes)
    assert layer.has_index_axis
    assert tuple(out.indices.shape) == layer.indices_shape(x.shape) == (2, 3, count)
    np.testing.assert_array_equal(to_numpy(layer.encode(x)), to_numpy(out.indices))
    np.testing.assert_array_equal(to_numpy(layer.decode(out.indices)), to_numpy(out.quantized))
    with pytest.raises(ValueError, match=f"{count} indices a position on the last axis"):
        layer.decode(np.zeros((2, count + 1), "int32"))


# -- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [ResidualQuantizer, GroupedQuantizer])
def test_arguments_are_checked(cls):
    same = SimVQ(4)
    for parts, message in (
        ([], "should be a list of quantizers"),
        (same, "should be a list of quantizers"),
        ([same, 512], "`quantizers[1]` should be a quantizer"),
        ([same, same], "`quantizers[1]`, or a part of it, stands in the list before"),
        (
            [layers.ProjectedQuantizer(same, 2), layers.ProjectedQuantizer(same, 2)],
            "`quantizers[1]`, or a part of it, stands in the list before",
        ),
        ([SimVQ(4, 3), SimVQ(4, 2)], "vectors of one length. Received: [2, 3]"),
        ([layers.MultiScaleVectorQuantizer(4, (1, 2))], "give indices to each position"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            cls(parts)


@pytest.mark.parametrize("cls", [ResidualQuantizer, GroupedQuantizer])
def test_it_knows_the_length_of_vectors_from_any_part(cls):
    layer = cls([SimVQ(4), SimVQ(4, 3)])
    assert layer.embedding_dim == (3 if cls is ResidualQuantizer else 6)
    with pytest.raises(ValueError, match="expects vectors of length"):
        layer.build((None, 4))


def test_scale_of_lookup_free_codes_is_checked():
    for scale in (0, -1.0, float("inf"), "1"):
        with pytest.raises(ValueError, match="`scale` should be > 0"):
            LookupFreeQuantizer(3, scale=scale)
    assert LookupFreeQuantizer(3, scale=np.float32(0.5)).get_config()["scale"] == 0.5
