import numpy as np
import pytest
from support import normal, same_bits, to_numpy

from keras_vqvae.codebooks import AnchorRevival, Codebook, EMAUpdate
from keras_vqvae.layers import VectorQuantizer

FAR = np.array([[0.0, 0.0], [100.0, 100.0], [-100.0, 100.0]], "float32")


def quantizer(table, decay=0.5, update="frozen", **options):
    """By default nothing but the revival moves the table."""
    table = np.asarray(table, "float32")
    layer = VectorQuantizer(
        len(table), table.shape[1], update=update, revival=AnchorRevival(decay), **options
    )
    layer.build((None, table.shape[1]))
    layer.embeddings.assign(table)
    return layer


def reference(table, share, x, decay):
    """A step of the paper in float64: chosen codes by the old table, then the anchors."""
    squares = np.square(np.float64(x)[:, None] - table[None]).sum(-1)
    K = len(table)
    used = np.bincount(squares.argmin(1), minlength=K) / len(x)
    share = decay * share + (1 - decay) * used
    alpha = np.exp(-10 * K * share / (1 - decay) - 1e-3)[:, None]
    return (1 - alpha) * table + alpha * x[squares.argmin(0)], share


def test_one_step_by_hand():
    # Three vectors; the code 0 is chosen by all, p = (0.5, 0), α = (exp(−20.001), exp(−0.001)).
    # The vector nearest to the code 10 is 3: e = 10 + exp(−0.001) · (3 − 10).
    layer = quantizer([[0.0], [10.0]])
    layer(np.array([[1.0], [3.0], [-2.0]], "float32"), training=True)
    alpha = np.exp(-0.001)
    assert to_numpy(layer.embeddings).ravel() == pytest.approx([0.0, 10 - 7 * alpha], abs=1e-5)
    assert to_numpy(layer.codebook.revival_state["share"]).tolist() == [0.5, 0.0]


def test_it_is_the_papers_over_several_steps():
    table, share = normal((6, 3), 9).astype("float64"), np.zeros(6)
    layer = quantizer(table, decay=0.9)
    for seed in range(6):
        x = normal((8, 3), seed)
        table, share = reference(table, share, x, 0.9)
        layer(x, training=True)
    # Exponents of up to −600 in float32: their α is 0, or right to 1e-5.
    np.testing.assert_allclose(to_numpy(layer.embeddings), table, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        to_numpy(layer.codebook.revival_state["share"]), share, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_a_code_in_even_use_keeps_its_bits(distance):
    table = 10.0 * np.eye(4, dtype="float32")
    layer = quantizer(table, decay=0.99, distance=distance)
    for _ in range(3):
        layer(table + 0.5, training=True)
    # α = exp(−10) in the first step of even use: the share is not yet what it will be.
    layer.codebook.revival_state["share"].assign([0.25] * 4)
    before = to_numpy(layer.embeddings)
    layer(table + 0.5, training=True)
    assert same_bits([before], [to_numpy(layer.embeddings)])


def test_trap_5_a_code_on_its_anchor_has_no_old_counts():
    layer = quantizer(FAR, update=EMAUpdate(decay=0.9))
    layer.codebook.update_state["counts"].assign([1.0, 50.0, 50.0])
    x = normal((10, 2))
    layer(x, training=True)
    counts = to_numpy(layer.codebook.update_state["counts"])
    assert counts == pytest.approx([1.9, 0.0, 0.0], rel=1e-6)  # 0.9·1 + 0.1·10
    for code, far in zip(to_numpy(layer.embeddings)[1:], FAR[1:], strict=True):
        nearest = x[np.square(x - far).sum(-1).argmin()]
        np.testing.assert_allclose(code, nearest, atol=0.15)  # 0.001 of the way is left


@pytest.mark.parametrize("padding", [0.0, 77.0])
def test_trap_7_only_valid_vectors_are_anchors(padding):
    layer = quantizer(FAR)
    x = normal((10, 2)) - 30.0  # padding counts as zeros, which are nearer to the codes
    mask = np.arange(10) % 3 == 1
    spoilt = np.where(mask[:, None], x, padding).astype("float32")
    layer.discretize(spoilt, training=True, mask=mask)
    expected, _ = reference(FAR.astype("float64"), np.zeros(3), x[mask], 0.5)
    np.testing.assert_allclose(to_numpy(layer.embeddings), expected, rtol=1e-5, atol=1e-5)


def test_trap_7_fewer_tokens_than_codes():
    layer = quantizer(normal((8, 2), scale=50.0))
    x = normal((1, 2))
    layer(x, training=True)
    moved = np.abs(to_numpy(layer.embeddings) - x).max(-1)
    assert (moved < 0.2).sum() == 7  # all but the one that was chosen


def test_cosine_anchors_are_nearest_by_angle():
    layer = quantizer([[0.0, 5.0], [3.0, 0.0]], distance="cosine")
    x = np.array([[0.1, 7.0], [-0.5, 2.0]], "float32")  # both choose the first code
    layer(x, training=True)
    unit = x[0] / np.linalg.norm(x[0])  # 90° − 0.8° from the second code; the other has 104°
    np.testing.assert_allclose(to_numpy(layer.codebook.table())[1], unit, atol=0.01)


@pytest.mark.parametrize("length", [0.01, 1.0, 30.0])
def test_cosine_codes_go_the_same_way_whatever_length_they_are_stored_with(length):
    # One vector in 20 chooses the second code, so α = exp(−10 · 2 · 0.05 − 0.001) = 0.3675, and
    # 0.6325 (cos 1, sin 1) + 0.3675 (0, 1) = (0.3417, 0.8997): 69.2°.
    table = length * np.array([[1.0, 0.0], [np.cos(1.0), np.sin(1.0)]], "float32")
    layer = quantizer(table, decay=0.9, distance="cosine")
    x = np.array([[1.0, 0.0]] * 19 + [[0.0, 1.0]], "float32")
    layer(x, training=True)
    stored = to_numpy(layer.embeddings)
    assert np.degrees(np.arctan2(stored[1, 1], stored[1, 0])) == pytest.approx(69.2, abs=0.05)


def test_with_anchors_a_bad_start_ends_in_full_use():
    layer = quantizer(100.0 + normal((6, 2), 3), update=EMAUpdate(0.5), decay=0.9)
    x = normal((60, 2))
    for _ in range(10):
        layer(x, training=True)
    assert len(np.unique(to_numpy(layer.encode(x)))) == 6


def test_arguments_and_names():
    assert Codebook(3, revival="cvq").revival == AnchorRevival()
    for decay in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"`decay` should be in \(0, 1\)"):
            AnchorRevival(decay)
