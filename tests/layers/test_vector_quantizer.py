import keras
import numpy as np
import pytest
from support import gradients, normal, same_bits, set_table, to_numpy, values_of

from keras_vqvae import ops
from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import VectorQuantizer
from keras_vqvae.ops import SynchronizedUpdate

RULES = pytest.mark.parametrize("update", ["gradient", EMAUpdate(decay=0.9)], ids=["grad", "ema"])


def with_table(rows, **options):
    return set_table(VectorQuantizer(len(rows), **options), rows)


def test_losses_by_hand():
    # z = (1, 0), (0, 3); codes (0, 0), (0, 2). Errors: 1 + 0 + 0 + 1 = 2 over four elements.
    layer = with_table([[0, 0], [0, 2]], beta=0.25)
    out = layer.discretize(np.array([[1, 0], [0, 3]], "float32"))
    assert to_numpy(out.indices).tolist() == [0, 1]
    assert to_numpy(out.quantized).tolist() == [[0, 0], [0, 2]]
    assert {k: float(v) for k, v in out.losses.items()} == {
        "codebook_loss": 0.5,
        "commitment_loss": 0.125,
    }


def test_an_ema_table_has_the_commitment_loss_only():
    layer = with_table([[0, 0], [0, 2]], beta=0.25, update="ema")
    out = layer.discretize(np.array([[1, 0], [0, 3]], "float32"))
    assert {k: float(v) for k, v in out.losses.items()} == {"commitment_loss": 0.125}
    assert layer.loss_names == ("commitment_loss",)


def test_masked_losses_by_hand():
    # Only the first vector counts: its error is 1 over two elements.
    layer = with_table([[0, 0], [0, 2]], beta=1.0)
    out = layer.discretize(np.array([[1, 0], [0, 3]], "float32"), mask=np.array([True, False]))
    assert float(out.losses["codebook_loss"]) == 0.5
    assert float(out.losses["commitment_loss"]) == 0.5


def total_loss(layer):
    return lambda x: sum(layer.discretize(x).losses.values())


def test_gradients_by_hand():
    # commitment: β·2(x − e)/4; codebook: 2(e − x)/4, summed over the vectors of a code.
    layer = with_table([[0, 0], [0, 2], [9, 9]], beta=0.25)
    x = np.array([[1, 0], [0, 3]], "float32")
    by_x, (by_table,) = gradients(total_loss(layer), x, [layer.embeddings])
    assert by_x.tolist() == [[0.125, 0], [0, 0.125]]
    assert by_table.tolist() == [[-0.5, 0], [0, -0.5], [0, 0]]


def test_trap_1_beta_weighs_the_commitment_loss():
    x = normal((10, 3))
    table = normal((4, 3), 1)
    found = []
    for beta in (0.25, 1.0, 0.0):
        layer = with_table(table, beta=beta)
        by_x, (by_table,) = gradients(total_loss(layer), x, [layer.embeddings])
        found.append((by_x, by_table))
    np.testing.assert_allclose(found[0][0], 0.25 * found[1][0], rtol=1e-6)
    assert not found[2][0].any()
    for _, by_table in found[:2]:
        np.testing.assert_array_equal(by_table, found[2][1])
    assert found[2][1].any()


def test_trap_2_the_codebook_loss_trains_the_table_and_nothing_else():
    layer = with_table(normal((4, 3), 1))
    codebook, commitment = (
        gradients(
            lambda x, n=name: layer.discretize(x).losses[n], normal((10, 3)), [layer.embeddings]
        )
        for name in ("codebook_loss", "commitment_loss")
    )
    assert not codebook[0].any()
    assert codebook[1][0].any()
    assert commitment[0].any()
    assert not commitment[1][0].any()


@RULES
def test_trap_2_what_follows_the_quantizer_trains_the_encoder_and_not_the_table(update):
    layer = with_table(normal((4, 3), 1), update=update)
    weights = normal((10, 3), 2)
    by_x, (by_table,) = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * weights),
        normal((10, 3)),
        [layer.embeddings],
    )
    np.testing.assert_array_equal(by_x, weights)  # as it is: straight-through
    assert not by_table.any()


@pytest.mark.parametrize("estimator", ["diveq", "nsvq"])
def test_trap_28_an_estimator_that_trains_codes_hands_them_what_follows(estimator):
    """Trap 28. Not through a tensor that is cut off from them.

    These hand a code, of `dL/dq`, the part along the way from vector to code, added up over its
    vectors.
    """
    layer = with_table(normal((4, 3), 1), estimator=estimator, beta=0.0)
    x, g = normal((10, 3)), normal((10, 3), 2)
    _, (by_table,) = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * g), x, [layer.embeddings]
    )
    table = to_numpy(layer.embeddings)
    chosen = np.argmin(((x[:, None] - table) ** 2).sum(-1), axis=-1)
    unit = table[chosen] - x
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    expected = np.zeros_like(table)
    np.add.at(expected, chosen, np.sum(unit * g, axis=-1, keepdims=True) * unit)
    np.testing.assert_allclose(by_table, expected, rtol=1e-4, atol=1e-5)


def test_trap_28_a_synchronized_table_gets_nu_times_what_follows_beside_the_codebook_loss():
    layer = with_table(normal((4, 3), 1), estimator=SynchronizedUpdate(0.5), beta=0.0)
    assert layer.loss_names == ("codebook_loss", "commitment_loss")
    x, g = normal((10, 3)), normal((10, 3), 2)

    def loss(x):
        out = layer.discretize(x, training=True)
        return keras.ops.sum(out.quantized * g) + out.losses["codebook_loss"]

    by_x, (by_table,) = gradients(loss, x, [layer.embeddings])
    table = to_numpy(layer.embeddings)
    chosen = np.argmin(((x[:, None] - table) ** 2).sum(-1), axis=-1)
    expected = np.zeros_like(table)
    # d/dq of the mean of 30 squares, and half of what follows.
    np.add.at(expected, chosen, 2 * (table[chosen] - x) / 30 + 0.5 * g)
    np.testing.assert_allclose(by_table, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(by_x, g)
    with pytest.raises(ValueError, match="`estimator='synchronized'` hands the table its gradient"):
        VectorQuantizer(4, update="ema", estimator="synchronized")


@RULES
def test_trap_8_training_gives_codes_of_the_table_before_the_update(update):
    layer = with_table(normal((4, 3), 1), update=update)
    x = normal((20, 3))
    before = layer.discretize(x, training=False)
    during = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(during.quantized), to_numpy(before.quantized))
    np.testing.assert_array_equal(to_numpy(during.indices), to_numpy(before.indices))


def test_trap_9_the_table_moves_after_the_output_is_taken():
    layer = with_table(normal((4, 3), 1), update=EMAUpdate(0.5))
    x = normal((20, 3))
    table = to_numpy(layer.embeddings)
    out = layer.discretize(x, training=True)
    np.testing.assert_array_equal(to_numpy(out.quantized), table[to_numpy(out.indices)])
    assert not same_bits([to_numpy(layer.embeddings)], [table])
    # In evaluation the output is the lookup of its indices, exactly.
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(layer.decode(out.indices)), to_numpy(out.quantized))


def test_trap_14_half_precision_inputs_and_gradients():
    layer = with_table(normal((4, 3), 1), dtype="mixed_float16")
    x = keras.ops.cast(normal((10, 3)), "float16")
    out = layer.discretize(x)
    assert keras.backend.standardize_dtype(out.quantized.dtype) == "float16"
    assert all(keras.backend.standardize_dtype(v.dtype) == "float32" for v in out.losses.values())
    assert layer.embeddings.dtype == "float32"
    by_x, _ = gradients(lambda x: keras.ops.sum(layer.discretize(x).losses["commitment_loss"]), x)
    assert np.isfinite(by_x.astype("float32")).all()


def test_encode_of_decode_is_the_identity_for_distinct_codes():
    layer = with_table(normal((8, 3), 1))
    indices = np.arange(8).reshape(2, 4)
    np.testing.assert_array_equal(to_numpy(layer.encode(layer.decode(indices))), indices)


def test_cosine_losses_are_taken_on_the_sphere():
    """Trap 11. The length of the vectors is no matter."""
    # (3, 4) → (0.6, 0.8), and the code (0, 7) → (0, 1): errors 0.36 + 0.04 over two elements.
    layer = with_table([[0, 7], [-1, 0]], distance="cosine", beta=1.0)
    out = layer.discretize(np.array([[3, 4]], "float32"))
    assert float(out.losses["commitment_loss"]) == pytest.approx(0.2, rel=1e-5)
    np.testing.assert_allclose(to_numpy(out.quantized), [[0, 1]], atol=1e-6)
    louder = layer.discretize(np.array([[300, 400]], "float32"))
    assert float(louder.losses["commitment_loss"]) == pytest.approx(0.2, rel=1e-5)


def test_chunk_size_bounds_the_search_and_changes_nothing():
    table, x = normal((8, 3), 1), normal((5, 7, 3))
    whole, chunked = with_table(table), with_table(table, chunk_size=4)
    np.testing.assert_array_equal(to_numpy(whole.encode(x)), to_numpy(chunked.encode(x)))


def test_a_gradient_table_learns_the_vectors_in_fit():
    x = np.array([[-1.0], [-1.2], [1.0], [1.2]] * 8, "float32")
    layer = with_table([[-0.1], [0.1]])
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(x, epochs=20, batch_size=32, verbose=0)
    # The mean of the vectors of each code; 20 steps at 0.5 leave 2⁻²⁰ of the way.
    np.testing.assert_allclose(to_numpy(layer.embeddings), [[-1.1], [1.1]], rtol=1e-4)


@RULES
@pytest.mark.parametrize("initializer", ["uniform", "kmeans"])
def test_trap_20_a_frozen_layer_learns_nothing(update, initializer):
    layer = VectorQuantizer(
        4, 3, update=update, embeddings_initializer=initializer, revival="replace_dead"
    )
    layer.build((None, 3))
    layer.trainable = False
    before = values_of(layer)
    layer(normal((10, 3)), training=True)
    assert layer.trainable_variables == []
    assert same_bits(values_of(layer), before)
    layer.trainable = True
    layer(normal((10, 3)), training=True)
    assert not same_bits(values_of(layer), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_embeddings": 0}, "`num_embeddings` should be a positive integer. Received: num_em"),
        ({"num_embeddings": -3}, "num_embeddings=-3"),
        ({"embedding_dim": 0}, "`embedding_dim` should be a positive integer"),
        ({"beta": -1.0}, "`beta` should be ≥ 0, or a schedule"),
        ({"update": "sgd"}, "`update` should be one of"),
        ({"distance": "l1"}, "`distance` should be one of"),
        ({"revival": "sometimes"}, "`revival` should be one of"),
        ({"estimator": "gumbel"}, "`estimator` should be one of"),
        ({"estimator": ["diveq"]}, "`estimator` should be one of"),
        ({"estimator": ops.DiVeQ}, "`estimator` should be one of"),
        ({"embeddings_initializer": "best"}, "`embeddings_initializer` should be"),
        ({"embeddings_initializer": None}, "`embeddings_initializer` should be"),
        ({"embeddings_initializer": np.ones((4, 2))}, "initializers.Constant(array)"),
        ({"seed": 1.5}, "`seed` should be an integer"),
        ({"chunk_size": 0}, "`chunk_size` should be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match="Received") as error:
        VectorQuantizer(**{"num_embeddings": 4, **arguments})
    assert message in str(error.value)


def test_another_length_is_refused_in_build():
    with pytest.raises(ValueError, match="expects vectors of length 3 on the last axis"):
        VectorQuantizer(4, 3)(normal((2, 5)))
    with pytest.raises(ValueError, match="vectors of a known length"):
        VectorQuantizer(4).build((None, None))


@pytest.mark.parametrize("name", ["uniform", "kmeans"])
def test_a_seed_says_where_codes_start(name):
    tables = []
    for seed in (1, 1, 2, None, None):
        layer = VectorQuantizer(4, embeddings_initializer=name, seed=seed)
        layer.build((None, 2))
        tables.append(to_numpy(layer.embeddings))
    assert same_bits(tables[:1], tables[1:2])
    assert not same_bits(tables[:1], tables[2:3])
    assert not same_bits(tables[3:4], tables[4:])


@pytest.mark.parametrize("name", ["straight_through", "rotation", "diveq"])
def test_an_estimator_given_as_itself_is_saved_by_its_name(name):
    estimator = ops.get_gradient_estimator(name)
    config = VectorQuantizer(4, estimator=estimator).get_config()
    assert config["estimator"] == name
    assert VectorQuantizer.from_config(config)._pass_gradient is estimator


def test_a_mask_of_numbers_counts_a_position_or_does_not():
    layer, x = VectorQuantizer(4, embeddings_initializer="random_normal"), normal((3, 2))
    layer.build(x.shape)
    half = layer.discretize(x, mask=np.array([0.5, 1.0, 0.0]))
    whole = layer.discretize(x, mask=np.array([True, True, False]))
    np.testing.assert_array_equal(to_numpy(half.quantized), to_numpy(whole.quantized))


def test_what_it_says_of_itself():
    layer = VectorQuantizer(8)
    assert (layer.num_embeddings, layer.embedding_dim) == (8, None)
    layer.build((None, 7, 7, 3))
    assert layer.codebook_shape == (8, 3)
    assert layer.uniform_bits_per_code == 3.0
    assert layer.indices_shape((None, 7, 7, 3)) == (None, 7, 7)


def test_config_names_are_the_constructors():
    config = VectorQuantizer(
        8, 3, beta=0.5, update=EMAUpdate(0.7), chunk_size=9, seed=4
    ).get_config()
    assert (config["num_embeddings"], config["embedding_dim"], config["beta"]) == (8, 3, 0.5)
    assert (config["chunk_size"], config["seed"], config["estimator"]) == (9, 4, "straight_through")
    again = VectorQuantizer.from_config(config)
    assert again.codebook.update_rule == EMAUpdate(0.7)


@pytest.mark.parametrize("method", ["__call__", "encode", "discretize"])
def test_a_number_alone_is_no_vector(method):
    layer = with_table(normal((4, 3), 1))
    with pytest.raises(ValueError, match=r"vectors of length 3 .*Received: input_shape=\(\)"):
        getattr(layer, method)(np.float32(1.0))
