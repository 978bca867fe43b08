import itertools

import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae.ops import residual_beam_search


def some_tables(sizes, dim=2):
    return [normal((size, dim), 10 + i, scale=0.7**i) for i, size in enumerate(sizes)]


def sums(tables, paths):
    return sum(np.float64(table)[paths[:, i]] for i, table in enumerate(tables))


def errors(x, tables, paths):
    return np.square(np.float64(x) - sums(tables, paths)).sum(-1)


def exhaustive(x, tables):
    """The least squared error of each vector over all paths."""
    paths = np.array(list(itertools.product(*(range(len(t)) for t in tables))))
    return np.square(np.float64(x)[:, None] - sums(tables, paths)).sum(-1).min(-1)


def search(x, tables, *args):
    return to_numpy(residual_beam_search(x, tables, *args))


@pytest.mark.parametrize("sizes", [(4,), (4, 3), (3, 4, 2), (2, 3, 2, 3)])
def test_a_beam_of_all_paths_is_the_exhaustive_search(sizes):
    tables, x = some_tables(sizes), normal((40, 2))
    paths = search(x, tables, int(np.prod(sizes[:-1], dtype=int)))
    assert paths.shape == (40, len(sizes))
    # float32 scores choose between paths; their errors differ in the last bits only.
    np.testing.assert_allclose(errors(x, tables, paths), exhaustive(x, tables), rtol=1e-4)


def test_a_beam_of_one_is_the_greedy_search():
    tables, x = some_tables((5, 4, 6)), normal((40, 2))
    residual = x.copy()
    for depth, found in enumerate(search(x, tables, 1).T):
        expected = np.square(residual[:, None] - tables[depth]).sum(-1).argmin(-1)
        np.testing.assert_array_equal(found, expected)
        residual = residual - tables[depth][expected]


def reference(x, tables, beam_size):
    """The same search, written for one vector with lists."""
    beams = [((), np.float64(x))]
    for depth, table in enumerate(tables):
        candidates = []
        for path, residual in beams:
            distances = np.square(residual - table).sum(-1)
            for k in np.argsort(distances)[:beam_size]:
                candidates.append((distances[k], (*path, int(k)), residual - table[k]))
        candidates.sort(key=lambda c: c[0])
        kept = 1 if depth == len(tables) - 1 else beam_size
        beams = [(path, residual) for _, path, residual in candidates[:kept]]
    return beams[0][0]


@pytest.mark.parametrize("beam_size", [2, 3, 7])
def test_it_is_the_search_with_lists(beam_size):
    tables, x = some_tables((5, 4, 6), 3), normal((30, 3))
    expected = [reference(row, tables, beam_size) for row in x]
    np.testing.assert_array_equal(search(x, tables, beam_size), expected)


def test_far_from_zero_a_narrow_beam_still_keeps_the_nearest():
    # Multiples of 2^-10, of which float32 loses none at 3000, but squares there are known to ±1.
    def rounded(values):
        return np.round(values * 2**10) / np.float32(2**10)

    tables, x = [rounded(table) for table in some_tables((8, 4))], rounded(normal((40, 2)))
    expected = search(x, tables, 2)
    tables[0], x = tables[0] + np.float32(3000.0), x + np.float32(3000.0)
    np.testing.assert_array_equal(search(x, tables, 2), expected)


def test_trap_23_any_chunk_size_gives_the_same():
    tables, x = some_tables((5, 4, 6)), normal((23, 2))
    whole = search(x, tables, 3)
    for chunk_size in (1, 6, 20, 1000):
        np.testing.assert_array_equal(search(x, tables, 3, chunk_size), whole)
    assert search(x[:0], tables, 3).shape == (0, 3)


def test_a_beam_of_nothing_is_refused():
    with pytest.raises(ValueError, match="`beam_size` should be a positive integer"):
        residual_beam_search(np.ones((2, 3)), [np.eye(3)], 0)
