"""Memory over many training steps and many calls of `sample`; the start on a folder of many images.

    python tests/reliability/long_jobs.py --steps 2000 --calls 20 --images 200000

prints JSON: MiB that the process has after a warm-up and at the end (Linux), and seconds of CPU and
of the clock from a folder's name to the first training step.
"""

import argparse
import gc
import io
import json
import os
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from keras_vqvae import data, models, runs

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


class StopError(Exception):
    """After the first step there is nothing more to see."""


class StopAtOnce(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise StopError


def start(count):
    """Of a run on a folder of small PNG files in ten classes."""
    files = []
    rng = np.random.default_rng(0)
    for _ in range(200):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8), "uint8")).save(file, "PNG")
        files.append(file.getvalue())
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            path = Path(folder, "images", f"class{i % 10}", f"{i:06}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[i % len(files)])
        config = runs.RunConfig(
            data=runs.DataConfig(str(Path(folder, "images"))),
            vqvae=runs.VQVAEConfig(num_embeddings=8, embedding_dim=2, widths=(4,)),
        )
        clock, cpu = time.perf_counter(), time.process_time()
        try:
            run = runs.Run.create(Path(folder, "run"), config)
            run.train("vqvae", verbose=0, callbacks=[StopAtOnce()])
        except StopError:
            pass
        seconds = {"clock": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
    return {"images": count, **{name: round(value, 1) for name, value in seconds.items()}}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--images", type=int, default=200_000)
    args = parser.parse_args(argv)
    found = {
        "training": steps(args.steps),
        "sampling": calls(args.calls),
        "start": start(args.images),
    }
    print(json.dumps({"backend": keras.backend.backend(), **found}))


if __name__ == "__main__":
    main()
