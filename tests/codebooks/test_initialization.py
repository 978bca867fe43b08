import keras
import numpy as np
import pytest
from support import normal, same_bits, to_numpy, values_of

from keras_vqvae import models
from keras_vqvae.codebooks import Codebook, Cosine, Euclidean, KMeans
from keras_vqvae.codebooks.draws import spread_rows, uniform_rows
from keras_vqvae.layers import VectorQuantizer


def uniforms(count, seed=0):
    return np.random.default_rng(seed).random(count).astype("float32")


def kmeans(iterations, vectors, weights=None, codes=4, distance=None):
    distance = distance or Euclidean()
    table, counts = KMeans(iterations).table(
        keras.ops.convert_to_tensor(vectors), weights, uniforms(codes), distance, None
    )
    return to_numpy(table), to_numpy(counts)


def lloyd(means, vectors, iterations):
    """Lloyd's algorithm in float64; an empty cluster keeps its mean."""
    means, vectors = np.float64(means), np.float64(vectors)
    for _ in range(iterations):
        indices = np.square(vectors[:, None] - means[None]).sum(-1).argmin(-1)
        for k in range(len(means)):
            if (indices == k).any():
                means[k] = vectors[indices == k].mean(0)
    indices = np.square(vectors[:, None] - means[None]).sum(-1).argmin(-1)
    return means, np.bincount(indices, minlength=len(means))


@pytest.mark.parametrize("iterations", [1, 5])
def test_kmeans_is_lloyds_from_the_same_start(iterations):
    vectors = normal((60, 3))
    start, _ = kmeans(0, vectors)
    found, counts = kmeans(iterations, vectors)
    expected, expected_counts = lloyd(start, vectors, iterations)
    # Means of about 15 float32 vectors.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(counts, expected_counts)


def test_kmeans_starts_from_different_vectors_of_the_batch():
    vectors = normal((12, 3))
    start, counts = kmeans(0, vectors)
    rows = [np.flatnonzero((vectors == code).all(-1)) for code in start]
    assert all(len(r) == 1 for r in rows)
    assert len({int(r[0]) for r in rows}) == 4
    assert counts.sum() == 12


def test_an_empty_cluster_keeps_its_mean():
    # All vectors are equal, so are the codes, and the first one gets them all.
    table, counts = kmeans(3, np.full((6, 2), 2.5, "float32"))
    assert (table == 2.5).all()
    assert counts.tolist() == [6, 0, 0, 0]


def test_fewer_vectors_than_codes():
    vectors = normal((2, 3))
    table, counts = kmeans(5, vectors)
    assert all((vectors == code).all(-1).any() for code in table)
    assert counts.sum() == 2


def test_kmeans_ignores_masked_vectors():
    vectors = normal((30, 3))
    weights = (np.arange(30) % 3 > 0).astype("float32")
    table, counts = kmeans(5, np.where(weights[:, None] > 0, vectors, 1e6), weights)
    expected, expected_counts = kmeans(5, vectors[weights > 0])
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(counts, expected_counts)


def test_cosine_kmeans_stays_on_the_sphere():
    vectors = to_numpy(Cosine().normalize(normal((40, 3))))
    table, _ = kmeans(5, vectors, distance=Cosine())
    np.testing.assert_allclose(np.linalg.norm(table, axis=-1), 1.0, rtol=1e-5)


# -- the codebook's side of it --------------------------------------------------------------------


def fresh(**options):
    layer = VectorQuantizer(4, 3, embeddings_initializer="kmeans", seed=5, **options)
    layer.build((None, 3))
    return layer


@pytest.mark.parametrize("update", ["gradient", "ema"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_initialisation_compiles_and_gives_what_eager_gives(update, jit_compile):
    if keras.backend.backend() == "jax" and update == "gradient":
        pytest.skip("Keras's own JAX trainer drops what a layer assigns to a trainable weight")
    x = normal((8, 5, 3))
    eager, compiled = fresh(update=update), fresh(update=update)
    eager(x, training=True)
    inputs = keras.Input((5, 3))
    identity = keras.layers.Dense(3, kernel_initializer="identity")
    model = keras.Model(inputs, compiled(identity(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    model.train_on_batch(x, x)
    assert float(compiled.codebook.initialized) == 1.0
    assert set(to_numpy(compiled.encode(x)).ravel().tolist()) == {0, 1, 2, 3}
    if not jit_compile or keras.backend.backend() == "jax":  # TensorFlow draws otherwise under XLA
        # Other kernels sum in another order.
        np.testing.assert_allclose(
            to_numpy(compiled.embeddings), to_numpy(eager.embeddings), rtol=1e-5, atol=1e-6
        )


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the others keep all assignments")
@pytest.mark.parametrize("options", [{}, {"embeddings_initializer": "uniform", "revival": "cvq"}])
def test_a_step_that_drops_the_table_says_so(options):
    layer = VectorQuantizer(4, **{"embeddings_initializer": "kmeans", **options})
    plain = keras.Sequential([keras.layers.Dense(3), layer])
    plain.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="codebook' will neither start .* Use `update='ema'`"):
        plain.train_on_batch(normal((8, 3)), normal((8, 3)))
    layer = VectorQuantizer(4, **{"embeddings_initializer": "kmeans", **options})
    layer(normal((8, 3)), training=True)  # nothing is dropped where nothing is compiled
    model = models.VQVAE(keras.layers.Dense(3), layer, keras.layers.Dense(1))
    model.compile("sgd")
    model.fit(np.zeros((2, 2, 2, 1), "uint8"), verbose=0)


def test_initialisation_happens_once():
    layer = fresh()
    layer(normal((20, 3), 0), training=True)
    table = to_numpy(layer.embeddings)
    layer(normal((20, 3), 1) + 5.0, training=True)
    np.testing.assert_array_equal(to_numpy(layer.embeddings), table)


def test_trap_19_evaluation_does_not_initialise_and_the_table_is_not_zero():
    layer = fresh()
    before = values_of(layer)
    layer(normal((20, 3)), training=False)
    layer.encode(normal((20, 3)))
    assert same_bits(values_of(layer), before)
    assert float(layer.codebook.initialized) == 0.0
    assert np.abs(to_numpy(layer.embeddings)).min() > 0


def test_trap_19_a_reloaded_table_is_not_initialised_again(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, fresh(update="ema")(inputs))
    model.layers[-1](normal((20, 3)), training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for m in (model, again):
        m.layers[-1](normal((20, 3), 1) + 5.0, training=True)
    assert same_bits([to_numpy(w) for w in model.weights], [to_numpy(w) for w in again.weights])


@pytest.mark.parametrize("content", [np.nan, np.inf])
def test_a_batch_that_is_not_finite_is_passed_over(content):
    layer = fresh(update="ema")
    layer(np.full((20, 3), content, "float32"), training=True)
    assert float(layer.codebook.initialized) == 0.0
    x = normal((20, 3))
    layer(x, training=True)
    assert float(layer.codebook.initialized) == 1.0
    assert np.isfinite(to_numpy(layer.embeddings)).all()


def test_after_initialisation_all_codes_are_in_use():
    layer = fresh()
    x = normal((200, 3))
    layer(x, training=True)
    assert set(to_numpy(layer.encode(x)).tolist()) == {0, 1, 2, 3}


def test_initializers_resolve():
    uniform = Codebook(5, embeddings_initializer="uniform", seed=1)
    uniform.build((None, 200))
    table = to_numpy(uniform.embeddings)
    assert 0.19 < np.abs(table).max() <= 0.2  # ±1/K
    again = Codebook.from_config({**uniform.get_config(), "num_embeddings": 50})
    again.build((None, 200))
    assert 0.019 < np.abs(to_numpy(again.embeddings)).max() <= 0.02
    assert Codebook(5, embeddings_initializer="kmeans").embeddings_initializer == KMeans(10)
    ones = Codebook(5, embeddings_initializer=keras.initializers.Ones())
    ones.build((None, 2))
    assert (to_numpy(ones.embeddings) == 1).all()
    with pytest.raises(ValueError, match="`embeddings_initializer` should be 'uniform'"):
        Codebook(5, embeddings_initializer="nothing")
    with pytest.raises(ValueError, match="`iterations` should be"):
        KMeans(iterations=-1)


@pytest.mark.tensorflow_only
def test_draws_of_an_unknown_number_of_rows_that_turns_out_to_be_none():
    import tensorflow as tf

    draw = tf.function(
        lambda x: uniform_rows(x, np.array([0.2, 0.9], "float32")),
        input_signature=[tf.TensorSpec((None, 3))],
    )
    assert not to_numpy(draw(np.zeros((0, 3), "float32"))).any()
    x = normal((5, 3))
    np.testing.assert_array_equal(to_numpy(draw(x)), x[[1, 4]])


# -- draws ----------------------------------------------------------------------------------------


def test_uniform_rows_by_hand():
    x = np.arange(4, dtype="float32")[:, None]
    # Positions 0, 0.5, 0.99 of four rows: rows 0, 2, 3. Of the valid rows 1 and 3: 1, 3, 3.
    u = np.array([0.0, 0.5, 0.99], "float32")
    assert to_numpy(uniform_rows(x, u)).ravel().tolist() == [0, 2, 3]
    valid = np.array([0, 1, 0, 1], "float32")
    assert to_numpy(uniform_rows(x, u, valid)).ravel().tolist() == [1, 3, 3]


def test_uniform_rows_are_uniform_over_valid_rows():
    x = np.arange(10, dtype="float32")[:, None]
    valid = (np.arange(10) % 2).astype("float32")
    drawn = to_numpy(uniform_rows(x, (np.arange(5000) / 5000).astype("float32"), valid)).ravel()
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [1, 3, 5, 7, 9]
    # An even grid of positions: one at each border may fall to either side.
    assert np.abs(counts - 1000).max() <= 1


@pytest.mark.parametrize("weights", [None, np.ones(6, "float32")])
@pytest.mark.parametrize("edge", [0.0, 1.0 - 2.0**-24])
def test_spread_rows_are_different_rows(weights, edge):
    x = np.arange(6, dtype="float32")[:, None]
    rows = to_numpy(spread_rows(x, np.full(6, edge, "float32"), weights)).ravel()
    assert rows.max() <= 5
    few = to_numpy(spread_rows(x, np.full(3, edge, "float32"), weights)).ravel()
    assert len(set(few.tolist())) == 3


def test_spread_rows_are_valid_at_the_very_end_too():
    x, valid = np.arange(4, dtype="float32")[:, None], np.float32([1, 1, 1, 0])
    largest = np.full(3, 1.0 - 2.0**-24, "float32")  # (2 + largest) / 3 is rounded to 1
    assert to_numpy(spread_rows(x, largest, valid)).ravel()[-1] == 2
