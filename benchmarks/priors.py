"""Bits per code after 300 s of training: our priors against the keras.io PixelCNN.

All learn the codes of full Fashion-MNIST from one VQ-VAE (7×7 grids, K = 128), without labels. They
take turns in slices of training time, so that a change in the machine's load meets all. The clock
runs while a model trains: compilation and evaluation are not counted. Bits per code are of the
10 000 test images. A plot of bits per code against seconds is written beside the results.

The recipe trains as in the example: Adam at 3e-4, batch 128. Ours train with AdamW, batch 32, and a
learning rate that follows a cosine to the end of the time. The cost of training is compared by the
grid, so that a smaller batch is no advantage.

`--smoke` trains on bundled images for a second each. `--codes FILE` keeps the codes between runs of
one commit and one seed.

    python benchmarks/priors.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from images import load_train_and_test
from keras_io_recipe import CODE_SHAPE, NUM_EMBEDDINGS, make_pixel_cnn
from plotting import saved_figure
from prior_training import Contestant, bits_per_code, endless, ours
from reporting import (
    Figure,
    commit,
    parser,
    report,
    require_commit,
    require_tensorflow,
    results_file,
)
from vqvaes import make_ours

from keras_vqvae import models

SECONDS = 300.0
SLICES = 10
VQVAE_EPOCHS = 4


def make_contestants() -> list[Contestant]:
    shape, k = CODE_SHAPE, NUM_EMBEDDINGS
    gated = {"embedding_dim": 32, "first_kernel_size": 5}
    return [
        Contestant("keras.io PixelCNN", make_pixel_cnn(), batch_size=128),
        ours(
            "GatedPixelCNN",
            models.GatedPixelCNN(shape, k, filters=64, blocks=3, **gated),
            peak=6e-3,
            at_least=12.0,
        ),
        ours(
            "GatedPixelCNN, small",
            models.GatedPixelCNN(shape, k, filters=32, blocks=2, **gated),
            peak=8e-3,
            at_least=9.0,
        ),
        ours("PixelCNN", models.PixelCNN(shape, k, embedding_dim=32), peak=3e-3),
        ours("PixelSNAIL", models.PixelSNAIL(shape, k, filters=64, blocks=2, **gated), peak=4e-3),
        ours("TransformerPrior", models.TransformerPrior(shape, k), peak=2e-3),
    ]


def make_codes(smoke: bool, path: Path | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test codes, int32 `(N, 7, 7)`, from a file or from a VQ-VAE trained for it."""
    made_with = f"commit {commit()}, seed {seed}{', --smoke' if smoke else ''}"
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as file:
            if (found := str(file.get("made_with", "unknown"))) != made_with:
                raise SystemExit(
                    f"`--codes` should be a file that was made with {made_with}. "
                    f"Received: {path}, made with {found}. Remove it, or name another."
                )
            return file["train"], file["test"]
    train, test = load_train_and_test(smoke, 256 if smoke else None)
    vqvae = make_ours(float(train.var()))
    vqvae.fit(train, batch_size=128, epochs=1 if smoke else VQVAE_EPOCHS, verbose=2)
    codes = vqvae.encode(train), vqvae.encode(test)
    if path is not None:
        np.savez_compressed(path, train=codes[0], test=codes[1], made_with=made_with)
    return codes


def plot(contestants: Sequence[Contestant], path: Path) -> None:
    with saved_figure(path, (7, 4.6)) as figure:
        (axes,) = figure.axes
        for i, c in enumerate(contestants):
            axes.plot(*zip(*c.curve, strict=True), "k--" if i == 0 else "o-", ms=3, label=c.name)
        axes.set(xlabel="seconds of training", ylabel="bits per code, test images")
        axes.set_ylim(top=min(c.curve[0][1] for c in contestants) + 0.5)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "priors")
    arguments.add_argument("--seconds", type=float, help=f"of training (default: {SECONDS:g})")
    arguments.add_argument("--codes", type=Path, help="file to keep the codes in")
    arguments.add_argument("--only", help="only contestants whose name holds this; not judged")
    args = arguments.parse_args(argv)
    require_tensorflow()
    keras.utils.set_random_seed(args.seed)
    total = args.seconds or (1.0 if args.smoke else SECONDS)
    full = not args.smoke and total >= SECONDS and not args.only
    require_commit(full, args.output)
    train, test = make_codes(args.smoke, args.codes, args.seed)
    used = len(np.unique(train))
    print(f"{used} of {NUM_EMBEDDINGS} codes in use", flush=True)

    contestants = make_contestants()
    if args.smoke:
        contestants = contestants[:3]
    if args.only:
        contestants = [c for c in contestants if args.only in c.name]
    batches = [endless(train, c.batch_size, args.seed) for c in contestants]
    for c, source in zip(contestants, batches, strict=True):  # compiles
        c.train(source, until=1e-9, total=total)
        c.seconds, c.steps = 0.0, []
    slices = 1 if args.smoke else SLICES
    for i in range(1, slices + 1):
        for c, source in zip(contestants, batches, strict=True):
            c.train(source, total * i / slices, total)
            c.curve.append((c.seconds, bits_per_code(c.model, test)))
            print(f"{c.name}: {c.seconds:.0f} s, {c.curve[-1][1]:.4f} bits per code", flush=True)

    recipe = contestants[0]
    recipe_bits, recipe_step = recipe.curve[-1][1], statistics.median(recipe.steps)
    figures = [Figure("codes in use", "%", 100 * used / NUM_EMBEDDINGS, at_least=100.0)]
    for c in contestants:
        bits, step = c.curve[-1][1], statistics.median(c.steps)
        figures.append(Figure(f"{c.name}: test", "bits per code", bits, recipe_bits))
        figures.append(Figure(f"{c.name}: step", "ms", 1e3 * step, 1e3 * recipe_step))
        grid = [1e3 * t / n.batch_size for t, n in ((step, c), (recipe_step, recipe))]
        figures.append(Figure(f"{c.name}: step, by the grid", "ms", *grid))
        if c is not recipe:
            fewer = 100 * (1 - bits / recipe_bits)
            figures.append(Figure(f"{c.name}: fewer bits", "%", fewer, at_least=c.at_least))
        if "small" in c.name:
            ratio = step / c.batch_size / (recipe_step / recipe.batch_size)
            figures.append(
                Figure(f"{c.name}: training on a grid", "× the recipe's", ratio, at_most=0.5)
            )
    if path := results_file("priors", args.output, full):
        plot(contestants, path.with_suffix(".png"))
    settings = {
        "seconds": total,
        "slices": slices,
        "training_grids": len(train),
        "test_grids": len(test),
        "vqvae_epochs": VQVAE_EPOCHS,
        "seed": args.seed,
    }
    return report("priors", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
