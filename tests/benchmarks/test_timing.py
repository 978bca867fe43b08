"""Turns and ratios of the benchmarks, with steps that take no time."""

import importlib.util
import itertools

import numpy as np
import pytest
from support import ROOT

spec = importlib.util.spec_from_file_location("benchmark_timing", ROOT / "benchmarks/timing.py")
timing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(timing)


def test_the_one_that_goes_first_changes_and_the_first_step_of_a_block_is_not_counted():
    log = []

    def step(name):
        log.append(name)
        return float(len(log)), 0.5

    times = timing.time_rounds({name: lambda n=name: step(n) for name in "ab"}, 2, 2)
    assert "".join(log) == "aaabbbbbbaaa"
    np.testing.assert_array_equal(times["a"][..., 0], [[2, 3], [11, 12]])
    np.testing.assert_array_equal(times["b"][..., 0], [[5, 6], [8, 9]])
    np.testing.assert_array_equal(times["a"][..., 1], np.full((2, 2), 0.5))


@pytest.mark.parametrize("rounds", [2, 8])
def test_after_a_first_round_each_follows_the_other_as_often_as_itself(rounds):
    log = []
    given = timing.take_turns({name: lambda n=name: log.append(n) for name in "ab"}, 1 + rounds)
    assert {name: len(values) for name, values in given.items()} == dict.fromkeys("ab", 1 + rounds)
    pairs = list(itertools.pairwise(log[1:]))  # The turn before, and a turn that counts.
    assert {pair: pairs.count(pair) for pair in pairs} == dict.fromkeys(
        [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")], rounds // 2
    )


def test_the_interval_draws_rounds_of_both_together():
    # Three times as long in every round: so in every draw of rounds.
    seconds = np.array([1.0, 5.0, 2.0, 9.0])
    assert timing.ratio_interval(3 * seconds, seconds, 0) == (3.0, 3.0)


def test_the_interval_of_two_rounds():
    # Ratios of medians of a draw: 1 by (0, 0), 3 by (1, 1), 2 by (0, 1), each with probability
    # over 2.5 %.
    assert timing.ratio_interval(np.array([1.0, 3.0]), np.ones(2), 0) == (1.0, 3.0)
