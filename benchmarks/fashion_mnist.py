"""Full Fashion-MNIST, 10 epochs: the keras.io recipe against ours with the same network.

Both train the recipe's encoder and decoder from the same start, on the same batches in the same
order, K = 128 codes of D = 16 numbers on a 7×7 grid, batch 128, Adam at its defaults, the squared
error divided by the variance of the training images. They take turns epoch by epoch, so that a
change in the machine's load meets both. Different are the quantizer and the training step.

    python benchmarks/fashion_mnist.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import math
import statistics
import sys
from collections.abc import Sequence

import numpy as np
from images import load_train_and_test
from keras_io_recipe import LATENT_DIM, NUM_EMBEDDINGS
from reporting import Figure, parser, report, require_commit, require_tensorflow
from vqvaes import BATCH_SIZE, make_both, train_in_turns

EPOCHS = 10


def squared_error(images: np.ndarray, reconstructions: np.ndarray) -> float:
    """MSE on the [0, 1] scale, of reconstructions clipped to it."""
    difference = np.clip(reconstructions, 0.0, 1.0) - images
    return float(np.mean(np.square(difference, dtype="float64")))


def code_statistics(codes: np.ndarray) -> tuple[float, float]:
    """The share of the table in use, and the perplexity."""
    counts = np.bincount(codes.ravel(), minlength=NUM_EMBEDDINGS)
    shares = counts[counts > 0] / counts.sum()
    return float(np.mean(counts > 0)), math.exp(-float(np.sum(shares * np.log(shares))))


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "fashion_mnist")
    arguments.add_argument("--epochs", type=int, help=f"epochs (default: {EPOCHS})")
    arguments.add_argument("--limit", type=int, help="at most so many training and test images")
    args = arguments.parse_args(argv)
    require_tensorflow()
    full = not args.smoke and args.epochs in (None, EPOCHS) and args.limit is None
    require_commit(full, args.output)
    if args.smoke:
        args.epochs, args.limit = args.epochs or 1, args.limit or 5 * BATCH_SIZE
    epochs = args.epochs or EPOCHS

    train, test = load_train_and_test(args.smoke, args.limit)
    variance = float(np.var(train, dtype="float64"))
    ours, recipe = make_both(variance, args.seed)
    times = train_in_turns(
        {"recipe": (recipe, train - 0.5), "ours": (ours, train)}, epochs, args.seed
    )

    mse = (
        squared_error(test, ours.reconstruct(test)),
        squared_error(test, recipe.predict(test - 0.5, verbose=0) + 0.5),
    )
    figures = [Figure("test MSE", "[0, 1] scale", *mse, at_most=0.0067)]
    for split, images in (("test", test), ("training", train)):
        codes = (ours.encode(images), recipe.coder.predict(images - 0.5, verbose=0))
        (our_usage, our_perplexity), (usage, perplexity) = map(code_statistics, codes)
        bound = 99.0 if split == "test" else None
        figures += [
            Figure(
                f"codes in use, {split} images", "%", 100 * our_usage, 100 * usage, at_least=bound
            ),
            Figure(
                f"perplexity, {split} images", f"of {NUM_EMBEDDINGS}", our_perplexity, perplexity
            ),
        ]
    milliseconds = {name: 1e3 * statistics.median(t.seconds) for name, t in times.items()}
    figures.append(
        Figure("median training step", "ms", milliseconds["ours"], milliseconds["recipe"])
    )
    settings = {
        "data": "fashion_mnist_mini" if args.smoke else "fashion_mnist",
        "training_images": len(train),
        "test_images": len(test),
        "training_variance": variance,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "num_embeddings": NUM_EMBEDDINGS,
        "embedding_dim": LATENT_DIM,
        "seed": args.seed,
    }
    return report("fashion_mnist", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
