"""Seconds for 10 samples of 7×7 codes: our compiled loop against the keras.io sampling loop.

K = 128. All priors are untrained, as the weights do not change what a sample costs. The bound is on
`PixelCNN` as it is by default. Its network is not the recipe's, so a `PixelCNN` of the recipe's
depth and widths is timed too, and the numbers of parameters are among the figures. Compilation is
not counted: each has sampled before. Then they take turns.

`--smoke` times the first calls, on a 3×3 grid.

    python benchmarks/sampling_vs_recipe.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras_io_recipe import (
    CODE_SHAPE,
    NUM_EMBEDDINGS,
    make_pixel_cnn,
    make_sampler,
    sample_codes,
)
from reporting import Figure, parser, report, require_commit, require_tensorflow

from keras_vqvae import models

SAMPLES = 10
ROUNDS = 5
CALLS = 10


def timed(sample: Callable[[int], np.ndarray], seed: int, code_shape: tuple[int, int]) -> float:
    """Seconds of one call, whose result is checked."""
    start = time.perf_counter()
    codes = sample(seed)
    seconds = time.perf_counter() - start
    if (
        codes.shape != (SAMPLES, *code_shape)
        or not 0 <= codes.min() <= codes.max() < NUM_EMBEDDINGS
    ):
        raise RuntimeError(f"These are no samples: {codes.shape}, {codes.min()} to {codes.max()}")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "sampling_vs_recipe")
    arguments.add_argument("--rounds", type=int, help=f"rounds (default: {ROUNDS})")
    args = arguments.parse_args(argv)
    require_tensorflow()
    rounds = args.rounds or (0 if args.smoke else ROUNDS)
    full = not args.smoke and rounds >= ROUNDS
    require_commit(full, args.output)

    keras.utils.set_random_seed(args.seed)
    code_shape = (3, 3) if args.smoke else CODE_SHAPE
    pixel_cnn = make_pixel_cnn(NUM_EMBEDDINGS, code_shape)
    sampler = make_sampler(pixel_cnn)
    prior = models.PixelCNN(code_shape=code_shape, num_embeddings=NUM_EMBEDDINGS)
    alike = models.PixelCNN(code_shape, NUM_EMBEDDINGS, residual_blocks=2, embedding_dim=128)

    contestants: dict[str, tuple[int, Callable[[int], np.ndarray]]] = {
        "recipe": (1, lambda seed: sample_codes(sampler, SAMPLES)),
        "ours": (CALLS, lambda seed: prior.sample(SAMPLES, seed=seed)),
        "alike": (CALLS, lambda seed: alike.sample(SAMPLES, seed=seed)),
    }
    first = {
        name: timed(sample, args.seed, code_shape) for name, (_, sample) in contestants.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds):
        for name, (calls, sample) in contestants.items():
            start = args.seed + 1 + round_ * calls
            seconds[name] += [
                timed(sample, seed, code_shape) for seed in range(start, start + calls)
            ]

    if not rounds:
        seconds = {name: [value] for name, value in first.items()}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = [
        Figure("10 samples, median", "s", medians["ours"], medians["recipe"]),
        Figure("10 samples, slowest", "s", max(seconds["ours"]), max(seconds["recipe"])),
        Figure(
            "speed of sampling",
            "× the recipe",
            medians["recipe"] / medians["ours"],
            1.0,
            at_least=100.0,
        ),
        Figure("first call, with compilation", "s", first["ours"], first["recipe"]),
        Figure(
            "10 samples, median, network like the recipe's",
            "s",
            medians["alike"],
            medians["recipe"],
        ),
        Figure(
            "speed of sampling, network like the recipe's",
            "× the recipe",
            medians["recipe"] / medians["alike"],
            1.0,
        ),
        Figure("parameters", "thousands", *(m.count_params() / 1e3 for m in (prior, pixel_cnn))),
        Figure(
            "parameters, network like the recipe's",
            "thousands",
            *(m.count_params() / 1e3 for m in (alike, pixel_cnn)),
        ),
    ]
    settings = {
        "samples": SAMPLES,
        "code_shape": code_shape,
        "num_embeddings": NUM_EMBEDDINGS,
        "rounds": rounds,
        "calls_of_ours_in_a_round": CALLS,
        "seed": args.seed,
    }
    return report("sampling_vs_recipe", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
