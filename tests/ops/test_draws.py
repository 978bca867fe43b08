import numpy as np
import pytest
from scipy import stats

from keras_vqvae.ops import draw_normals, draw_uniforms

GOLDEN = [0.7480382323265076, 0.8824667930603027]


def test_uniforms_depend_on_seed_and_index_alone():
    whole = draw_uniforms(3, 0, 5, (2, 3))
    assert whole.shape == (5, 2, 3)
    assert whole.dtype == "float32"
    assert (whole >= 0).all()
    assert (whole < 1).all()
    parts = [draw_uniforms(3, first, 1, (2, 3)) for first in range(5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) == 30
    assert not np.intersect1d(whole, draw_uniforms(4, 0, 5, (2, 3))).size
    assert draw_uniforms(3, 0, 0, (2, 3)).shape == (0, 2, 3)


def test_large_seeds_differ_as_small_ones_do():
    seeds = [2**63 - 1, 2**63, 2**63 + 1, 2**63 + 100, 2**64 - 1]
    assert len(np.unique([draw_uniforms(seed, 0, 2, (3,)) for seed in seeds])) == 5 * 2 * 3


def test_uniforms_are_the_same_in_every_version():
    """A seed is worth something only if it gives the same next year.

    From `np.random.Generator(np.random.Philox(key=[7, 1])).random(2, "float32")`, NumPy 2.4.6.
    """
    np.testing.assert_array_equal(draw_uniforms(7, 1, 1, (2,))[0], np.float32(GOLDEN))


@pytest.mark.parametrize(
    ("draw", "name"), [(draw_uniforms, "random"), (draw_normals, "standard_normal")]
)
def test_each_sample_has_numpys_generator_of_its_key(draw, name):
    """Of an odd number of 32 bits each, of which half a word is left over."""
    found = draw(9, 4, 3, (5,), stream=2)
    for index, row in enumerate(found, start=4):
        bits = np.random.Philox(key=[9, index], counter=[0, 0, 0, 2])
        expected = getattr(np.random.Generator(bits), name)(5, "float32")
        np.testing.assert_array_equal(row, expected)


def test_uniforms_are_uniform():
    assert stats.kstest(draw_uniforms(0, 0, 500, (4,)).reshape(-1), "uniform").pvalue > 0.01


def test_normals_are_normal_and_keyed_alike():
    whole = draw_normals(3, 0, 500, (4,))
    assert whole.dtype == "float32"
    assert stats.kstest(whole.reshape(-1), "norm").pvalue > 0.01
    np.testing.assert_array_equal(draw_normals(3, 7, 2, (4,)), whole[7:9])
    assert draw_normals(3, 0, 0, (4,)).shape == (0, 4)


@pytest.mark.parametrize("draw", [draw_uniforms, draw_normals])
def test_streams_of_a_seed_have_nothing_in_common(draw):
    streams = [draw(3, 0, 4, (50,), stream=n) for n in range(4)]
    assert len(np.unique(np.concatenate(streams))) == 4 * 4 * 50
