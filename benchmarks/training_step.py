"""Seconds per training step: ours against the keras.io recipe, taking turns in one run.

Both are the models of `fashion_mnist.py`, and both run as `fit` runs them: the compiled
`train_function` that `fit` has made is called on an iterator that gives one and the same batch of
128 float32 images without end. So input, dispatch and waiting for the result cost the same. A round
is a block of steps of each; the one that goes first changes from round to round, and the first step
of each block is not counted, because it finds the caches full of the other's data. Processor time
(over all threads) is given beside wall time: other work on the machine disturbs it less.

    python benchmarks/training_step.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import sys
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from images import load_labelled
from reporting import Figure, parser, report, require_commit, require_tensorflow
from timing import Step, ratio_interval, time_rounds
from vqvaes import BATCH_SIZE, make_both

ROUNDS = 200
STEPS = 5
WARM_UP_STEPS = 60
RELATIVE = "× the recipe"


def make_step(model: keras.Model, batch: np.ndarray) -> Step:
    """A function that runs one training step of a compiled model.

    It returns the seconds and the processor seconds that the step took.
    """
    # `fit` builds the model, the optimizer and the metrics, and makes the function.
    model.fit(batch, batch_size=len(batch), verbose=0)
    train_function = model.train_function
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())

    def step() -> tuple[float, float]:
        start, processor_start = time.perf_counter(), time.process_time()
        logs = train_function(iterator)
        np.asarray(logs["loss"])  # Waits for an accelerator.
        return time.perf_counter() - start, time.process_time() - processor_start

    return step


def milliseconds(name: str, times: dict[str, np.ndarray]) -> Figure:
    """The medians of both."""
    return Figure(name, "ms", *(1e3 * float(np.median(times[n])) for n in ("ours", "recipe")))


def compared(
    name: str, times: dict[str, np.ndarray], seed: int, at_most: float | None = None
) -> Figure:
    """The ratio of the medians, with its interval."""
    ratio = float(np.median(times["ours"]) / np.median(times["recipe"]))
    interval = ratio_interval(times["ours"], times["recipe"], seed)
    return Figure(name, RELATIVE, ratio, 1.0, at_most=at_most, interval=interval)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "training_step")
    arguments.add_argument("--rounds", type=int, help=f"rounds (default: {ROUNDS})")
    args = arguments.parse_args(argv)
    require_tensorflow()
    rounds = args.rounds or (3 if args.smoke else ROUNDS)
    full = not args.smoke and rounds >= ROUNDS
    require_commit(full, args.output)

    batch, _ = load_labelled("train", bundled=True, limit=BATCH_SIZE)
    variance = float(np.var(batch))
    ours, recipe = make_both(variance, args.seed)
    steps = {"ours": make_step(ours, batch), "recipe": make_step(recipe, batch - 0.5)}
    for _ in range(2 if args.smoke else WARM_UP_STEPS):
        for step in steps.values():
            step()
    times = time_rounds(steps, rounds, STEPS)

    wall = {name: values[..., 0] for name, values in times.items()}
    processor = {name: values[..., 1] for name, values in times.items()}
    by_round = np.median(wall["ours"], axis=1) / np.median(wall["recipe"], axis=1)
    middle, lower, upper = (float(q) for q in np.percentile(by_round, (50, 25, 75)))
    quartiles = Figure(
        "median and quartiles of the rounds", RELATIVE, middle, interval=(lower, upper)
    )
    figures = [
        milliseconds("median step", wall),
        milliseconds("median step, processor time", processor),
        compared("ratio of median steps", wall, args.seed, at_most=1.05),
        compared("ratio of median steps, processor time", processor, args.seed),
        quartiles,
    ]
    settings = {
        "batch_size": BATCH_SIZE,
        "rounds": rounds,
        "steps_in_a_round_of_each": STEPS,
        "parameters_ours": ours.count_params(),
        "parameters_recipe": recipe.vqvae.count_params(),
        "seed": args.seed,
    }
    return report("training_step", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
