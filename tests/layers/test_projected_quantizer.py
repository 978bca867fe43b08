import re

import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.layers import (
    FiniteScalarQuantizer,
    ProductQuantizer,
    ProjectedQuantizer,
    QuantizeDropout,
    ResidualVectorQuantizer,
    VectorQuantizer,
)

TABLE = normal((5, 2), 1)


def projected(dim=4, **options):
    layer = ProjectedQuantizer(VectorQuantizer(5, **options), codebook_dim=2)
    layer.build((None, dim))
    layer.quantizer.embeddings.assign(TABLE)
    layer.project_in.bias.assign([0.3, -0.2])
    layer.project_out.bias.assign(np.arange(dim, dtype="float32"))
    return layer


def weights_of(layer):
    dense = (layer.project_in, layer.project_out)
    return [np.float64(to_numpy(w)) for d in dense for w in (d.kernel, d.bias)]


def reference(layer, x, beta=0.25, distance="euclidean"):
    """Codes, indices and the commitment loss in float64."""
    w_in, b_in, w_out, b_out = weights_of(layer)
    y, table = x @ w_in + b_in, np.float64(TABLE)
    if distance == "cosine":
        y = y / np.linalg.norm(y, axis=-1, keepdims=True)
        table = table / np.linalg.norm(table, axis=-1, keepdims=True)
    indices = np.square(y[:, None] - table).sum(-1).argmin(-1)
    codes = table[indices]
    return codes @ w_out + b_out, indices, beta * np.mean((y - codes) ** 2)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_it_is_brute_force(distance):
    layer, x = projected(distance=distance), normal((20, 4))
    out = layer.discretize(x)
    codes, indices, loss = reference(layer, x, distance=distance)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_allclose(to_numpy(out.quantized), codes, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer.decode(indices)), codes, rtol=1e-5, atol=1e-5)
    # Losses are those of the two dimensions in which codes are compared.
    assert float(out.losses["commitment_loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(out.losses["codebook_loss"]) == pytest.approx(4 * loss, rel=1e-5)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_trap_12_masked_losses_are_taken_in_the_projected_space(distance):
    layer, x = projected(distance=distance), normal((6, 4))
    mask = np.array([1, 0, 1, 1, 0, 1], bool)
    spoilt = np.where(mask[:, None], x, np.nan).astype("float32")
    out = layer.discretize(spoilt, mask=mask)
    _, indices, loss = reference(layer, x[mask], distance=distance)
    assert float(out.losses["commitment_loss"]) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_array_equal(to_numpy(out.indices)[mask], indices)
    assert not to_numpy(out.quantized)[~mask].any()  # the bias is no code


def test_minus_one_decodes_to_zeros_and_not_to_the_bias():
    layer = projected()
    found = to_numpy(layer.decode(np.array([-1, 2])))
    assert not found[0].any()
    assert found[1].any()


def test_where_only_deeper_indices_are_left_out_the_first_ones_count():
    layer = ProjectedQuantizer(ResidualVectorQuantizer(2, 5, 2))
    layer.build((None, 4))
    layer.project_out.bias.assign(np.ones(4))
    first = to_numpy(layer.quantizer.quantizers[0].embeddings)[3]
    expected = first @ to_numpy(layer.project_out.kernel) + 1.0
    found = to_numpy(layer.decode(np.array([[3, -1], [-1, -1]])))
    np.testing.assert_allclose(found, [expected, np.zeros(4)], rtol=1e-5)


def test_what_learns_from_what():
    layer, x, w = projected(), normal((10, 4)), normal((10, 4), 2)
    variables = [layer.project_in.kernel, layer.project_out.kernel, layer.quantizer.embeddings]

    def by(term):
        function = lambda x: term(layer.discretize(x))  # noqa: E731
        by_x, by_variables = gradients(function, x, variables)
        return by_x, [bool(g.any()) for g in by_variables]

    output, kernels = by(lambda out: keras.ops.sum(out.quantized * w))
    # Straight through between the two matrices.
    w_in, _, w_out, _ = weights_of(layer)
    np.testing.assert_allclose(output, w @ w_out.T @ w_in.T, rtol=1e-4, atol=1e-5)
    assert kernels == [True, True, False]
    assert by(lambda out: out.losses["commitment_loss"])[1] == [True, False, False]
    assert by(lambda out: out.losses["codebook_loss"])[1] == [False, False, True]


def test_it_takes_other_quantizers():
    fsq = ProjectedQuantizer(FiniteScalarQuantizer((4, 3, 5)))
    assert fsq.codebook_dim == 3
    assert fsq.encode(normal((2, 7))).shape == (2,)
    assert (fsq.num_embeddings, fsq.loss_names, fsq.learns_by_gradient) == (60, (), False)
    dropout = QuantizeDropout("sample", minimum=1)
    rvq = ProjectedQuantizer(ResidualVectorQuantizer(3, 4, dropout=dropout, seed=0), 2)
    rvq.build((None, 7))
    indices = to_numpy(rvq.discretize(normal((64, 2, 7)), training=True).indices)
    kept = (indices >= 0).sum(-1)
    assert (kept[:, 0] == kept[:, 1]).all()  # drawn per sample, not per position
    assert set(kept.ravel()) == {1, 2, 3}
    assert [use.name for use in rvq.tables()] == ["depth_0", "depth_1", "depth_2"]


def test_the_table_is_found_by_its_path():
    # models.VQVAE gives it an optimizer of its own by this pattern.
    layer = ProjectedQuantizer(VectorQuantizer(5), 2, name="quantizer")
    inputs = keras.Input((4,))
    keras.Model(inputs, layer(inputs))
    pattern = r"(.*/)?quantizer/(.*/)?codebook/embeddings"
    found = [w.path for w in layer.trainable_variables if re.fullmatch(pattern, w.path)]
    assert len(found) == 1
    assert len(layer.trainable_variables) == 5


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"`quantizer` should be a quantizer.*Received"):
        ProjectedQuantizer(keras.layers.Dense(3), 2)
    for wrong in (None, 0, 2.0):
        with pytest.raises(ValueError, match="`codebook_dim` should be a positive integer"):
            ProjectedQuantizer(VectorQuantizer(5), wrong)
    with pytest.raises(ValueError, match="the length of the quantizer's vectors, 3; leave it out"):
        ProjectedQuantizer(VectorQuantizer(5, 3), 2)
    with pytest.raises(ValueError, match="expects vectors of a known length"):
        ProjectedQuantizer(VectorQuantizer(5), 2).build((None, None))


# -- heads ----------------------------------------------------------------------------------------


def shared_heads(table, **options):
    layer = ProductQuantizer(2, len(table), shared_codebook=True, **options)
    layer.build((None, 2 * table.shape[1]))
    layer.quantizers[0].embeddings.assign(table)
    return layer


def test_heads_with_a_shared_table_are_brute_force():
    layer, x = shared_heads(TABLE), normal((3, 4, 4))
    out = layer.discretize(x)
    pieces = x.reshape(3, 4, 2, 2)
    indices = np.square(pieces[..., None, :] - TABLE).sum(-1).argmin(-1)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    codes = TABLE[indices].reshape(3, 4, 4)
    np.testing.assert_array_equal(to_numpy(out.quantized), codes)
    np.testing.assert_array_equal(to_numpy(layer.decode(indices)), codes)
    loss = np.mean((x - codes) ** 2)
    assert float(out.losses["codebook_loss"]) == pytest.approx(loss, rel=1e-5)
    assert layer.codebook_shape == (5, 2)
    assert (layer.table_sizes, layer.num_embeddings, layer.embedding_dim) == ((5, 5), 5, 4)
    assert [use.positions for use in layer.tables()] == [(0, 1)]
    assert len(layer.trainable_variables) == 1


def test_shared_heads_with_a_mask_and_with_minus_one():
    layer, x = shared_heads(TABLE), normal((3, 4, 4))
    mask = np.array([[1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 1]], bool)
    out = layer.discretize(np.where(mask[..., None], x, np.nan).astype("float32"), mask=mask)
    plain = layer.discretize(x[mask])
    np.testing.assert_array_equal(to_numpy(out.indices)[mask], to_numpy(plain.indices))
    assert (to_numpy(out.indices)[~mask] == -1).all()
    assert float(out.losses["codebook_loss"]) == pytest.approx(
        float(plain.losses["codebook_loss"]), rel=1e-5
    )
    found = to_numpy(layer.decode(np.array([[2, -1]])))
    np.testing.assert_array_equal(found, [[*TABLE[2], 0.0, 0.0]])


def test_a_table_of_all_heads_learns_once_from_all():
    table = np.array([[0.0], [10.0]], "float32")
    layer = shared_heads(table, update="ema")
    layer(np.array([[1.0, 3.0], [2.0, 12.0]], "float32"), training=True)
    # Counts start at 0, so the first step moves each code to the mean of its pieces.
    np.testing.assert_allclose(to_numpy(layer.quantizers[0].embeddings), [[2.0], [12.0]], rtol=1e-6)
    assert to_numpy(layer.code_counts).tolist() == [3.0, 1.0]


def test_a_shared_table_has_one_size():
    with pytest.raises(ValueError, match="One table has one size"):
        ProductQuantizer(2, (4, 5), shared_codebook=True)
