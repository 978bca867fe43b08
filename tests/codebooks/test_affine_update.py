import keras
import numpy as np
import pytest
from support import gradients, normal, same_bits, to_numpy, values_of

from keras_vqvae.codebooks import AffineUpdate, AnchorRevival, ReplaceDead
from keras_vqvae.layers import VectorQuantizer


def quantizer(table, batch_decay=0.9, table_decay=0.5, **options):
    table = np.asarray(table, "float32")
    update = AffineUpdate(batch_decay, table_decay)
    layer = VectorQuantizer(len(table), table.shape[1], update=update, seed=0, **options)
    layer.build((None, table.shape[1]))
    layer.embeddings.assign(table)
    return layer


def statistics(values):
    values = np.float64(values)
    return values.mean(0), values.var(0)


def mapped(table, batch, codes):
    """(e − μ_c) σ_b / σ_c + μ_b, of (mean, variance) pairs."""
    scale = np.sqrt(batch[1] / codes[1])
    return (np.float64(table) - codes[0]) * scale + batch[0]


def test_by_hand():
    # The table 1, 3 has mean 2 and variance 1; the batch 0, 4, 8, 12 has mean 6 and variance 20.
    layer = quantizer([[1.0], [3.0]])
    layer(np.array([[0.0], [4.0], [8.0], [12.0]], "float32"), training=True)
    found = to_numpy(layer.codebook.table()).ravel()
    assert found == pytest.approx([6 - np.sqrt(20), 6 + np.sqrt(20)], rel=1e-4)
    assert to_numpy(layer.embeddings).ravel().tolist() == [1.0, 3.0]
    np.testing.assert_array_equal(to_numpy(layer.decode(np.array([0, 1]))).ravel(), found)


def test_statistics_are_moving_averages_that_start_with_the_first_batch():
    table = normal((6, 3), 1, scale=0.2)
    layer = quantizer(table)
    batches = [normal((20, 3), seed) * (seed + 1.0) + seed for seed in range(3)]
    batch = statistics(batches[0])
    for x in batches[1:]:
        batch = tuple(0.9 * a + 0.1 * b for a, b in zip(batch, statistics(x), strict=True))
    for x in batches:
        layer(x, training=True)
    # Nothing moved the table, so its averages are its statistics.
    expected = mapped(table, batch, statistics(table))
    np.testing.assert_allclose(to_numpy(layer.codebook.table()), expected, rtol=1e-4, atol=1e-5)


def test_the_averages_over_the_table_have_a_decay_of_their_own():
    tables = [normal((6, 3), seed) * (seed + 1.0) + seed for seed in range(3)]
    layer, x = quantizer(tables[0], batch_decay=0.9, table_decay=0.8), normal((20, 3))
    codes = statistics(tables[0])
    for table in tables[1:]:
        codes = tuple(0.8 * a + 0.2 * b for a, b in zip(codes, statistics(table), strict=True))
    for table in tables:
        layer.embeddings.assign(table)
        layer(x, training=True)
    expected = mapped(tables[-1], statistics(x), codes)
    np.testing.assert_allclose(to_numpy(layer.codebook.table()), expected, rtol=1e-4, atol=1e-5)


def test_trap_8_a_step_uses_the_statistics_of_the_steps_before():
    table, x = normal((6, 3), 1), normal((20, 3)) + 5.0
    layer = quantizer(table)
    out = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(out.quantized), table[to_numpy(out.indices)])
    before = to_numpy(layer.codebook.table())
    out = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(out.quantized), before[to_numpy(out.indices)])
    assert len(np.unique(to_numpy(out.indices))) > 1  # the codes have come to where the vectors are


def test_masked_vectors_are_no_part_of_the_statistics():
    table, x = normal((4, 2), 1), normal((10, 2))
    mask = np.arange(10) % 3 > 0
    layer = quantizer(table)
    layer.discretize(np.where(mask[:, None], x, 1e3).astype("float32"), training=True, mask=mask)
    expected = mapped(table, statistics(x[mask]), statistics(table))
    np.testing.assert_allclose(to_numpy(layer.codebook.table()), expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_scaled_as_the_codes_are():
    table, x = normal((4, 2), 1, scale=0.1), normal((20, 2))
    layer = quantizer(table)
    layer(x, training=True)
    _, (found,) = gradients(
        lambda x: layer.discretize(x).losses["codebook_loss"], x, [layer.embeddings]
    )
    batch, codes = statistics(x), statistics(table)
    seen = mapped(table, batch, codes)
    indices = np.square(x[:, None] - seen).sum(-1).argmin(-1)
    expected = np.zeros_like(seen)
    np.add.at(expected, indices, 2 * (seen[indices] - x) / x.size)
    expected *= np.sqrt(batch[1] / codes[1])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
def test_codes_have_the_spread_of_the_vectors_however_small_the_tables_is(scale):
    # The default start, ±1/4096: its variance is 2e-8.
    layer = VectorQuantizer(4096, update=AffineUpdate(), seed=0)
    x = scale * (2.0 * normal((200, 3)) + np.float32([0.0, 5.0, -70.0]))
    layer(x, training=True)
    seen = np.float64(to_numpy(layer.codebook.table()))
    mean, variance = statistics(x)
    np.testing.assert_allclose(seen.mean(0), mean, rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(seen.std(0), np.sqrt(variance), rtol=1e-4)


def roundtrip(layer):
    """The stored table after the map and back."""
    codebook = layer.codebook
    return to_numpy(codebook.update_rule.inverse_transform(codebook, codebook.table()))


@pytest.mark.parametrize("constant", [0.0, 1e-30, 0.3, -7e5])
def test_a_constant_dimension_has_its_value_in_all_codes(constant):
    table, x = normal((6, 3), 1, scale=0.2), normal((20, 3))
    x[:, 1] = constant
    layer = quantizer(table, revival=AnchorRevival(0.5))
    for _ in range(5):
        layer(x, training=True)
        seen, back = to_numpy(layer.codebook.table()), roundtrip(layer)
        # Within what the map takes for rounding, 1e-6 of the value, a few times over.
        np.testing.assert_allclose(seen[:, 1], constant, rtol=1e-5, atol=1e-17)
        # Nor is rounding blown up on the way back, where revival goes it.
        stored = to_numpy(layer.embeddings)
        np.testing.assert_allclose(back[:, [0, 2]], stored[:, [0, 2]], rtol=1e-4, atol=1e-5)
        assert np.abs(back).max() < 2.0
        assert np.abs(stored).max() < 2.0


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_a_table_of_codes_that_are_all_alike_is_not_scaled(value):
    table, x = np.full((7, 2), value, "float32"), normal((20, 2))
    layer = quantizer(table)
    layer(x, training=True)
    seen = to_numpy(layer.codebook.table())
    # The mean of seven such numbers is rounded.
    np.testing.assert_allclose(seen, np.tile(x.mean(0), (7, 1)), atol=1e-5 + 1e-6 * abs(value))
    np.testing.assert_allclose(roundtrip(layer), table, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("table", [np.zeros((4, 2)), normal((4, 2), 1, scale=1e-5)])
@pytest.mark.parametrize("x", [np.zeros((20, 2)), normal((20, 2), scale=1e-3)])
def test_gradients_are_finite_where_there_is_no_spread(table, x):
    layer = quantizer(table)
    x = np.asarray(x, "float32")
    layer(x, training=True)
    for value in gradients(
        lambda x: sum(layer.discretize(x).losses.values()), x, [layer.embeddings]
    ):
        assert all(np.isfinite(found).all() for found in value)


def test_a_revived_code_is_seen_at_its_vector():
    table = np.array([[0.0, 0.0], [50.0, 60.0], [1.0, 0.5]], "float32")
    layer = quantizer(table, revival=ReplaceDead(0.5, 0.1))
    layer.codebook.update_state["started"].assign(1.0)
    x = normal((10, 2))
    layer(x, training=True)
    seen = to_numpy(layer.codebook.table())[1]
    assert np.abs(x - seen).max(-1).min() < 1e-4  # through the map and back, in float32


def test_trap_19_statistics_are_saved_and_not_changed_by_evaluation(tmp_path):
    inputs = keras.Input((3,))
    layer = VectorQuantizer(4, update=AffineUpdate())
    model = keras.Model(inputs, layer(inputs))
    layer(normal((20, 3)) + 2.0, training=True)
    before = values_of(model)
    layer(normal((20, 3)), training=False)
    assert same_bits(values_of(model), before)
    names = {w.name for w in layer.non_trainable_weights}
    assert {"batch_mean", "batch_variance", "table_mean", "table_variance"} <= names
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = normal((20, 3), 1)
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))
    for m in (model, again):  # resumed is uninterrupted
        m.layers[-1](x, training=True)
    assert same_bits(values_of(again), values_of(model))


@pytest.mark.parametrize("name", ["batch_decay", "table_decay"])
def test_decays_are_checked(name):
    with pytest.raises(ValueError, match=rf"`{name}` should be in \[0, 1\)"):
        AffineUpdate(**{name: 1.0})


def test_codes_move_to_another_table_as_the_docs_say():
    old = VectorQuantizer(8, update=AffineUpdate(), seed=0)
    new = [VectorQuantizer(8, update=rule) for rule in ("ema", "gradient", AffineUpdate())]
    for layer in (old, *new):
        layer.build((None, 4))
    x = 3.0 * normal((50, 4)) + 1.0
    for _ in range(3):
        old.discretize(x, training=True)
    expected = to_numpy(old(x))
    for layer in new:
        layer.embeddings.assign(old.codebook.table())
        np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-6)
