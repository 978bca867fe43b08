import keras
import numpy as np
import pytest
from support import normal, same_bits, to_numpy, train_often, values_of

from keras_vqvae.codebooks import Codebook, EMAUpdate, GradientUpdate
from keras_vqvae.layers import VectorQuantizer


def codebook_with(table, **options):
    table = np.asarray(table, "float32")
    codebook = Codebook(len(table), **{"update": EMAUpdate(decay=0.9), **options})
    codebook.build((None, table.shape[1]))
    codebook.embeddings.assign(table)
    return codebook


def learn(codebook, vectors, weights=None):
    vectors = keras.ops.convert_to_tensor(np.asarray(vectors, "float32"))
    indices = codebook.search(vectors)
    codebook.learn(vectors, indices, weights)
    return to_numpy(indices)


def paper_reference(table, batches, decay):
    """Appendix A.1 in float64, with counts N and sums M as the paper has them."""
    table = np.float64(table)
    N, M = np.zeros(len(table)), np.zeros_like(table)
    for batch in batches:
        indices = np.square(batch[:, None] - table[None]).sum(-1).argmin(-1)
        chosen = np.eye(len(table))[indices]
        N = decay * N + (1 - decay) * chosen.sum(0)
        M = decay * M + (1 - decay) * chosen.T @ np.float64(batch)
        table = np.where(N[:, None] > 0, M / np.maximum(N, 1e-300)[:, None], table)
    return table, N


def test_ema_one_step_by_hand():
    # Codes 0 and 10, γ = 0.9. The vectors 1 and 3 choose the first: N = 0.1·2, and a code's first
    # vectors have full weight, so e = mean = 2. Second step with the vector 8 (|8 − 2| > |8 − 10|).
    codebook = codebook_with([[0.0], [10.0]])
    learn(codebook, [[1.0], [3.0]])
    # float32 rounds 0.1: 1e-6.
    assert to_numpy(codebook.embeddings).ravel() == pytest.approx([2.0, 10.0], rel=1e-6)
    assert to_numpy(codebook.update_state["counts"]) == pytest.approx([0.2, 0.0], rel=1e-6)
    # The vectors 4 and 8: N₀ = 0.9·0.2 + 0.1 = 0.28, e₀ = (0.18·2 + 0.1·4)/0.28 = 0.76/0.28.
    learn(codebook, [[4.0], [8.0]])
    assert to_numpy(codebook.embeddings).ravel() == pytest.approx([0.76 / 0.28, 8.0], rel=1e-6)
    assert to_numpy(codebook.update_state["counts"]) == pytest.approx([0.28, 0.1], rel=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.8, 0.99])
def test_ema_is_the_papers_over_ten_steps(decay):
    table = normal((6, 3), 9)
    codebook = codebook_with(table, update=EMAUpdate(decay))
    batches = [normal((20, 3), seed) + 0.1 * seed for seed in range(10)]
    for batch in batches:
        learn(codebook, batch)
    expected, counts = paper_reference(table, batches, decay)
    # Ten float32 steps of relative error 6e-8 a term, over sums of about ten terms.
    np.testing.assert_allclose(to_numpy(codebook.embeddings), expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(to_numpy(codebook.update_state["counts"]), counts, rtol=1e-5)


def test_trap_3_an_unused_code_stays_put_for_5000_steps():
    layer = VectorQuantizer(3, 2, update=EMAUpdate(decay=0.8))
    layer.build((None, 2))
    layer.embeddings.assign([[0.0, 0.0], [1.0, 1.0], [50.0, -70.0]])
    train_often(layer, np.array([[0.1, 0.0], [0.9, 1.0]], "float32"), 5000)
    table = to_numpy(layer.embeddings)
    assert table[2].tolist() == [50.0, -70.0]
    # The others are where their vectors are, for which 5000 steps of rounding are no matter.
    np.testing.assert_allclose(table[:2], [[0.1, 0.0], [0.9, 1.0]], rtol=1e-6, atol=1e-7)


def test_trap_3_counts_that_have_faded_to_nothing_do_no_harm():
    codebook = codebook_with([[0.0], [10.0]])
    learn(codebook, [[1.0]])
    codebook.update_state["counts"].assign([1e-38, 0.0])  # some thousand steps later
    learn(codebook, [[3.0]])
    assert to_numpy(codebook.embeddings).ravel() == pytest.approx([3.0, 10.0])


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_trap_3_an_unused_code_keeps_its_bits(distance):
    codebook = codebook_with([[3.0, 4.0], [-1.0, -1.0]], distance=distance)
    learn(codebook, codebook.distance.normalize(np.array([[2.0, 2.0]], "float32")))
    assert to_numpy(codebook.embeddings)[1].tolist() == [-1.0, -1.0]


def test_trap_4_after_kmeans_the_same_batch_changes_nothing():
    """Sums left as means would shrink centroids of 100 vectors to 2 %."""
    rng = np.random.default_rng(0)
    centres = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]], "float32")
    x = np.repeat(centres, 100, 0) + rng.normal(0, 0.1, (300, 2)).astype("float32")
    layer = VectorQuantizer(3, 2, update="ema", embeddings_initializer="kmeans", seed=0)
    layer.build((None, 2))
    layer.codebook.initialize(keras.ops.convert_to_tensor(x))
    before = to_numpy(layer.embeddings)
    # Each code stands for the batch's vectors that chose it.
    counts = to_numpy(layer.codebook.update_state["counts"])
    np.testing.assert_array_equal(counts, np.bincount(to_numpy(layer.encode(x)), minlength=3))
    layer(x, training=True)
    # Means of 100 float32 numbers around 5.
    np.testing.assert_allclose(to_numpy(layer.embeddings), before, atol=1e-4)


def test_ema_ignores_masked_vectors():
    codebook = codebook_with([[0.0], [10.0]])
    learn(codebook, [[1.0], [4.0]], weights=np.array([1.0, 0.0], "float32"))
    assert to_numpy(codebook.embeddings).ravel() == pytest.approx([1.0, 10.0])
    assert to_numpy(codebook.code_counts).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_trap_14_codes_and_averages_are_those_of_float32_under_every_policy(policy):
    # Norms of about 1000: squares overflow in float16, and sums lose all but 8 bits in bfloat16.
    def halved(seed):
        half = keras.ops.cast(normal((20, 3), seed, scale=600.0), policy.removeprefix("mixed_"))
        return to_numpy(keras.ops.cast(half, "float32"))

    full, mixed = (
        VectorQuantizer(6, 3, update=EMAUpdate(0.9), seed=0, dtype=p) for p in ("float32", policy)
    )
    for layer in (full, mixed):
        layer.build((None, 3))
        layer.embeddings.assign(normal((6, 3), 9, scale=600.0))
    for seed in range(3):
        indices = [
            to_numpy(layer(halved(seed), training=True, return_indices=True)[1])
            for layer in (full, mixed)
        ]
        np.testing.assert_array_equal(*indices)
    assert same_bits(values_of(full), values_of(mixed))
    assert mixed.embeddings.dtype == "float32"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_ema_refuses_a_batch_that_is_not_finite(bad):
    codebook = codebook_with(normal((4, 2)))
    learn(codebook, normal((10, 2), 1))
    before = [to_numpy(codebook.embeddings), to_numpy(codebook.update_state["counts"])]
    learn(codebook, [[bad, 0.0], [1.0, 1.0]])
    after = [to_numpy(codebook.embeddings), to_numpy(codebook.update_state["counts"])]
    assert same_bits(before, after)


def test_trap_11_cosine_tables_stay_on_the_unit_sphere():
    layer = VectorQuantizer(4, 3, update=EMAUpdate(0.5), distance="cosine", seed=0)
    for seed in range(20):
        layer(normal((16, 3), seed, scale=100.0), training=True)
    norms = np.linalg.norm(to_numpy(layer.codebook.table()), axis=-1)
    np.testing.assert_allclose(norms, 1.0, rtol=1e-5)


def test_gradient_rule_has_no_state_and_leaves_the_table_to_the_optimizer():
    codebook = codebook_with(normal((4, 2)), update="gradient")
    assert codebook.update_state == {}
    assert [v.path for v in codebook.trainable_variables] == [codebook.embeddings.path]
    before = to_numpy(codebook.embeddings)
    learn(codebook, normal((10, 2), 1))
    np.testing.assert_array_equal(to_numpy(codebook.embeddings), before)


def test_an_ema_table_is_not_trainable():
    """Trap 21. An EMA table marked trainable gets the gradient None."""
    codebook = codebook_with(normal((4, 2)))
    assert codebook.trainable_variables == []
    assert {v.name for v in codebook.weights} == {
        *("embeddings", "code_counts", "refused_batches", "ema_counts")
    }


def test_usage_counts_add_up_over_training():
    codebook = codebook_with([[0.0], [10.0]])
    learn(codebook, [[1.0], [2.0], [9.0]])
    learn(codebook, [[11.0]])
    assert to_numpy(codebook.code_counts).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"`decay` should be in \[0, 1\)\. Received: decay="):
        EMAUpdate(decay)


def test_names_resolve():
    assert Codebook(2, update="gradient").update_rule == GradientUpdate()
    assert Codebook(2, update="ema").update_rule == EMAUpdate(decay=0.99)
    with pytest.raises(ValueError, match="`update` should be one of"):
        Codebook(2, update="adam")


def test_a_frozen_table_stays_and_is_counted():
    layer = VectorQuantizer(4, 2, update="frozen", embeddings_initializer="random_normal")
    x = normal((10, 2))
    layer.build(x.shape)
    before = to_numpy(layer.embeddings)
    layer(x, training=True)
    np.testing.assert_array_equal(to_numpy(layer.embeddings), before)
    assert layer.trainable_variables == []
    assert layer.loss_names == ("commitment_loss",)
    assert to_numpy(layer.code_counts).sum() == 10
