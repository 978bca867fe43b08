import keras
import numpy as np
import pytest
from support import gradients, normal, same_bits, to_numpy, values_of

from keras_vqvae import ops
from keras_vqvae.codebooks import EMAUpdate, KMeans
from keras_vqvae.layers import QuantizeDropout, ResidualVectorQuantizer
from keras_vqvae.layers.parts import spread_initializers


def with_tables(tables, **options):
    layer = ResidualVectorQuantizer(len(tables), [len(t) for t in tables], seed=0, **options)
    layer.build((None, tables[0].shape[1]))
    for part, table in zip(layer.quantizers, tables, strict=False):
        part.embeddings.assign(table)
    return layer


def some_tables(sizes=(5, 4, 6), dim=3):
    return [normal((size, dim), 10 + i, scale=0.5**i) for i, size in enumerate(sizes)]


def brute_force(x, tables, beta=0.25, weights=None):
    residual, total, indices, codebook = x.copy(), np.zeros_like(x), [], []
    for table in tables:
        index = np.argmin(((residual[:, None] - table) ** 2).sum(-1), axis=-1)
        codebook.append(np.mean((residual - table[index]) ** 2))
        residual, total = residual - table[index], total + table[index]
        indices.append(index)
    weights = np.ones(len(tables)) if weights is None else np.array(weights)
    loss = np.mean(weights * codebook)
    return total, np.stack(indices, -1), {"codebook_loss": loss, "commitment_loss": beta * loss}


def losses_of(output):
    return {name: float(value) for name, value in output.losses.items()}


@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 0.0)])
def test_it_is_brute_force(weights):
    tables, x = some_tables(), normal((20, 3))
    out = with_tables(tables, beta=0.5, depth_weights=weights).discretize(x)
    total, indices, losses = brute_force(x, tables, 0.5, weights)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_allclose(to_numpy(out.quantized), total, rtol=1e-5, atol=1e-6)
    assert losses_of(out) == pytest.approx(losses, rel=1e-5)


def test_a_shared_table_is_brute_force_and_one_weight():
    table, x = normal((5, 3), 1), normal((20, 3))
    layer = with_tables([table] * 3, shared_codebook=True)
    out = layer.discretize(x)
    total, indices, losses = brute_force(x, [table] * 3)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_allclose(to_numpy(out.quantized), total, rtol=1e-5, atol=1e-6)
    assert losses_of(out) == pytest.approx(losses, rel=1e-5)
    assert len(layer.trainable_variables) == 1
    assert layer.codebook_shape == (5, 3)


def test_trap_9_a_shared_table_learns_once_after_the_last_depth():
    table, x = normal((5, 3), 1), normal((20, 3))
    layer = with_tables([table] * 3, shared_codebook=True, update=EMAUpdate(0.5))
    out = layer.discretize(x, training=True)
    _, indices, _ = brute_force(x, [table] * 3)  # all depths saw the table of before
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    residuals, chosen = [], []
    residual = x.copy()
    for i in range(3):
        residuals.append(residual)
        chosen.append(indices[:, i])
        residual = residual - table[indices[:, i]]
    residuals, chosen = np.concatenate(residuals), np.concatenate(chosen)
    expected = table.copy()
    for k in np.unique(chosen):  # a first step: counts start at 0, so it is the mean
        expected[k] = residuals[chosen == k].mean(0)
    np.testing.assert_allclose(to_numpy(layer.quantizers[0].embeddings), expected, atol=1e-5)
    assert to_numpy(layer.code_counts).sum() == 60


def test_trap_9_training_output_is_that_of_the_tables_before_the_update():
    tables, x = some_tables(), normal((20, 3))
    layer = with_tables(tables, update="ema")
    before = layer.discretize(x)
    during = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(before.quantized), to_numpy(during.quantized))
    after = values_of(layer)
    layer.discretize(x), layer.discretize(x)
    assert same_bits(values_of(layer), after)


def test_trap_10_every_depths_commitment_loss_reaches_the_vectors():
    tables, x = some_tables(), normal((20, 3))
    for depth in range(3):
        weights = np.eye(3)[depth]
        layer = with_tables(tables, depth_weights=weights.tolist(), beta=1.0)
        by_x, _ = gradients(lambda x, q=layer: q.discretize(x).losses["commitment_loss"], x)
        residual = x.copy()
        for table in tables[: depth + 1]:
            residual -= table[np.argmin(((residual[:, None] - table) ** 2).sum(-1), -1)]
        # d/dx of 1/3 · mean ‖r‖² over 60 numbers
        np.testing.assert_allclose(by_x, 2 * residual / 60 / 3, rtol=1e-4, atol=1e-7)


def test_trap_2_every_table_learns_from_its_own_loss_and_the_vectors_do_not():
    layer, x = with_tables(some_tables()), normal((20, 3))
    by_x, by_tables = gradients(
        lambda x: layer.discretize(x).losses["codebook_loss"], x, layer.trainable_variables
    )
    assert not by_x.any()
    assert len(by_tables) == 3
    assert all(g.any() for g in by_tables)


def test_the_gradient_passes_once_and_not_once_a_depth():
    layer, x, weights = with_tables(some_tables()), normal((20, 3)), normal((20, 3), 1)
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x).quantized * weights), x)
    np.testing.assert_array_equal(by_x, weights)


def test_diveq_reaches_every_table():
    layer, x = with_tables(some_tables(), estimator="diveq"), normal((20, 3))
    assert layer.loss_names == ("commitment_loss",)
    _, by_tables = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized ** 2), x, layer.trainable_variables
    )
    assert all(g.any() for g in by_tables)


@pytest.mark.parametrize("estimator", [ops.DiVeQ(0.1), ops.NSVQ()], ids=str)
def test_in_training_one_noisy_step_of_the_true_length_goes_to_the_sum(estimator):
    layer, x = with_tables(some_tables(), estimator=estimator), normal((20, 3))
    out = layer.discretize(x, training=True)
    quantized, total = to_numpy(out.quantized), to_numpy(out.codes)
    assert (quantized != total).any(-1).all()
    lengths = (np.linalg.norm(to - x, axis=-1) for to in (quantized, total))
    np.testing.assert_allclose(*lengths, rtol=1e-5)


def test_minus_one_decodes_as_a_dropped_depth():
    tables = some_tables()
    layer = with_tables(tables)
    indices = np.array([[1, 2, 3], [1, -1, -1], [-1, -1, -1]])
    expected = [tables[0][1] + tables[1][2] + tables[2][3], tables[0][1], np.zeros(3)]
    np.testing.assert_allclose(to_numpy(layer.decode(indices)), expected, rtol=1e-6)


def test_indices_are_checked_per_depth():
    layer = with_tables(some_tables())
    assert layer.num_embeddings == layer.table_sizes == (5, 4, 6)
    with pytest.raises(ValueError, match="should be in"):
        layer.decode(np.array([[0, 4, 0]]))
    with pytest.raises(ValueError, match="3 indices a position on the last axis"):
        layer.decode(np.array([[0, 1]]))


def test_bits():
    layer = with_tables(some_tables())
    assert layer.uniform_bits_per_position == pytest.approx(np.log2(5 * 4 * 6))
    assert layer.uniform_bits_per_code == pytest.approx(np.log2(5 * 4 * 6) / 3)
    assert ResidualVectorQuantizer(4, 8).num_embeddings == 8
    assert ResidualVectorQuantizer(4, 8).uniform_bits_per_position == 12


# -- quantize dropout -----------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_dropped_depths_are_minus_one_and_cost_nothing(per):
    tables, x = some_tables(), normal((8, 5, 3))
    layer = with_tables(tables, dropout=per)
    seen = set()
    for _ in range(12):
        out = layer.discretize(x, training=True)
        indices = to_numpy(out.indices)
        kept = (indices >= 0).sum(-1)
        assert (indices[..., 0] >= 0).all()
        assert (kept == kept[:, :1]).all()  # one number a sample
        assert per == "sample" or len(np.unique(kept)) == 1
        for n in range(3):  # and what is kept is kept from the front
            np.testing.assert_array_equal(indices[..., n] >= 0, kept > n)
        np.testing.assert_array_equal(to_numpy(out.quantized), to_numpy(layer.decode(indices)))
        residual, loss = x.copy(), 0.0
        for n, table in enumerate(tables):
            used = kept > n
            residual[used] -= table[indices[used][:, n]]
            loss += np.mean(residual[used] ** 2) / 3 if used.any() else 0.0
        assert losses_of(out)["codebook_loss"] == pytest.approx(loss, rel=1e-5)
        seen |= set(kept.ravel().tolist())
    assert seen == {1, 2, 3}


def test_dropped_depths_learn_nothing():
    layer = with_tables(some_tables(), dropout=QuantizeDropout("batch"), update="ema")
    x = normal((20, 3))
    for _ in range(6):
        before = [to_numpy(part.embeddings) for part in layer.quantizers]
        indices = to_numpy(layer.discretize(x, training=True).indices)
        for i, part in enumerate(layer.quantizers):
            changed = not np.array_equal(before[i], to_numpy(part.embeddings))
            assert changed == bool((indices[:, i] >= 0).any())


def test_evaluation_uses_all_depths():
    layer = with_tables(some_tables(), dropout="sample")
    assert (to_numpy(layer.encode(normal((20, 3)))) >= 0).all()


@pytest.mark.parametrize(
    ("dropout", "numbers"),
    [
        (QuantizeDropout("sample"), {1, 2, 3, 4, 5}),
        (QuantizeDropout("sample", minimum=3), {3, 4, 5}),
        (QuantizeDropout("sample", multiple_of=2), {2, 4, 5}),  # 6 > 5
    ],
)
def test_numbers_of_depths(dropout, numbers):
    kept = to_numpy(dropout.draw((2000, 2), 5, keras.random.SeedGenerator(0)))
    found, counts = np.unique(kept, return_counts=True)
    assert set(found.tolist()) == numbers
    if dropout.multiple_of == 1:  # evenly: 4000 in pairs, ±3 standard deviations
        share = 1 / len(numbers)
        assert np.abs(counts / 4000 - share).max() < 3 * np.sqrt(share / 2000)


def test_a_rate_of_dropout_leaves_the_others_whole():
    kept = to_numpy(QuantizeDropout("sample", 2, rate=0.4).draw((9000,), 4, _generator()))
    # 0.4/3 for 2 and 3, the rest for 4; ±4 standard deviations
    share = 0.4 / 3
    expected = [share, share, 1 - 2 * share]
    counts = np.array([np.mean(kept == n) for n in (2, 3, 4)])
    assert counts.sum() == pytest.approx(1)
    assert (np.abs(counts - expected) < 4 * np.sqrt(share * (1 - share) / 9000)).all()
    u = to_numpy(keras.random.uniform((9000,), seed=_generator()))
    np.testing.assert_array_equal(kept, np.minimum(2 + np.floor(u / 0.4 * 3), 4))


def _generator():
    return keras.random.SeedGenerator(0)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_a_single_vector_may_have_dropped_depths(per):
    layer = ResidualVectorQuantizer(3, 4, dropout=per, seed=0)
    layer.build((None, 2))
    out = layer.discretize(normal((2,)), training=True)
    assert tuple(out.indices.shape) == (3,)
    assert int(to_numpy(out.indices)[0]) >= 0


def test_dropout_arguments_are_checked():
    for wrong in ({"per": "depth"}, {"minimum": 0}, {"multiple_of": -1}, {"rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            QuantizeDropout(**wrong)
    with pytest.raises(ValueError, match="`minimum` of the dropout"):
        ResidualVectorQuantizer(2, 4, dropout=QuantizeDropout(minimum=3))
    with pytest.raises(ValueError, match=r"`multiple_of` of the dropout.*nothing is ever dropped"):
        ResidualVectorQuantizer(2, 4, dropout=QuantizeDropout(multiple_of=3))
    with pytest.raises(ValueError, match="`dropout` should be"):
        ResidualVectorQuantizer(2, 4, dropout=0.5)


# -- arguments ------------------------------------------------------------------------------------


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`num_quantizers` should be a positive integer"):
        ResidualVectorQuantizer(0, 4)
    with pytest.raises(ValueError, match="`num_embeddings` should be one number or one for each"):
        ResidualVectorQuantizer(3, (4, 4))
    with pytest.raises(ValueError, match="`depth_weights` should be one number or one for each"):
        ResidualVectorQuantizer(3, 4, depth_weights=(1.0,))
    with pytest.raises(ValueError, match="One table has one size"):
        ResidualVectorQuantizer(2, (4, 5), shared_codebook=True)
    with pytest.raises(ValueError, match="update='gradient'"):
        ResidualVectorQuantizer(2, 4, update="ema", estimator="diveq")


def test_depths_do_not_start_alike():
    for initializer in ("random_normal", keras.initializers.RandomNormal(seed=3)):
        layer = ResidualVectorQuantizer(3, 4, 2, embeddings_initializer=initializer)
        layer.build((None, 2))
        first, *others = (to_numpy(part.embeddings) for part in layer.quantizers)
        assert not any(np.array_equal(first, other) for other in others)
    assert spread_initializers("kmeans", 2) == ["kmeans", "kmeans"]


def test_a_shared_table_starts_from_valid_vectors():
    layer = ResidualVectorQuantizer(
        2, 4, shared_codebook=True, update="frozen", embeddings_initializer=KMeans(0), seed=0
    )
    layer.build((None, 3))
    x, mask = normal((12, 3)), np.arange(12) % 3 == 0  # four, one for each code
    layer.discretize(x, training=True, mask=mask)
    np.testing.assert_array_equal(to_numpy(layer.quantizers[0].embeddings), x[mask])


def test_kmeans_starts_each_depth_from_its_residuals():
    layer = ResidualVectorQuantizer(2, 4, embeddings_initializer="kmeans", update="ema", seed=0)
    x = normal((64, 3), scale=10.0)
    layer(x, training=True)
    first, second = (to_numpy(part.embeddings) for part in layer.quantizers)
    residual = x - first[np.argmin(((x[:, None] - first) ** 2).sum(-1), -1)]
    assert np.abs(second).max() <= np.abs(residual).max() * 1.5
    assert np.mean((x - to_numpy(layer(x))) ** 2) < np.mean(residual**2)
