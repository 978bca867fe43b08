"""Times of contestants that take turns, and what is told of them: medians, and their ratio."""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

# Runs once, and gives the seconds and the processor seconds that it took.
Step = Callable[[], tuple[float, float]]


def take_turns(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """What each gives in each round; the one that goes first changes from round to round."""
    given: dict[str, list[Any]] = {name: [] for name in contestants}
    names = list(contestants)
    for _ in range(rounds):
        for name in names:
            given[name].append(contestants[name]())
        names.reverse()
    return given


def time_rounds(
    steps: dict[str, Step], rounds: int, steps_in_a_round: int
) -> dict[str, np.ndarray]:
    """Seconds and processor seconds `(rounds, steps, 2)` of each, in alternating blocks."""

    def block(step: Step) -> list[tuple[float, float]]:
        step()
        return [step() for _ in range(steps_in_a_round)]

    gc.collect()
    gc.disable()
    seconds = take_turns({name: partial(block, step) for name, step in steps.items()}, rounds)
    gc.enable()
    return {name: np.array(values) for name, values in seconds.items()}


def ratio_interval(
    numerator: np.ndarray, denominator: np.ndarray, seed: int
) -> tuple[float, float]:
    """A 95 % interval of the ratio of the medians, from 2 000 bootstrap draws of whole rounds."""
    generator = np.random.default_rng(seed)
    rounds = len(numerator)
    ratios = []
    for _ in range(2000):
        rows = generator.integers(rounds, size=rounds)
        ratios.append(np.median(numerator[rows]) / np.median(denominator[rows]))
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)
