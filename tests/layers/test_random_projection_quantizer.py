import keras
import numpy as np
import pytest
from support import gradients, normal, same_bits, to_numpy, values_of

from keras_vqvae import callbacks
from keras_vqvae.layers import RandomProjectionQuantizer


def built(dim=6, **options):
    layer = RandomProjectionQuantizer(7, codebook_dim=3, seed=1, **options)
    layer.build((None, dim))
    return layer


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def brute_force(layer, x):
    """Indices `(N, Q)` and the chosen unit codes `(N, Q·c)`."""
    u = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    y = u @ to_numpy(layer.projection)
    indices, codes = [], []
    for i, codebook in enumerate(layer.codebooks):
        table = unit(to_numpy(codebook.embeddings))
        indices.append((unit(y[:, 3 * i : 3 * i + 3]) @ table.T).argmax(-1))
        codes.append(table[indices[-1]])
    return np.stack(indices, -1), np.concatenate(codes, -1)


@pytest.mark.parametrize("tables", [1, 2])
def test_indices_are_brute_force(tables):
    layer, x = built(num_codebooks=tables), normal((40, 6), scale=5.0)
    indices, _ = brute_force(layer, x)
    found = to_numpy(layer.encode(x))
    np.testing.assert_array_equal(found, indices if tables > 1 else indices[:, 0])


@pytest.mark.parametrize("tables", [1, 2, 3])
def test_the_output_is_the_shortest_vector_that_projects_to_the_codes(tables):
    layer, x = built(num_codebooks=tables), normal((10, 6))
    _, codes = brute_force(layer, x)
    projection, z_q = to_numpy(layer.projection), to_numpy(layer(x))
    expected = np.stack([np.linalg.lstsq(projection.T, c, rcond=None)[0] for c in codes])
    np.testing.assert_allclose(z_q, expected, atol=1e-4)
    if 3 * tables <= 6:  # then some vector projects there, not only near
        np.testing.assert_allclose(z_q @ projection, codes, atol=1e-4)


def test_the_scale_and_the_mean_of_a_vector_do_not_matter():
    layer, x = built(), normal((30, 6), scale=10.0)
    indices = to_numpy(layer.encode(x))
    np.testing.assert_array_equal(to_numpy(layer.encode(3.0 * x + 7.0)), indices)


def test_nothing_learns_and_there_is_no_loss():
    layer, x = built(), normal((10, 6))
    assert layer.trainable_weights == []
    assert layer.loss_names == ()
    before = values_of(layer)
    out = layer.discretize(x, training=True)
    assert out.losses == {}
    counted = layer.codebooks[0].code_counts  # the one thing that changes
    assert to_numpy(counted).sum() == 10
    counted.assign(np.zeros(7, "float32"))
    assert same_bits(values_of(layer), before)


def test_projection_and_tables_start_as_the_paper_says():
    layer = RandomProjectionQuantizer(2000, seed=1)
    layer.build((None, 80))
    projection = to_numpy(layer.projection)
    limit = np.sqrt(6 / 96)
    assert 0.98 * limit < np.abs(projection).max() <= limit
    assert projection.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert to_numpy(layer.codebooks[0].embeddings).std() == pytest.approx(1.0, rel=0.03)


def test_tables_and_projections_differ_and_a_seed_repeats_them():
    layer, again = built(num_codebooks=2), built(num_codebooks=2)
    assert same_bits(values_of(layer), values_of(again))
    first, second = (to_numpy(book.embeddings) for book in layer.codebooks)
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(3)
    one, other = (RandomProjectionQuantizer(4, 3) for _ in range(2))
    keras.utils.set_random_seed(3)
    repeated = RandomProjectionQuantizer(4, 3)
    for layer in (one, other, repeated):
        layer.build((None, 6))
    assert np.array_equal(to_numpy(one.projection), to_numpy(repeated.projection))
    assert not np.array_equal(to_numpy(one.projection), to_numpy(other.projection))


def test_the_gradient_passes_straight_through():
    layer, x, weights = built(num_codebooks=2), normal((5, 6)), normal((5, 6), 1)
    by_x, _ = gradients(lambda x: keras.ops.sum(layer(x) * weights), x)
    np.testing.assert_array_equal(by_x, weights)


def test_an_index_of_minus_one_leaves_a_table_out():
    layer = built(num_codebooks=2)
    both, first, second = (
        to_numpy(layer.decode(np.array([pair]))) for pair in ([2, 5], [2, -1], [-1, 5])
    )
    np.testing.assert_allclose(first + second, both, atol=1e-5)


def test_statistics_of_each_table():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6), built(num_codebooks=2)])
    model.compile("sgd", "mse")
    x = normal((8, 6))
    logs = model.fit(x, x, callbacks=[callbacks.CodebookMetrics()], verbose=0).history
    for i in range(2):
        assert 1 <= logs[f"table_{i}/perplexity"][0] <= 7


def test_trap_23_the_search_of_each_table_is_bounded_and_finds_the_same():
    layer, x = built(num_codebooks=2, chunk_size=4), normal((30, 6))
    assert [book.chunk_size for book in layer.codebooks] == [4, 4]
    assert layer.get_config()["chunk_size"] == 4
    np.testing.assert_array_equal(
        to_numpy(layer.encode(x)), to_numpy(built(num_codebooks=2).encode(x))
    )


def test_a_batch_whose_squares_overflow_is_refused():
    """Divided by an infinite deviation it would be zeros, whose codes say nothing of it."""
    layer, x = built(num_codebooks=2), normal((8, 6))
    x[0] *= 1e21
    layer(x, training=True)
    assert [float(book.refused_batches) for book in layer.codebooks] == [1.0, 1.0]
    assert to_numpy(layer.code_counts).sum() == 0


def test_arguments_are_checked():
    for name in ("codebook_dim", "num_codebooks", "chunk_size"):
        with pytest.raises(ValueError, match=f"`{name}` should be a positive integer"):
            RandomProjectionQuantizer(4, **{name: 0})
    with pytest.raises(ValueError, match="expects vectors of length 5"):
        RandomProjectionQuantizer(4, embedding_dim=5)(np.ones((2, 4)))
