"""Which quantizers learn with large tables: usage and reconstruction at K = 512, 4 096 and 65 536.

One VQ-VAE for each quantizer and size learns full Fashion-MNIST: the network that
`models.convolutional_vqvae` has by default, a 7×7 grid, 1 000 steps of 64 images by Adam at 1e-3, a
step's images the same for all. Reconstruction error, share of codes in use and perplexity are of
the 10 000 test images, 490 000 codes. Nothing is timed, so the machine need not be idle. A plot of
usage and error against K is written beside the results.

Every quantizer has its own defaults, apart from what its name says. Tables of vectors have D = 16;
in FSQ, FSP and LFQ the size of the table decides on D. A table that learns by gradient has ten
times the networks' rate, as in runs. Optimal transport shares the vectors of a step among all
codes, so it is left out of the largest table.

`--smoke` takes 3 steps of small tables.

    python benchmarks/large_tables.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
from images import load_train_and_test
from plotting import saved_figure
from reporting import Figure, parser, report, require_commit, results_file
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

SIZES = (512, 4_096, 65_536)
SMOKE_SIZES = (16, 64)


def vector_quantizer(**options: Any) -> Callable[[int], layers.Quantizer]:
    return lambda size: layers.VectorQuantizer(size, DIM, **options)


GRADIENT = "gradient, k-means, revival" + FASTER
QUANTIZERS: dict[str, Callable[[int], layers.Quantizer]] = {
    "EMA": vector_quantizer(update="ema"),
    "EMA, rotation trick": vector_quantizer(update="ema", estimator="rotation"),
    "EMA, k-means, revival": vector_quantizer(update="ema", **FROM_DATA),
    GRADIENT: vector_quantizer(update="gradient", **FROM_DATA),
    "EMA, optimal transport": vector_quantizer(update="ema", assignment="optimal_transport"),
    "SimVQ": lambda size: layers.SimVQ(size, DIM),
    "FSQ": lambda size: layers.FiniteScalarQuantizer(LEVELS[size]),
    "FSP": lambda size: layers.FiniteScalarPerturbation(LEVELS[size]),
    "LFQ": lambda size: layers.LookupFreeQuantizer(int(math.log2(size))),
}
CODEBOOK_RATES = {GRADIENT: 10 * RATE}
# A step has 3 136 vectors: no plan shares them among 65 536 codes.
LARGEST = {"EMA, optimal transport": 4_096}


def plot(results: dict[tuple[str, int], dict[str, float]], path: Path) -> None:
    """Usage and error against the size of the table, a line for each quantizer."""
    sizes = sorted({size for _, size in results})
    with saved_figure(path, (12, 4.2), panels=2) as figure:
        axes = figure.axes
        for name, marker in zip(QUANTIZERS, "ovs*P^DdX", strict=True):
            tried = [size for size in sizes if (name, size) in results]
            for panel, key in zip(axes, ("perplexity", "MSE"), strict=True):
                values = [results[name, size][key] for size in tried]
                panel.plot(tried, values, marker=marker, label=name)
        axes[0].plot(sizes, sizes, "k:", label="all codes equally often")
        axes[0].set(ylabel="perplexity, test images (codes)", yscale="log")
        axes[1].set(ylabel="MSE, test images, [0, 1] scale", ylim=(0, None))
        for panel in axes:
            panel.set(xscale="log", xlabel="size of the table, K", xticks=sizes)
            panel.set_xticks(sizes, [f"{size:,}".replace(",", " ") for size in sizes])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
        lines = axes[0].get_legend_handles_labels()
        figure.legend(*lines, fontsize="small", loc="outside right center")


def main(argv: Sequence[str] | None = None) -> int:
    args = parser(__doc__, "large_tables").parse_args(argv)
    full = not args.smoke
    require_commit(full, args.output)
    images, test = load_train_and_test(args.smoke, 128 if args.smoke else None)
    steps = 3 if args.smoke else STEPS
    results, figures = {}, []
    for size in SMOKE_SIZES if args.smoke else SIZES:
        for name, make in QUANTIZERS.items():
            if size > LARGEST.get(name, size):
                continue
            keras.utils.set_random_seed(args.seed)
            rate = CODEBOOK_RATES.get(name, RATE)
            model = train(make(size), images, steps, args.seed, rate)
            measured = evaluate(model, test, size)
            results[name, size] = measured
            print(f"K = {size}, {name}: {measured}", flush=True)
            figures += [
                Figure(f"K = {size}, {name}: {key}", UNITS[key], value)
                for key, value in measured.items()
            ]
    if path := results_file("large_tables", args.output, full):
        plot(results, path.with_suffix(".png"))
    settings = {
        "steps": steps,
        "batch_size": BATCH_SIZE,
        "embedding_dim": DIM,
        "levels": {str(size): LEVELS[size] for size in SIZES},
        "seed": args.seed,
    }
    return report("large_tables", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
