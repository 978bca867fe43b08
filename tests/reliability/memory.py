"""Memory of a process over many training steps and many calls of `sample`.

    python tests/reliability/memory.py --steps 2000 --calls 20

prints JSON: for each, MiB that the process has after a warm-up and at the end, on Linux.
"""

import argparse
import gc
import json
import os
from pathlib import Path

import keras
import numpy as np

from keras_vqvae import data, models

WARM_UP_STEPS, WARM_UP_CALLS = 200, 3


def resident_mib():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Watch(keras.callbacks.Callback):
    """Memory when the warm-up is over."""

    def __init__(self):
        super().__init__()
        self.steps, self.before = 0, None

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == WARM_UP_STEPS:
            self.before = resident_mib()


def steps(count):
    """Of a VQ-VAE with all that a table can have, in epochs of 50 steps with validation."""
    images = np.random.default_rng(0).integers(0, 256, (400, 16, 16, 1), "uint8")
    model = models.convolutional_vqvae((16, 16, 1), num_embeddings=32, widths=(8,))
    model.compile("adam")
    batches = data.ImageBatches(data.ArraySource(images), 8, shuffle=True)
    held_out = data.ImageBatches(data.ArraySource(images[:80]), 8)
    watch = Watch()
    epochs = -(-(count + WARM_UP_STEPS) // len(batches))
    model.fit(
        batches,
        validation_data=held_out,
        epochs=epochs,
        callbacks=[watch],
        verbose=0,
        shuffle=False,
    )
    return {"steps": watch.steps - WARM_UP_STEPS, "before": watch.before, "after": resident_mib()}


def calls(count):
    """Of a prior's `sample`, with sizes that change."""
    prior = models.PixelCNN((8, 8), 32, filters=16, residual_blocks=2)
    prior.compile("adam")
    for i in range(WARM_UP_CALLS):
        prior.sample(24 + i % 2, seed=i)
    before = resident_mib()
    for i in range(count):
        prior.sample(24 + i % 2, seed=i)
    return {"calls": count, "before": before, "after": resident_mib()}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=20)
    args = parser.parse_args(argv)
    found = {"training": steps(args.steps), "sampling": calls(args.calls)}
    print(json.dumps({"backend": keras.backend.backend(), **found}))


if __name__ == "__main__":
    main()
