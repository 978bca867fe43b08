import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy, train_often

from keras_vqvae import layers
from keras_vqvae.codebooks import CrossEntropyCommitment, Diversity
from keras_vqvae.layers import (
    BinarySphericalQuantizer,
    LookupFreeQuantizer,
    SimVQ,
    VectorQuantizer,
)

schedules = keras.optimizers.schedules


def halving():
    # 8 · ½^step
    return schedules.ExponentialDecay(8.0, decay_steps=1, decay_rate=0.5)


def built(beta):
    layer = SimVQ(4, beta=beta, seed=1)
    layer.build((None, 3))
    return layer


def test_a_plain_number_is_no_weight():
    layer = built(0.5)
    assert layer.number("beta") == 0.5
    names = [w.path.split("/")[-1] for w in layer.weights]
    assert sorted(names) == ["code_counts", "embeddings", "kernel", "refused_batches"]
    assert layer.get_config()["beta"] == 0.5


def test_each_training_step_takes_the_next_value():
    layer, x = built(halving()), normal((6, 3))
    plain = float(built(1.0).discretize(x).losses["commitment_loss"])
    for expected in (8.0, 4.0, 2.0, 1.0):
        evaluation = float(layer.discretize(x).losses["commitment_loss"])
        assert evaluation == float(layer.discretize(x).losses["commitment_loss"])
        training = float(layer.discretize(x, training=True).losses["commitment_loss"])
        assert training == evaluation == pytest.approx(expected * plain, rel=1e-6)
    assert float(layer.number("beta")) == 0.5


def test_a_number_that_was_read_stays_what_it_was():
    layer = LookupFreeQuantizer(3, entropy_weight=halving())
    layer.build((None, 3))
    seen = []
    for _ in range(3):
        seen.append(layer.number("entropy_weight"))
        layer.discretize(normal((6, 3)), training=True)
    assert [float(number) for number in seen] == [8.0, 4.0, 2.0]


def test_compiled_steps_see_the_change():
    layer = built(halving())
    train_often(layer, normal((6, 3)), 5)
    assert float(layer.number("beta")) == 8 / 2**5
    assert float(layer.schedule_step) == 5.0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_takes_one_value_a_batch(jit_compile):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, SimVQ(4, beta=halving())(keras.layers.Dense(3)(inputs)))
    model.compile("sgd", "mse", jit_compile=jit_compile)
    x = normal((8, 3))
    model.fit(x, x, batch_size=4, epochs=2, validation_data=(x, x), verbose=0)
    assert float(model.layers[-1].number("beta")) == 8 / 2**4


def test_a_wholly_masked_step_is_none_and_a_frozen_layer_takes_none():
    layer, x = built(halving()), normal((2, 3))
    layer.discretize(x, training=True, mask=np.zeros((2,), bool))
    assert float(layer.number("beta")) == 8.0
    layer.discretize(x, training=True, mask=np.array([True, False]))
    assert float(layer.number("beta")) == 4.0
    layer.trainable = False
    layer.discretize(x, training=True)
    assert float(layer.number("beta")) == 4.0


def test_trap_19_a_saved_model_goes_on_where_it_was(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, SimVQ(4, beta=halving())(inputs))
    x = normal((6, 3))
    for _ in range(3):
        model(x, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert float(again.number("beta")) == 1.0
    again.discretize(x, training=True)
    assert float(again.number("beta")) == 0.5


def test_any_schedule_of_keras_serves():
    x = normal((2, 3))
    steps = schedules.PiecewiseConstantDecay([1, 2], [3.0, 2.0, 1.0])
    found = []
    for schedule in (steps, schedules.CosineDecay(4.0, 2)):
        layer, values = built(schedule), []
        for _ in range(3):
            values.append(float(layer.number("beta")))
            layer.discretize(x, training=True)
        found.append(values)
    np.testing.assert_allclose(found, [[3, 3, 2], [4, 2, 0]], atol=1e-6)


def test_configs_hold_the_schedule():
    config = built(halving()).get_config()
    again = SimVQ.from_config(config)
    assert again.get_config() == config
    assert isinstance(again.beta, schedules.ExponentialDecay)


@pytest.mark.parametrize(
    "make",
    [
        lambda beta: layers.VectorQuantizer(5, beta=beta),
        lambda beta: layers.ResidualVectorQuantizer(2, 5, beta=beta),
        lambda beta: layers.ResidualVectorQuantizer(2, 5, beta=beta, shared_codebook=True),
        lambda beta: layers.ProductQuantizer(1, 5, beta=beta),
    ],
    ids=["vq", "rvq", "rvq_shared", "product"],
)
def test_beta_of_the_quantizers_with_tables(make):
    """The commitment loss halves with β, and the config holds the schedule."""
    x = normal((6, 3))
    plain, scheduled = make(1.0), make(halving())
    scheduled = type(scheduled).from_config(scheduled.get_config())
    for layer in (plain, scheduled):
        layer.build(x.shape)
    parts = [getattr(layer, "quantizers", [layer]) for layer in (plain, scheduled)]
    for source, target in zip(*parts, strict=True):
        target.embeddings.assign(source.embeddings)
    for expected in (8.0, 4.0, 2.0):
        found = scheduled.discretize(x, training=True).losses["commitment_loss"]
        full = plain.discretize(x, training=True).losses["commitment_loss"]
        np.testing.assert_allclose(float(found), expected * float(full), rtol=1e-6)


@pytest.mark.parametrize("cls", [LookupFreeQuantizer, BinarySphericalQuantizer])
def test_before_it_is_built_a_schedule_has_no_value_and_an_error_says_what_to_do(cls):
    layer = cls(3, entropy_weight=keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5))
    with pytest.raises(ValueError, match=r"not built yet, so its `entropy_weight`.*`build` it"):
        layer.discretize(normal((2, 3)))
    assert to_numpy(layer.encode(normal((2, 3)))).shape == (2,)


def test_what_is_neither_number_nor_schedule_is_refused():
    for wrong in (-0.5, "cosine", None, float("nan")):
        with pytest.raises(ValueError, match=r"`beta` should be ≥ 0, or a schedule out of"):
            SimVQ(4, beta=wrong)


def test_replicas_of_the_number_are_scalars_in_float32_under_every_policy():
    layer = SimVQ(4, beta=halving(), dtype="mixed_bfloat16")
    layer(normal((6, 3)), training=True)
    assert to_numpy(layer.number("beta")).dtype == np.float32
    assert to_numpy(layer.number("beta")).shape == ()


@pytest.mark.parametrize("cls", [LookupFreeQuantizer, BinarySphericalQuantizer])
def test_quantizers_to_signs_take_schedules_and_have_no_weight_without(cls):
    x = normal((6, 3))
    plain = cls(3, entropy_weight=1.0)
    plain.build((None, 3))
    once = float(plain.discretize(x).losses["entropy_loss"])
    assert [w.path.split("/")[-1] for w in plain.weights] == ["refused_batches", "code_counts"]
    layer = cls(3, entropy_weight=halving(), temperature=0.01)
    layer.build((None, 3))
    for expected in (8.0, 4.0, 2.0):
        loss = float(layer.discretize(x, training=True).losses["entropy_loss"])
        assert loss == pytest.approx(expected * once, rel=1e-5)
    colder = cls(
        3, entropy_weight=1.0, temperature=schedules.PiecewiseConstantDecay([0], [2.0, 1.0])
    )
    colder.build((None, 3))
    found = [float(colder.discretize(x, training=True).losses["entropy_loss"]) for _ in range(2)]
    for temperature, loss in zip((2.0, 1.0), found, strict=True):
        steady = cls(3, entropy_weight=1.0, temperature=temperature)
        steady.build((None, 3))
        assert loss == pytest.approx(float(steady.discretize(x).losses["entropy_loss"]), rel=1e-5)


def test_quantizers_made_of_others_tell_their_numbers():
    halving = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    x = normal((6, 4))
    for layer in (
        layers.ResidualVectorQuantizer(2, 8, beta=halving),
        layers.ResidualVectorQuantizer(3, 8, beta=halving, dropout="batch"),
        layers.GroupedResidualVectorQuantizer(2, 2, 8, beta=halving),
        layers.ProductQuantizer(2, 8, beta=halving),
        layers.ProjectedQuantizer(layers.VectorQuantizer(8, beta=halving), codebook_dim=2),
    ):
        for _ in range(2):
            layer(x, training=True)
        assert float(layer.number("beta")) == 0.25
        assert layer.given_number("beta").get_config() == halving.get_config()
    assert layers.LatentQuantizer((4, 4), beta=0.5).number("beta") == 0.5
    different = layers.ResidualQuantizer([layers.SimVQ(8, beta=b) for b in (0.5, 1.0)])
    with pytest.raises(ValueError, match=r"different `beta`. Ask one of them: `layer.quantizers"):
        different.number("beta")
    with pytest.raises(ValueError, match=r"`name` should be one of \['beta'\]"):
        layers.ProductQuantizer(2, 8).number("gamma")
    rounding = layers.ProjectedQuantizer(layers.FiniteScalarQuantizer((3, 3)))
    with pytest.raises(ValueError, match=r"`FiniteScalarQuantizer` in .* has no numbers"):
        rounding.number("beta")


def test_a_schedule_comes_through_the_constructor():
    layer = layers.VectorQuantizer(8)
    layer.build((None, 3))
    layer.beta = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    with pytest.raises(ValueError, match="was a plain number when it was built"):
        layer.number("beta")


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_depths_that_are_dropped_count_the_step(per):
    dropout = layers.QuantizeDropout(per)
    layer = layers.ResidualVectorQuantizer(4, 8, beta=halving(), dropout=dropout, seed=3)
    layer.build((None, 3))
    dropped = 0
    for step in range(1, 7):
        out = layer.discretize(normal((1, 2, 3)), training=True)
        dropped += int((to_numpy(out.indices)[..., -1] == -1).all())
        assert [float(part.number("beta")) for part in layer.quantizers] == [8 / 2**step] * 4
    assert dropped > 0
    layer.discretize(normal((1, 2, 3)), training=True, mask=np.zeros((1, 2), bool))
    layer.quantizers[3].trainable = False
    layer.discretize(normal((1, 2, 3)), training=True)
    steps = [float(part.schedule_step) for part in layer.quantizers]
    assert steps == [7, 7, 7, 6]


def test_depths_of_other_kinds_that_are_dropped_count_the_step():
    parts = [SimVQ(4), SimVQ(4, beta=halving()), SimVQ(4)]
    layer = layers.ResidualQuantizer(parts, dropout="batch", seed=1)
    layer.build((None, 3))
    train_often(layer, normal((6, 3)), 8)
    assert float(layer.quantizers[1].schedule_step) == 8


@pytest.mark.parametrize(
    "make",
    [
        lambda ending: layers.GumbelQuantizer(8, temperature=ending, seed=0),
        lambda ending: LookupFreeQuantizer(4, temperature=ending),
        lambda ending: BinarySphericalQuantizer(4, temperature=ending),
        lambda ending: layers.IndexBackpropQuantizer(
            8, entropy_weight=0.1, entropy_temperature=ending, embeddings_initializer="normal"
        ),
        lambda ending: VectorQuantizer(8, regularizer=Diversity(temperature=ending)),
        lambda ending: VectorQuantizer(8, regularizer=CrossEntropyCommitment(temperature=ending)),
    ],
    ids=["gumbel", "lfq", "bsq", "ibq", "diversity", "cross_entropy"],
)
def test_a_temperature_that_ends_at_zero_stays_above_it(make):
    layer = make(schedules.CosineDecay(1.0, 1))
    layer.build((None, 4))
    x = normal((32, 4))
    for _ in range(3):
        out = layer.discretize(x, training=True)
    assert np.isfinite(to_numpy(out.quantized)).all()
    assert all(np.isfinite(float(value)) for value in out.losses.values())
    by_x, by_weights = gradients(
        lambda x: sum(layer.discretize(x, training=True).losses.values()),
        x,
        layer.trainable_variables,
    )
    assert all(np.isfinite(g).all() for g in (by_x, *by_weights))


def test_a_callback_may_take_the_temperature_to_zero():
    layer = layers.GumbelQuantizer(8, seed=0)
    layer.build((None, 4))
    layer.temperature_weight.assign(0.0)
    x = normal((32, 4))
    assert np.isfinite(to_numpy(layer.discretize(x, training=True).quantized)).all()
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x, training=True).quantized), x)
    assert np.isfinite(by_x).all()
