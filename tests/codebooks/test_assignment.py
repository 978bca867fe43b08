import keras
import numpy as np
import pytest
from support import normal, same_bits, to_numpy

from keras_vqvae.codebooks import Codebook, EMAUpdate, NearestCode, OptimalTransport, SampledCode
from keras_vqvae.layers import ProductQuantizer, ResidualVectorQuantizer, VectorQuantizer
from keras_vqvae.ops import transported_code

TABLE = np.array([[0.0], [1.0]], "float32")


def quantizer(assignment, **options):
    layer = VectorQuantizer(2, 1, assignment=assignment, seed=0, **options)
    layer.build((None, 1))
    layer.embeddings.assign(TABLE)
    return layer


def test_training_draws_codes_by_their_distance():
    layer = quantizer(SampledCode(temperature=2.0))
    x = np.full((4000, 1), 0.1, "float32")
    out = layer.discretize(x, training=True)
    # Squared distances 0.01 and 0.81: p₁ = 1 / (1 + e^0.4) = 0.4013.
    share = to_numpy(out.indices).mean()
    p = 1 / (1 + np.exp(0.4))
    assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))
    # Output and losses are those of the codes that were drawn.
    np.testing.assert_array_equal(to_numpy(out.quantized), TABLE[to_numpy(out.indices)])
    loss = np.mean((x - to_numpy(out.quantized)) ** 2)
    assert float(out.losses["codebook_loss"]) == pytest.approx(loss, rel=1e-5)
    assert to_numpy(layer.code_counts)[1] == to_numpy(out.indices).sum()


def test_each_step_draws_anew():
    layer = quantizer(SampledCode(5.0))
    x = normal((64, 1))
    first, second = (to_numpy(layer.discretize(x, training=True).indices) for _ in range(2))
    assert (first != second).any()


@pytest.mark.parametrize(
    "make",
    [
        VectorQuantizer,
        lambda *args, **options: ResidualVectorQuantizer(1, *args, **options),
        lambda *args, **options: ProductQuantizer(1, *args, **options),
    ],
    ids=["vq", "rvq", "product"],
)
def test_a_schedule_cools_the_draws_step_by_step(make):
    # 100 in the first two steps, then 10⁻⁶: from draws that are almost even to the nearest code.
    cooling = keras.optimizers.schedules.PiecewiseConstantDecay([1], [100.0, 1e-6])
    layer = make(2, 1, update="frozen", assignment=SampledCode(cooling), seed=0)
    layer.build((None, 1))
    (getattr(layer, "quantizers", None) or [layer])[0].embeddings.assign(TABLE)
    assert float(layer.number("assignment_temperature")) == 100.0
    x = np.full((400, 1), 0.4, "float32")
    shares = [to_numpy(layer.discretize(x, training=True).indices).mean() for _ in range(4)]
    assert [0.4 < share < 0.6 for share in shares] == [True, True, False, False]
    assert shares[2:] == [0.0, 0.0]
    assert float(layer.number("assignment_temperature")) == pytest.approx(1e-6)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_a_schedule_that_ends_at_zero_ends_at_the_nearest_code(shift):
    ending = keras.optimizers.schedules.PolynomialDecay(1.0, 1, end_learning_rate=0.0)
    layer = VectorQuantizer(64, 8, assignment=SampledCode(ending), update="frozen")
    layer.build((None, 8))
    layer.embeddings.assign(normal((64, 8), 1) + np.float32(shift))
    x = normal((500, 8)) + np.float32(shift)
    layer.discretize(x, training=True)
    assert float(layer.number("assignment_temperature")) == 0.0
    found = to_numpy(layer.discretize(x, training=True).indices)
    np.testing.assert_array_equal(found, to_numpy(layer.encode(x)))


def test_a_compiled_step_sees_the_schedule_and_a_saved_model_goes_on(tmp_path):
    halving = keras.optimizers.schedules.ExponentialDecay(8.0, 1, 0.5)
    inputs = keras.Input((1,))
    layer = VectorQuantizer(2, assignment=SampledCode(halving), seed=0)
    model = keras.Model(inputs, layer(keras.layers.Dense(1)(inputs)))
    model.compile("sgd", "mse")
    x = normal((4, 1))
    for _ in range(3):
        model.train_on_batch(x, x)
    assert float(layer.number("assignment_temperature")) == 1.0
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert float(again.number("assignment_temperature")) == 1.0
    again.discretize(x, training=True)
    assert float(again.number("assignment_temperature")) == 0.5


def test_evaluation_takes_the_nearest_and_draws_nothing():
    layer = quantizer(SampledCode(100.0))
    state = to_numpy(layer.codebook.seed_generator.state)
    x = np.array([[0.4], [0.6]], "float32")
    for indices in (layer.discretize(x).indices, layer.encode(x), layer(x, return_indices=True)[1]):
        assert to_numpy(indices).tolist() == [0, 1]
    assert same_bits([state], [to_numpy(layer.codebook.seed_generator.state)])


def test_an_ema_table_learns_from_what_was_drawn():
    layer = quantizer(SampledCode(100.0), update=EMAUpdate(0.5))
    x = normal((200, 1), scale=0.1)
    indices = to_numpy(layer.discretize(x, training=True).indices)
    expected = [x[indices == k].mean() for k in (0, 1)]
    # Means of a hundred numbers of about 0.1 that nearly cancel, added up in float32.
    np.testing.assert_allclose(to_numpy(layer.embeddings).ravel(), expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("assignment", ["sampled", "optimal_transport"])
def test_it_compiles(assignment, jit_compile):
    inputs = keras.Input((5, 1))
    layer = VectorQuantizer(4, assignment=assignment, update="ema", chunk_size=7)
    model = keras.Model(inputs, layer(keras.layers.Dense(1)(inputs)))
    model.compile("sgd", "mse", jit_compile=jit_compile)
    x = normal((6, 5, 1))
    assert np.isfinite(model.train_on_batch(x, x))
    assert to_numpy(layer.code_counts).sum() == 30


@pytest.mark.parametrize("shared", [False, True])
def test_depths_of_a_residual_quantizer_draw_too(shared):
    layer = ResidualVectorQuantizer(
        2, 4, 1, shared_codebook=shared, update="ema", assignment=SampledCode(100.0), seed=0
    )
    layer.build((None, 1))
    x = np.zeros((400, 1), "float32")
    indices = to_numpy(layer.discretize(x, training=True).indices)
    for depth in range(2):  # almost evenly: 100 ± 35 is four standard deviations
        assert np.abs(np.bincount(indices[:, depth], minlength=4) - 100).max() < 35
    assert len(np.unique(to_numpy(layer.encode(x)), axis=0)) == 1
    assert ResidualVectorQuantizer.from_config(layer.get_config()).quantizers[
        0
    ].codebook.assignment == SampledCode(100.0)


def collapsing(assignment):
    """A layer whose codes are all far off but one, the nearest of every vector."""
    layer = VectorQuantizer(8, 2, assignment=assignment, update=EMAUpdate(0.5), seed=0)
    layer.build((None, 2))
    layer.embeddings.assign(np.r_[np.zeros((1, 2)), 5 + 0.1 * normal((7, 2), 1)])
    return layer


def test_optimal_transport_brings_codes_in_that_the_nearest_leaves_behind():
    x = normal((400, 2))
    errors = {}
    for assignment in ("nearest", "optimal_transport"):
        layer = collapsing(assignment)
        for _ in range(20):
            layer.discretize(x, training=True)
        out = layer.discretize(x)
        errors[assignment] = np.mean((x - to_numpy(out.quantized)) ** 2)
        used = len(np.unique(to_numpy(out.indices)))
        assert used == {"nearest": 1, "optimal_transport": 8}[assignment]
    # One code leaves the variance, 1; eight leave about a fifth of it.
    assert errors["nearest"] > 0.9
    assert errors["optimal_transport"] < 0.25


def test_optimal_transport_learns_from_the_code_of_the_plan():
    layer = collapsing(OptimalTransport(epsilon=3.0, iterations=2))
    x, table = normal((50, 2)), to_numpy(layer.embeddings)
    out = layer.discretize(x, training=True)
    expected = to_numpy(transported_code(x, table, 3.0, 2))
    np.testing.assert_array_equal(to_numpy(out.indices), expected)
    np.testing.assert_array_equal(to_numpy(out.codes), table[expected])
    np.testing.assert_array_equal(to_numpy(layer.code_counts), np.bincount(expected, minlength=8))
    loss = 0.25 * np.mean((x - table[expected]) ** 2)
    assert float(out.losses["commitment_loss"]) == pytest.approx(loss, rel=1e-5)


def test_trap_12_optimal_transport_does_not_see_padding():
    x, mask = normal((6, 10, 2)), np.arange(10) < np.array([[10], [3], [7], [1], [0], [9]])
    layers = [collapsing("optimal_transport") for _ in range(2)]
    padded = np.where(mask[..., None], x, np.float32(1e3))
    indices = to_numpy(layers[0].discretize(padded, training=True, mask=mask).indices)
    alone = to_numpy(layers[1].discretize(x[mask], training=True).indices)
    np.testing.assert_array_equal(indices[mask], alone)
    assert (indices[~mask] == -1).all()
    np.testing.assert_allclose(*(to_numpy(layer.embeddings) for layer in layers), rtol=1e-5)


def test_arguments_and_names():
    assert Codebook(2).assignment == NearestCode()
    assert Codebook(2, assignment="sampled").assignment == SampledCode(1.0)
    assert Codebook(2, assignment="optimal_transport").assignment == OptimalTransport(10.0, 5)
    for wrong in (0.0, -1.0, float("nan"), "warm"):
        with pytest.raises(ValueError, match="`temperature` should be > 0, or a schedule out of"):
            SampledCode(wrong)
    for wrong in (0, 1.5, True, 1001):
        with pytest.raises(
            ValueError, match="`iterations` should be a positive integer of at most"
        ):
            OptimalTransport(iterations=wrong)
    with pytest.raises(ValueError, match="`epsilon` should be > 0"):
        OptimalTransport(0.0)
    with pytest.raises(ValueError, match="`assignment` should be one of"):
        Codebook(2, assignment="gumbel")
