import math

import numpy as np
import pytest
from support import normal, run_python, same_bits, to_numpy, values_of

from keras_vqvae.codebooks import Codebook, EMAUpdate, ReplaceDead
from keras_vqvae.layers import VectorQuantizer

UPDATES = pytest.mark.parametrize("update", ["gradient", EMAUpdate(decay=0.9)], ids=["grad", "ema"])


def quantizer(table, update="gradient", threshold=0.5, decay=0.1, **options):
    """With a decay of 0.1, a code that one batch does not choose is dead."""
    table = np.asarray(table, "float32")
    revival = ReplaceDead(threshold, decay)
    layer = VectorQuantizer(len(table), table.shape[1], update=update, revival=revival, **options)
    layer.build((None, table.shape[1]))
    layer.embeddings.assign(table)
    return layer


def is_row_of(code, x):
    return (x == code).all(-1).any()


FAR = np.array([[0.0, 0.0], [100.0, 100.0], [-100.0, 100.0]], "float32")


@UPDATES
def test_a_dead_code_moves_onto_a_vector_of_the_batch(update):
    layer = quantizer(FAR, update, seed=1)
    x = normal((10, 2))
    layer(x, training=True)
    table = to_numpy(layer.embeddings)
    assert is_row_of(table[1], x)
    assert is_row_of(table[2], x)
    assert not is_row_of(table[0], x)  # the code in use is the update rule's
    # A revived code begins with the even share.
    share = to_numpy(layer.codebook.revival_state["share"])
    assert share[1:] == pytest.approx([1 / 3, 1 / 3])


def test_trap_5_a_revived_code_survives_the_step_and_its_counts_are_reset():
    layer = quantizer(FAR, EMAUpdate(decay=0.9), seed=1)
    layer.codebook.update_state["counts"].assign([1.0, 50.0, 50.0])
    x = normal((10, 2))
    layer(x, training=True)
    revived = to_numpy(layer.embeddings)[1]
    assert is_row_of(revived, x)
    counts = to_numpy(layer.codebook.update_state["counts"])
    # 0.9·1 + 0.1·10 for the code in use; nothing is left of the old places' counts.
    assert counts == pytest.approx([1.9, 0.0, 0.0], rel=1e-6)
    # So the first vectors that choose it have full weight: it moves onto them.
    layer.codebook.embeddings.assign(np.stack([[50.0, 0.0], revived, [0.0, 50.0]]))
    layer(revived[None] + 0.5, training=True)
    np.testing.assert_allclose(to_numpy(layer.embeddings)[1], revived + 0.5, rtol=1e-6)


@UPDATES
def test_trap_6_a_table_used_evenly_by_few_tokens_is_left_alone(update):
    """Half as many tokens a step as codes: an absolute threshold of 2 would kill all of them."""
    table = 10.0 * np.eye(8, dtype="float32")
    layer = VectorQuantizer(8, 8, update=update, revival="replace_dead")
    layer.build((None, 8))
    layer.embeddings.assign(table)
    for step in range(60):
        layer(table[:4] if step % 2 else table[4:], training=True)
    # The vectors are the codes, so nothing moves at all but for rounding in the EMA.
    np.testing.assert_allclose(to_numpy(layer.embeddings), table, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tokens", [1, 2])
def test_trap_6_codes_drawn_evenly_by_few_tokens_are_left_alone(tokens):
    """Chance leaves a quarter of 32 codes out of 45 vectors, and none out of 360."""
    table = 10.0 * np.eye(32, dtype="float32")
    layer = VectorQuantizer(32, update="frozen", revival="replace_dead", seed=1)
    layer.build((None, 32))
    layer.embeddings.assign(table)
    for indices in np.random.default_rng(0).integers(0, 32, (100, tokens)):
        layer(table[indices], training=True)
    np.testing.assert_array_equal(to_numpy(layer.embeddings), table)


def test_a_dead_code_of_few_tokens_is_replaced_after_as_many_vectors():
    table, steps = 10.0 * np.eye(8, dtype="float32"), 0
    layer = VectorQuantizer(8, update="frozen", revival="replace_dead", seed=1)
    layer.build((None, 8))
    layer.embeddings.assign(table)
    while (to_numpy(layer.embeddings)[7] == table[7]).all() and steps < 200:
        layer(table[:1], training=True)
        steps += 1
    # One vector counts for half a step: 8/4 of them are one.
    assert steps == math.ceil(2 * math.log(0.1) / math.log(0.95)) == 90


def test_the_threshold_is_a_share_so_that_any_batch_size_kills_at_the_same_step():
    expected = math.ceil(math.log(0.1) / math.log(0.95))  # 45, as the docstring says
    for tokens in (2, 50):
        layer = quantizer(FAR, threshold=0.1, decay=0.95, seed=1)
        x = normal((tokens, 2), 1)
        steps = 0
        while (to_numpy(layer.embeddings)[1] == FAR[1]).all() and steps < 100:
            layer(x, training=True)
            steps += 1
        assert steps == expected == 45


@UPDATES
@pytest.mark.parametrize("tokens", [1, 2])
def test_trap_7_fewer_tokens_than_dead_codes(update, tokens):
    layer = quantizer(np.concatenate([FAR, FAR + 500, FAR - 500]), update, seed=1)
    x = normal((tokens, 2))
    layer(x, training=True)
    table = to_numpy(layer.embeddings)
    assert all(is_row_of(code, x) for code in table[1:])


@UPDATES
@pytest.mark.parametrize(
    ("count", "mask"), [(4, np.zeros(4, bool)), (0, None)], ids=["masked", "empty"]
)
def test_trap_7_empty_and_wholly_masked_batches_revive_nothing(update, count, mask):
    layer = quantizer(FAR, update, seed=1)
    before = [to_numpy(w) for w in layer.weights]
    layer.discretize(normal((count, 2)), training=True, mask=mask)
    assert same_bits([to_numpy(w) for w in layer.weights], before)


def test_trap_7_only_valid_vectors_are_taken():
    layer = quantizer(FAR, seed=1)
    x = normal((10, 2))
    mask = np.arange(10) < 3
    layer.discretize(np.where(mask[:, None], x, 77.0).astype("float32"), training=True, mask=mask)
    assert all(is_row_of(code, x[:3]) for code in to_numpy(layer.embeddings)[1:])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_that_is_not_finite_revives_nothing(bad):
    layer = quantizer(FAR, EMAUpdate(0.9), seed=1)
    for seed in range(3):
        x = normal((10, 2), seed)
        x[seed] = bad
        layer(x, training=True)
        assert np.isfinite(to_numpy(layer.embeddings)).all()


def test_evaluation_revives_nothing():
    layer = quantizer(FAR)
    before = values_of(layer)
    for _ in range(3):
        layer(normal((10, 2)), training=False)
    assert same_bits(values_of(layer), before)


def test_with_revival_a_bad_start_ends_in_full_use():
    layer = quantizer(100.0 + normal((6, 2), 3), EMAUpdate(0.5), seed=1)
    x = normal((60, 2))
    for _ in range(10):
        layer(x, training=True)
    assert len(np.unique(to_numpy(layer.encode(x)))) == 6


@pytest.mark.parametrize("threshold", [0.0, 1.0, 2.0])
def test_an_absolute_threshold_is_refused(threshold):
    with pytest.raises(ValueError, match=r"a share of the even share 1/K, not a count"):
        ReplaceDead(threshold=threshold)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"`decay` should be in \(0, 1\)"):
        ReplaceDead(decay=decay)


@pytest.mark.tensorflow_only
def test_trap_23_anchors_are_searched_in_bounded_memory():
    """512 codes × 2^18 vectors are 0.5 GiB of scores at one time."""
    mebibytes = run_python(
        "import resource, numpy as np\n"
        "from keras_vqvae.layers import VectorQuantizer\n"
        "layer = VectorQuantizer(512, 2, revival='cvq', chunk_size=4096)\n"
        "step = lambda n: layer.discretize(np.ones((n, 2), 'float32'), training=True)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "layer.build((None, 2))\n"
        "step(20000)\n"
        "before = peak()\n"
        "step(2**18)\n"
        "print(peak() - before)\n"
    )
    assert float(mebibytes.split()[-1]) < 300


def test_names_resolve():
    assert Codebook(3).revival is None
    assert Codebook(3, revival="replace_dead").revival == ReplaceDead()
    with pytest.raises(ValueError, match="`revival` should be one of"):
        Codebook(3, revival=True)
