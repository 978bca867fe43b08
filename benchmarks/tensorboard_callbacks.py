"""What the TensorBoard callbacks cost at their defaults, as a share of training time.

The network of `fashion_mnist.py` trains on the bundled images, 10 epochs at a time: with all
callbacks for a VQ-VAE at their defaults, and without, taking turns after a first training of each
that does not count. Both are one model, so what is trained is the same size at all times. Beside
the ratio of the two there is the time between the entry of the first callback and the exit of the
last one, measured inside the same training, which other work on the machine disturbs less. The
first training with callbacks also compiles what they run; it is a figure of its own.

    python benchmarks/tensorboard_callbacks.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from images import load_labelled
from reporting import Figure, parser, report, require_commit, require_tensorflow
from timing import ratio_interval, take_turns
from vqvaes import BATCH_SIZE, make_ours

from keras_vqvae import callbacks

EPOCHS = 10
ROUNDS = 8
SHOWN = 16


class Mark(keras.callbacks.Callback):
    """Notes the time at which each hook outside the steps is called."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def _note(self, *_: Any) -> None:
        self.times.append(time.perf_counter())

    on_train_begin = on_train_end = on_epoch_begin = on_epoch_end = _note


def all_callbacks(log_dir: str, images: np.ndarray) -> list[Any]:
    """Every callback for a VQ-VAE, at its defaults."""
    shown = images[:SHOWN]
    return [
        callbacks.TensorBoardScalars(log_dir),
        callbacks.TensorBoardReconstructions(log_dir, shown),
        callbacks.TensorBoardCodeGrids(log_dir, shown),
        callbacks.TensorBoardCodeUsage(log_dir),
        callbacks.TensorBoardGradientNorm(log_dir, shown),
        callbacks.TensorBoardProjector(log_dir),
        callbacks.TensorBoardHyperparameters(log_dir, {"num_embeddings": 128}),
    ]


def timed_fit(model: Any, images: np.ndarray, epochs: int, used: list[Any]) -> tuple[float, float]:
    """Seconds of a training, and those of them inside the callbacks."""
    before, after = Mark(), Mark()
    gc.collect()  # What the training before has left.
    start = time.perf_counter()
    model.fit(
        images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[before, *used, after],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    return seconds, float(np.sum(np.array(after.times) - np.array(before.times)))


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "tensorboard_callbacks")
    arguments.add_argument("--rounds", type=int, help=f"rounds (default: {ROUNDS})")
    arguments.add_argument("--epochs", type=int, help=f"epochs of each (default: {EPOCHS})")
    args = arguments.parse_args(argv)
    require_tensorflow()
    full = not args.smoke and args.rounds in (None, ROUNDS) and args.epochs in (None, EPOCHS)
    require_commit(full, args.output)
    rounds = args.rounds or (1 if args.smoke else ROUNDS)
    epochs = args.epochs or (2 if args.smoke else EPOCHS)

    images, _ = load_labelled("train", bundled=True, limit=5 * BATCH_SIZE if args.smoke else None)
    keras.utils.set_random_seed(args.seed)
    model = make_ours(float(np.var(images, dtype="float64")))
    timed_fit(model, images, 1, [])  # compiles the step

    with tempfile.TemporaryDirectory() as folder:

        def with_callbacks() -> tuple[float, float]:
            used = all_callbacks(tempfile.mkdtemp(dir=folder), images)
            return timed_fit(model, images, epochs, used)

        def without_callbacks() -> tuple[float, float]:
            return timed_fit(model, images, epochs, [])

        # One round more, which is not counted. With it, in an even number of rounds, each side
        # follows the other as often as itself, and bears as much of what a training leaves behind.
        turns = take_turns({"ours": with_callbacks, "peer": without_callbacks}, 1 + rounds)

    first = turns["ours"][0]
    seconds, inside = np.array(turns["ours"][1:]).T
    without = np.array(turns["peer"][1:])[:, 0]
    ratio = float(np.median(seconds) / np.median(without))
    interval = ratio_interval(seconds, without, args.seed)
    relative = "× without"
    figures = [
        Figure(f"training of {epochs} epochs", "s", np.median(seconds), np.median(without)),
        Figure(
            f"ratio of trainings of {epochs} epochs",
            relative,
            ratio,
            1.0,
            at_most=1.05,
            interval=interval,
        ),
        Figure(
            "inside the callbacks",
            relative,
            1 + np.median(inside / (seconds - inside)),
            at_most=1.05,
        ),
        Figure(
            "inside the callbacks, first training",
            relative,
            1 + first[1] / (first[0] - first[1]),
            at_most=1.05,
        ),
    ]
    settings = {
        "batch_size": BATCH_SIZE,
        "images": len(images),
        "images_shown": SHOWN,
        "codes": 128,
        "epochs": epochs,
        "rounds": rounds,
        "seed": args.seed,
    }
    return report(
        "tensorboard_callbacks", figures, settings, args.output, full, peer="without callbacks"
    )


if __name__ == "__main__":
    sys.exit(main())
