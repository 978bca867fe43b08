"""Seconds for 10 samples of 7×7 codes: our compiled loop against the keras.io sampling loop.

K = 128. Both priors are untrained, as the weights do not change what a sample costs. Ours is
`PixelCNN` with its defaults; the recipe's network is its own, so the numbers of parameters are in
the results too. Compilation is not counted: both have sampled before. Then they take turns.

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
from reporting import Figure, parser, report, require_tensorflow

from keras_vqvae import models

SAMPLES = 10
ROUNDS = 5
CALLS = 10


def timed(sample: Callable[[], np.ndarray]) -> float:
    """Seconds of one call, whose result is checked."""
    start = time.perf_counter()
    codes = sample()
    seconds = time.perf_counter() - start
    if (
        codes.shape != (SAMPLES, *CODE_SHAPE)
        or not 0 <= codes.min() <= codes.max() < NUM_EMBEDDINGS
    ):
        raise RuntimeError(f"These are no samples: {codes.shape}, {codes.min()} to {codes.max()}")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "sampling_vs_recipe")
    arguments.add_argument("--rounds", type=int, help=f"rounds (default: {ROUNDS})")
    args = arguments.parse_args(argv)
    require_tensorflow()
    rounds = args.rounds or (1 if args.smoke else ROUNDS)
    full = not args.smoke and rounds >= ROUNDS

    keras.utils.set_random_seed(args.seed)
    pixel_cnn = make_pixel_cnn()
    sampler = make_sampler(pixel_cnn)
    prior = models.PixelCNN(code_shape=CODE_SHAPE, num_embeddings=NUM_EMBEDDINGS)

    first = {
        "ours": timed(lambda: prior.sample(SAMPLES, seed=args.seed)),
        "recipe": timed(lambda: sample_codes(sampler, SAMPLES)),
    }
    seconds: dict[str, list[float]] = {"ours": [], "recipe": []}
    for round_ in range(rounds):
        seconds["recipe"].append(timed(lambda: sample_codes(sampler, SAMPLES)))
        for call in range(CALLS):
            seed = args.seed + 1 + round_ * CALLS + call
            seconds["ours"].append(timed(lambda seed=seed: prior.sample(SAMPLES, seed=seed)))

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
        Figure("parameters of the prior", "", prior.count_params(), pixel_cnn.count_params()),
    ]
    settings = {
        "samples": SAMPLES,
        "code_shape": CODE_SHAPE,
        "num_embeddings": NUM_EMBEDDINGS,
        "rounds": rounds,
        "calls_of_ours_in_a_round": CALLS,
        "seed": args.seed,
    }
    return report("sampling_vs_recipe", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
