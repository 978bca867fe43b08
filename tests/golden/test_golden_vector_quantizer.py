"""`VectorQuantizer` against vector-quantize-pytorch, by goldens."""

import keras
import numpy as np
import pytest
from goldens import Goldens, assert_close
from support import gradients, set_table, to_numpy, train_often

from keras_vqvae.codebooks import EMAUpdate
from keras_vqvae.layers import VectorQuantizer
from keras_vqvae.ops import rotation_trick


def with_state(golden, **options):
    """Ours with their table, and with their counts of 1 instead of our start from 0."""
    update = EMAUpdate(golden.decay)
    layer = VectorQuantizer(len(golden.table), beta=golden.beta, update=update, **options)
    set_table(layer, golden.table)
    layer.codebook.update_state["counts"].assign(np.ones(len(golden.table)))
    return layer


def commitment(layer):
    return lambda x: layer.discretize(x).losses["commitment_loss"]


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_ten_ema_steps(distance):
    golden = Goldens("ema" if distance == "euclidean" else "cosine")
    layer = with_state(golden, distance=distance)
    assert len(golden.batches) == 10
    for i, x in enumerate(golden.batches):
        by_x, _ = gradients(commitment(layer), x)
        out = layer.discretize(x, training=True)
        np.testing.assert_array_equal(to_numpy(out.indices), golden.indices[i])
        assert_close(float(out.losses["commitment_loss"]), golden.losses[i])
        assert_close(by_x, golden.gradients[i])
        assert_close(to_numpy(layer.embeddings), golden.tables[i], atol=1e-5)
        assert_close(to_numpy(layer.codebook.update_state["counts"]), golden.counts[i])


def test_cosine_sums_are_the_scaled_codes():
    """Theirs keeps sums of full length beside the table; ours are `N · e`, the codes as scaled."""
    golden = Goldens("cosine")
    # One step from equal state is the same; from the second one on the older vectors weigh less.
    assert_close(golden.tables_alone[0], golden.tables[0], atol=1e-5)
    assert (np.abs(golden.tables_alone - golden.tables).max(axis=(1, 2))[1:] > 0.01).all()


def test_trap_3_their_unused_code_drifts_and_ours_stays():
    """Their smoothing of counts (ε = 10⁻⁵, γ = 0.8) takes a code that nothing chooses to 0."""
    golden, defaults = Goldens("ema"), Goldens("ema_defaults")
    start = golden.table[7]
    assert not (golden.indices == 7).any()
    assert np.linalg.norm(defaults.last[7]) < 0.5 * np.linalg.norm(start)
    layer = set_table(VectorQuantizer(8, update=EMAUpdate(0.8)), golden.table)
    train_often(layer, golden.batches[0], 60)
    np.testing.assert_array_equal(to_numpy(layer.embeddings)[7], start)


def test_trap_3_first_vectors_have_their_full_weight():
    """Counts start at 1 there: the random start counts as a vector. Ours start at 0."""
    golden, defaults = Goldens("ema"), Goldens("ema_defaults")
    x, chosen = golden.batches[0], golden.indices[0]
    layer = set_table(VectorQuantizer(8, update=EMAUpdate(0.8)), golden.table)
    layer.discretize(x, training=True)
    for k in np.unique(chosen):
        mine = x[chosen == k]
        # γ = 0.8: 0.8 of the start and 0.2 of the sum, by 0.8 + 0.2 n. ε moves it by 10⁻⁵.
        theirs = (0.8 * golden.table[k] + 0.2 * mine.sum(0)) / (0.8 + 0.2 * len(mine))
        assert_close(defaults.first[k], theirs, rtol=1e-4, atol=1e-4)
        assert_close(to_numpy(layer.embeddings)[k], mine.mean(0))


def test_trap_12_a_mask_of_all_valid_is_no_mask():
    """With cosine, their masked commitment compares the codes with vectors of any length."""
    golden, loss = Goldens("cosine"), Goldens("cosine_mask")
    layer = with_state(golden, distance="cosine")
    x = golden.batches[0]
    masked = layer.discretize(x, mask=np.ones(len(x), "bool")).losses["commitment_loss"]
    assert_close(float(masked), loss.loss)
    assert loss.loss_all_valid > 10 * loss.loss


def test_rotation_trick_gradients():
    golden = Goldens("rotation")
    # The last two rows are those of trap 13.
    x, q, upstream = golden.x[:-2], golden.q[:-2], golden.upstream[:-2]
    by_x, _ = gradients(lambda x: keras.ops.sum(rotation_trick(x, q) * upstream), x)
    assert_close(by_x, golden.gradients[:-2], atol=1e-5)
    assert_close(golden.values[:-2], q, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(rotation_trick(x, q)), q)


def test_trap_13_rotation_of_a_zero_and_of_an_opposite_vector():
    """Their value is 0 for a zero vector, and off by 10⁻³ for a nearly opposite one."""
    golden = Goldens("rotation")
    x, q = golden.x[-2:], golden.q[-2:]
    assert not golden.values[-2].any()
    assert np.abs(golden.values[-1] - q[-1]).max() > 1e-3
    np.testing.assert_array_equal(to_numpy(rotation_trick(x, q)), q)
    upstream = golden.upstream[-2:]
    by_x, _ = gradients(lambda x: keras.ops.sum(rotation_trick(x, q) * upstream), x)
    np.testing.assert_array_equal(by_x, upstream)  # straight-through where there is no rotation
