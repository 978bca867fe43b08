import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae.codebooks import EMAUpdate, ReplaceUnused
from keras_vqvae.layers import VectorQuantizer

FAR = np.array([[0.0, 0.0], [100.0, 100.0], [-100.0, 100.0]], "float32")


def quantizer(after_steps, noise_scale=0.0, table=FAR, **options):
    revival = ReplaceUnused(after_steps, noise_scale)
    layer = VectorQuantizer(
        len(table), 2, **{"update": "frozen", "revival": revival, "seed": 1, **options}
    )
    layer.build((None, 2))
    layer.embeddings.assign(table)
    return layer


@pytest.mark.parametrize("after_steps", [1, 3])
def test_a_code_is_moved_after_that_many_steps(after_steps):
    layer, x = quantizer(after_steps), normal((10, 2))
    for _ in range(after_steps - 1):
        layer(x, training=True)
        np.testing.assert_array_equal(to_numpy(layer.embeddings), FAR)
    layer(x, training=True)
    table = to_numpy(layer.embeddings)
    assert table[0].tolist() == [0.0, 0.0]
    assert all((x == code).all(-1).any() for code in table[1:])
    # A moved code is as good as used in this step.
    assert to_numpy(layer.codebook.revival_state["unused_steps"]).tolist() == [0.0, 0.0, 0.0]


def test_one_vector_starts_the_count_anew():
    layer = quantizer(3)
    near, both = normal((10, 2)), np.array([[0.0, 0.0], [90.0, 90.0]], "float32")
    for x in (near, near, both, near, near):
        layer(x, training=True)
    unused = to_numpy(layer.codebook.revival_state["unused_steps"])
    assert unused[:2].tolist() == [0.0, 2.0]  # the third was moved in step three
    assert to_numpy(layer.embeddings)[1].tolist() == [100.0, 100.0]


def test_noise_is_as_long_as_its_vector_says():
    table = np.concatenate([FAR[:1], np.full((2000, 2), 500.0, "float32")])
    layer = quantizer(1, noise_scale=0.1, table=table)
    x = np.array([[3.0, 4.0]], "float32")  # of length 5
    layer(x, training=True)
    noise = to_numpy(layer.embeddings)[1:] - x
    # 4000 draws: three standard errors are 0.034 of the standard deviation 0.5.
    assert noise.std() == pytest.approx(0.1 * 5.0, rel=0.034)
    assert np.abs(noise.mean()) < 3 * 0.5 / np.sqrt(4000)


def test_trap_5_a_moved_code_has_no_old_counts():
    layer = quantizer(1, update=EMAUpdate(0.9))
    layer.codebook.update_state["counts"].assign([1.0, 50.0, 50.0])
    layer(normal((10, 2)), training=True)
    counts = to_numpy(layer.codebook.update_state["counts"])
    assert counts == pytest.approx([1.9, 0.0, 0.0], rel=1e-6)  # 0.9·1 + 0.1·10


@pytest.mark.parametrize("after_steps", [0, 1.5, True])
def test_arguments_are_checked(after_steps):
    with pytest.raises(ValueError, match="`after_steps` should be a positive integer"):
        ReplaceUnused(after_steps)
    with pytest.raises(ValueError, match="`noise_scale` should be ≥ 0"):
        ReplaceUnused(noise_scale=float("nan"))
