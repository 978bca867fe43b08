"""What keeps codes in use: tables of 16 and 64 codes, and the weights of `LookupFreeQuantizer`.

Two things that people ask of every library: why a small table collapses, and how LFQ is tuned.
Data, network and training are those of `large_tables.py`: 1 000 steps of 64 images of full
Fashion-MNIST, one seed; error, codes in use and perplexity of the 10 000 test images. Nothing is
timed.

`--smoke` takes 3 steps of a few rows.

    python benchmarks/codes_in_use.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import keras
from images import load_train_and_test
from reporting import Figure, parser, report, require_commit
from table_training import (
    BATCH_SIZE,
    DIM,
    FASTER,
    FROM_DATA,
    LEVELS,
    RATE,
    STEPS,
    UNITS,
    evaluate,
    train,
)

from keras_vqvae import layers

BITS = 12

TABLES = {
    "gradient": {"update": "gradient"},
    "gradient, k-means, revival": {"update": "gradient", **FROM_DATA},
    "EMA": {"update": "ema"},
    "EMA, rotation trick": {"update": "ema", "estimator": "rotation"},
    "EMA, k-means": {"update": "ema", "embeddings_initializer": "kmeans"},
    "EMA, k-means, revival": {"update": "ema", **FROM_DATA},
}
BINARY = {
    "w = 0": {"entropy_weight": 0.0},
    "w = 0.01": {"entropy_weight": 0.01},
    "w = 0.1": {"entropy_weight": 0.1},
    "w = 1": {"entropy_weight": 1.0},
    "w = 0.1, γ = 2": {"entropy_weight": 0.1, "diversity_weight": 2.0},
    "w = 0.1, τ = 1": {"entropy_weight": 0.1, "temperature": 1.0},
}


@dataclass
class Row:
    """What is trained: the size of the table, what makes the quantizer, and its codes' rate."""

    size: int
    make: Callable[[], layers.Quantizer]
    codebook_rate: float = RATE


def rows(smoke: bool) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for size in (16,) if smoke else (16, 64):
        for name, options in TABLES.items():
            make = partial(layers.VectorQuantizer, size, DIM, **options)
            found[f"K = {size}, {name}"] = Row(size, make)
            if options["update"] == "gradient":
                found[f"K = {size}, {name}{FASTER}"] = Row(size, make, 10 * RATE)
        for name, symmetric in (("FSQ", False), ("FSQ, symmetric", True)):
            make = partial(layers.FiniteScalarQuantizer, LEVELS[size], symmetric=symmetric)
            found[f"K = {size}, {name}"] = Row(size, make)
    for name, options in BINARY.items():
        make = partial(layers.LookupFreeQuantizer, BITS, **options)
        found[f"LFQ, K = {2**BITS}, {name}"] = Row(2**BITS, make)
    return dict(list(found.items())[::5]) if smoke else found


def main(argv: Sequence[str] | None = None) -> int:
    args = parser(__doc__, "codes_in_use").parse_args(argv)
    full = not args.smoke
    require_commit(full, args.output)
    images, test = load_train_and_test(args.smoke, 128 if args.smoke else None)
    steps = 3 if args.smoke else STEPS
    figures = []
    for name, row in rows(args.smoke).items():
        keras.utils.set_random_seed(args.seed)
        model = train(row.make(), images, steps, args.seed, row.codebook_rate)
        measured = evaluate(model, test, row.size)
        print(f"{name}: {measured}", flush=True)
        figures += [Figure(f"{name}: {key}", UNITS[key], value) for key, value in measured.items()]
    settings = {
        "steps": steps,
        "batch_size": BATCH_SIZE,
        "learning_rate": RATE,
        "levels": {str(size): LEVELS[size] for size in (16, 64)},
        "seed": args.seed,
    }
    return report("codes_in_use", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
