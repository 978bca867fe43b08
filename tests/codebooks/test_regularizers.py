import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae import models
from keras_vqvae.codebooks import (
    Codebook,
    CrossEntropyCommitment,
    Diversity,
    Orthogonality,
    SampledCode,
)
from keras_vqvae.layers import (
    GroupedQuantizer,
    ProductQuantizer,
    ProjectedQuantizer,
    ResidualQuantizer,
    ResidualVectorQuantizer,
    VectorQuantizer,
)


def test_tables_of_any_size_have_an_orthogonality():
    """JAX takes no integer above 2**31, and K² may be one."""
    table = np.ones((50_000, 2), "float32")
    loss = Orthogonality(1.0).loss(codebook_with(table), NOTHING, NOTHING)
    assert float(loss) == pytest.approx(1.0 - 1 / 50_000, rel=1e-4)


SHAPES = ((20, 3), (5, 3))
NOTHING = np.zeros((1, 1), "float32")


def codebook_with(table):
    table = np.asarray(table, "float32")
    codebook = Codebook(len(table))
    codebook.build((None, table.shape[1]))
    codebook.embeddings.assign(table)
    return codebook


def orthogonality(table, weight=1.0):
    """1/K² Σ_ij cos² − 1/K over all pairs, in float64."""
    table = np.float64(table)
    unit = table / np.linalg.norm(table, axis=-1, keepdims=True)
    return weight * (np.square(unit @ unit.T).mean() - 1 / len(table))


def diversity(x, table, temperature, weight=1.0):
    """log K − H of the mean softmax, in float64."""
    logits = -np.square(np.float64(x)[:, None] - np.float64(table)).sum(-1) / temperature
    p = np.exp(logits - logits.max(-1, keepdims=True))
    mean = (p / p.sum(-1, keepdims=True)).mean(0)
    return weight * (np.log(len(table)) + (mean * np.log(mean)).sum())


# -- orthogonality --------------------------------------------------------------------------------


def test_orthogonality_by_hand():
    # cos 45° twice: (1 + 1 + ½ + ½)/4 − ½ = ¼. Lengths are no matter.
    loss = Orthogonality(weight=8.0).loss(codebook_with([[3.0, 0.0], [0.1, 0.1]]), NOTHING, None)
    assert float(loss) == pytest.approx(2.0, rel=1e-5)
    assert float(Orthogonality().loss(codebook_with(np.eye(4)), NOTHING, None)) == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5)])
def test_orthogonality_is_the_sum_over_all_pairs(shape):
    table = normal(shape)
    loss = Orthogonality(weight=10.0).loss(codebook_with(table), NOTHING, None)
    assert float(loss) == pytest.approx(orthogonality(table, 10.0), rel=1e-5)


def test_its_gradient_is_that_of_all_pairs_and_finite_for_a_code_of_zeros():
    table = normal((4, 3))
    table[2] = 0.0
    codebook = codebook_with(table)
    _, (found,) = gradients(
        lambda x: Orthogonality(1.0).loss(codebook, x, None), normal((2, 3)), [codebook.embeddings]
    )
    assert np.isfinite(found).all()
    kept, step = [0, 1, 3], 1e-5
    for k, d in ((0, 0), (1, 2), (3, 1)):  # by central differences in float64
        values = []
        for sign in (1, -1):
            moved = table.astype("float64")
            moved[k, d] += sign * step
            unit = moved[kept] / np.linalg.norm(moved[kept], axis=-1, keepdims=True)
            values.append(np.square(unit @ unit.T).sum() / 16)
        assert found[k, d] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("update", ["ema", "frozen"])
@pytest.mark.parametrize(
    "layer", [VectorQuantizer, lambda *a, **k: ResidualVectorQuantizer(2, *a, **k)]
)
def test_trap_20_orthogonality_of_a_table_without_gradient_is_refused(update, layer):
    with pytest.raises(ValueError, match="Pass `update='gradient'`") as error:
        layer(4, update=update, regularizer=Orthogonality())
    assert f"update={update!r}" in str(error.value)


def test_trap_20_the_table_has_a_gradient_and_follows_it():
    layer = VectorQuantizer(2, 2, beta=0.0, regularizer=Orthogonality(10.0))
    layer.build((None, 2))
    layer.embeddings.assign([[1.0, 0.0], [0.8, 0.6]])
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.1))
    x = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    before = float(layer.discretize(x).losses["orthogonality_loss"])
    for _ in range(20):
        model.train_on_batch(x)
    assert float(layer.discretize(x).losses["orthogonality_loss"]) < 0.1 * before


# -- diversity ------------------------------------------------------------------------------------


def test_diversity_by_hand():
    codebook = codebook_with([[0.0], [10.0]])
    one, both = np.zeros((4, 1), "float32"), np.array([[0.0], [10.0]], "float32")
    assert float(Diversity(0.5, 0.01).loss(codebook, one, None)) == pytest.approx(0.5 * np.log(2))
    assert float(Diversity(0.5, 0.01).loss(codebook, both, None)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_diversity_is_brute_force(temperature):
    x, table = normal((20, 3)), normal((5, 3), 1)
    loss = Diversity(0.7, temperature).loss(codebook_with(table), x, None)
    assert float(loss) == pytest.approx(diversity(x, table, temperature, 0.7), rel=1e-4)
    weights = (np.arange(20) % 3 > 0).astype("float32")
    loss = Diversity(0.7, temperature).loss(codebook_with(table), x, None, weights)
    expected = diversity(x[weights > 0], table, temperature, 0.7)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_diversity_moves_vectors_and_codes():
    layer = VectorQuantizer(5, 3, regularizer=Diversity(1.0, 1.0))
    layer.build((None, 3))
    layer.embeddings.assign(normal((5, 3), 1))
    by_x, (by_table,) = gradients(
        lambda x: layer.discretize(x).losses["diversity_loss"], normal((20, 3)), [layer.embeddings]
    )
    assert by_x.any()
    assert by_table.any()
    ema = VectorQuantizer(5, 3, update="ema", regularizer=Diversity())  # vectors can still learn
    assert ema.loss_names == ("commitment_loss", "diversity_loss")


# -- cross entropy --------------------------------------------------------------------------------


def cross_entropy(x, table, indices, temperature):
    """−mean log softmax of these codes, in float64."""
    squares = np.square(np.float64(x)[:, None] - np.float64(table)).sum(-1) / temperature
    return np.mean(np.log(np.exp(-squares).sum(-1)) + squares[np.arange(len(x)), indices])


@pytest.mark.parametrize("temperature", [1.0, 1e-6])
def test_cross_entropy_by_hand(temperature):
    # Two equal codes share every vector, whatever the temperature: log 2. Far from others: nothing.
    option = CrossEntropyCommitment(0.5, temperature)
    loss = option.loss(codebook_with([[3.0], [3.0]]), np.float32([[2.0], [1.5]]), np.array([0, 1]))
    assert float(loss) == pytest.approx(0.5 * np.log(2), rel=1e-6)
    loss = option.loss(codebook_with([[0.0], [9.0]]), np.float32([[-9.0]]), np.array([0]))
    assert float(loss) == 0.0


def test_a_small_temperature_drowns_no_tie():
    # 1 is as far from 0 as from 2, which the logits are millions of nats above zero to say.
    codebook, x = codebook_with([[0.0], [2.0], [9.0]]), np.float32([[1.0], [1.0]])
    loss = CrossEntropyCommitment(0.5, 1e-6).loss(codebook, x, np.array([0, 1]))
    assert float(loss) == pytest.approx(0.5 * np.log(2), rel=1e-6)


@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_cross_entropy_is_brute_force_and_does_not_see_padding(temperature, shift):
    x, table = (np.float32(np.round(normal(s, i) * 2**10) / 2**10) for i, s in enumerate(SHAPES))
    x, table = x + np.float32(shift), table + np.float32(shift)
    indices = np.arange(20) % 5
    option, codebook = CrossEntropyCommitment(0.7, temperature), codebook_with(table)
    expected = 0.7 * cross_entropy(x, table, indices, temperature)
    assert float(option.loss(codebook, x, indices)) == pytest.approx(expected, rel=1e-4)
    weights = (np.arange(20) % 3 > 0).astype("float32")
    kept = weights > 0
    expected = 0.7 * cross_entropy(x[kept], table, indices[kept], temperature)
    assert float(option.loss(codebook, x, indices, weights)) == pytest.approx(expected, rel=1e-4)
    assert float(option.loss(codebook, x, indices, 0 * weights)) == 0.0


def test_cross_entropy_is_that_of_the_code_that_was_drawn():
    options = {"assignment": SampledCode(1e4), "update": "frozen", "seed": 0}
    layer = VectorQuantizer(2, 1, beta=0.0, regularizer=CrossEntropyCommitment(1.0), **options)
    layer.build((None, 1))
    layer.embeddings.assign([[0.0], [1.0]])
    x = np.full((6, 1), 0.4, "float32")
    out = layer.discretize(x, training=True)
    indices = to_numpy(out.indices)
    assert set(indices) == {0, 1}
    expected = cross_entropy(x, [[0.0], [1.0]], indices, 1.0)
    assert float(out.losses["cross_entropy_loss"]) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_moves_vectors_away_from_other_codes_and_leaves_the_table():
    layer = VectorQuantizer(2, 1, beta=0.0, regularizer=CrossEntropyCommitment(1.0, 1.0))
    layer.build((None, 1))
    layer.embeddings.assign([[0.0], [1.0]])
    by_x, (by_table,) = gradients(
        lambda x: layer.discretize(x).losses["cross_entropy_loss"],
        np.float32([[0.25]]),
        [layer.embeddings],
    )
    # log(1 + exp(x² − (1 − x)²)) = log(1 + e^(2x − 1)), whose slope is 2 / (1 + e^(1 − 2x)).
    assert by_x.item() == pytest.approx(2 / (1 + np.exp(0.5)), rel=1e-5)
    assert not by_table.any()


# -- in quantizers --------------------------------------------------------------------------------


def test_losses_of_parts_are_means():
    options = {"regularizer": [Orthogonality(1.0), Diversity(1.0, 1.0)], "seed": 0}
    layer = ProductQuantizer(2, 4, embeddings_initializer="random_normal", **options)
    layer.build((None, 6))
    x = normal((10, 6))
    out = layer.discretize(x)
    tables = [to_numpy(part.embeddings) for part in layer.quantizers]
    assert float(out.losses["orthogonality_loss"]) == pytest.approx(
        np.mean([orthogonality(t) for t in tables]), rel=1e-4
    )
    pieces = (x[:, :3], x[:, 3:])
    expected = np.mean([diversity(p, t, 1.0) for p, t in zip(pieces, tables, strict=True)])
    assert float(out.losses["diversity_loss"]) == pytest.approx(expected, rel=1e-4)
    again = ProductQuantizer.from_config(layer.get_config())
    assert again.quantizers[0].regularizers == layer.quantizers[0].regularizers


@pytest.mark.parametrize("count", [3, 0])
def test_a_batch_without_vectors_costs_nothing_and_moves_no_code(count):
    parts = [Orthogonality(), Diversity(), CrossEntropyCommitment()]
    layer = VectorQuantizer(4, 2, regularizer=parts, seed=0)
    layer.build((None, 2))
    x, mask = normal((count, 2)), np.zeros(count, bool)
    assert {float(loss) for loss in layer.discretize(x, mask=mask).losses.values()} == {0.0}
    _, (by_table,) = gradients(
        lambda x: sum(layer.discretize(x, mask=mask).losses.values()), x, [layer.embeddings]
    )
    assert not by_table.any()


def test_weights_and_temperature_take_schedules():
    """Losses in training and evaluation are those of plain numbers of the same value."""
    halving = keras.optimizers.schedules.ExponentialDecay
    layer = VectorQuantizer(
        5,
        3,
        regularizer=[
            Orthogonality(halving(8.0, 1, 0.5)),
            Diversity(halving(4.0, 1, 0.5), temperature=halving(2.0, 1, 0.25)),
            CrossEntropyCommitment(halving(2.0, 1, 0.5), temperature=halving(4.0, 1, 0.5)),
        ],
    )
    layer = VectorQuantizer.from_config(layer.get_config())
    layer.build((None, 3))
    x, table = normal((20, 3)), normal((5, 3), 1)
    layer.embeddings.assign(table)
    for step in range(3):
        for training in (False, True):
            losses = layer.discretize(x, training=training).losses
            expected = orthogonality(table, 8.0 / 2**step)
            assert float(losses["orthogonality_loss"]) == pytest.approx(expected, rel=1e-4)
            expected = diversity(x, table, 2.0 / 4**step, 4.0 / 2**step)
            assert float(losses["diversity_loss"]) == pytest.approx(expected, rel=1e-3)
            nearest = np.square(x[:, None] - table).sum(-1).argmin(-1)
            expected = 2.0 / 2**step * cross_entropy(x, table, nearest, 4.0 / 2**step)
            assert float(losses["cross_entropy_loss"]) == pytest.approx(expected, rel=1e-3)
    names = ("orthogonality_weight", "diversity_weight", "diversity_temperature")
    assert [float(layer.number(name)) for name in names] == [1.0, 0.5, 2.0 / 64]
    with pytest.raises(
        ValueError, match="'beta', 'cross_entropy_temperature', 'cross_entropy_weight', 'div"
    ):
        layer.number("weight")


def test_parts_with_different_weights_have_no_number_in_common():
    parts = [VectorQuantizer(4, regularizer=Orthogonality(w)) for w in (1.0, 2.0)]
    layer = GroupedQuantizer(parts)
    layer.build((None, 2))
    with pytest.raises(ValueError, match="different `orthogonality_weight`"):
        layer.number("orthogonality_weight")
    assert parts[1].number("orthogonality_weight") == 2.0


def test_numbers_of_quantizers_within_others_are_compared_too():
    def depths(beta):
        return ResidualQuantizer([ProjectedQuantizer(VectorQuantizer(4, beta=beta), 2)])

    alike, other = (GroupedQuantizer([depths(0.1), depths(b)]) for b in (0.1, 0.9))
    drawn = GroupedQuantizer(
        [ResidualVectorQuantizer(2, 4, assignment=SampledCode(t)) for t in (1.0, 2.0)]
    )
    for layer in (alike, other, drawn):
        layer.build((None, 6))
    assert alike.number("beta") == 0.1
    with pytest.raises(ValueError, match="different `beta`"):
        other.number("beta")
    with pytest.raises(ValueError, match="different `assignment_temperature`"):
        drawn.number("assignment_temperature")


def test_a_model_logs_it_by_name():
    quantizer = VectorQuantizer(4, regularizer=Orthogonality(1.0))
    model = models.VQVAE(
        keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 4, 4)]),
        quantizer,
        keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Conv2DTranspose(1, 4, 4)]),
    )
    model.compile("adam")
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
    logs = model.train_on_batch(images, return_dict=True)
    terms = ("reconstruction_loss", "codebook_loss", "commitment_loss", "orthogonality_loss")
    assert sum(float(logs[name]) for name in terms) == pytest.approx(float(logs["loss"]), rel=1e-5)
    assert float(logs["orthogonality_loss"]) > 0


def test_arguments_are_checked():
    for cls in (Orthogonality, Diversity, CrossEntropyCommitment):
        with pytest.raises(ValueError, match="`weight` should be ≥ 0"):
            cls(weight=-1.0)
    with pytest.raises(ValueError, match="`temperature` should be > 0"):
        Diversity(temperature=0.0)
    with pytest.raises(ValueError, match=r"`regularizer` should be `None`, an object"):
        VectorQuantizer(4, regularizer="orthogonality")
    with pytest.raises(ValueError, match="one object of a kind"):
        VectorQuantizer(4, regularizer=[Diversity(), Diversity()])
