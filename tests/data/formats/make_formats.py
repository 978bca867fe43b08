"""Writes one file of each format that the package has, as this version writes it.

    python tests/data/formats/make_formats.py

makes a folder named after the version, once for each release; what is there is never written anew.
`test_formats.py` loads them all, for ever.
"""

# ruff: noqa: E402 -- the folder of the tests' helpers has to be found first
import contextlib
import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "runs"))

import numpy as np
from runs_support import Interrupt, tiny_config

import keras_vqvae
from keras_vqvae import callbacks, models
from keras_vqvae.hypermodels import Search, SearchConfig
from keras_vqvae.runs import Run

KEPT = ("config.json", "vqvae.keras", "prior.keras", "codes_train.npz")


def images():
    return np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), "uint8")


def resumable_model():
    model = models.convolutional_vqvae((8, 8, 1), 4, 2, widths=(4,))
    model.compile("adam")
    return model


def interrupted_run(directory, source):
    """Two epochs of which the second is interrupted after two of its five steps."""
    run = Run.create(directory, tiny_config(source, (2, 1)))
    with contextlib.suppress(KeyboardInterrupt):
        run.train("vqvae", verbose=0, checkpoint_minutes=1e-9, callbacks=[Interrupt(1, batch=2)])
    return run


def interrupted_training(directory):
    """As a run's: two epochs of three steps, interrupted after two steps of the second."""
    model = resumable_model()
    stop = Interrupt(1, batch=2, stage=model.name)
    keeper = callbacks.ResumableTraining(directory, save_freq=2)
    with contextlib.suppress(KeyboardInterrupt):
        model.fit(images(), epochs=2, batch_size=8, verbose=0, callbacks=[stop, keeper])
    (directory / "previous.npz").unlink()


def make(folder, work):
    np.save(work / "images.npy", images())
    config = tiny_config(work / "images.npy")
    run = Run.create(work / "run", config)
    run.train(verbose=0)
    (folder / "run" / "checkpoints").mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(run.directory / name, folder / "run" / name)
    for file in (run.files.last("vqvae"), run.files.best("vqvae")):
        shutil.copyfile(file, folder / "run" / "checkpoints" / file.name)

    likelihood = dataclasses.replace(config.vqvae, likelihood="discretized_logistic")
    search = SearchConfig(
        dataclasses.replace(config, vqvae=likelihood),
        trials=1,
        space={"width": 4, "depth": 1, "embedding_dim": 2, "num_embeddings": [4, 8]},
    )
    Search.create(work / "search", search)
    shutil.copyfile(work / "search" / "settings.json", folder / "search_settings.json")

    model = resumable_model()
    keeper = callbacks.ResumableTraining(folder / "training")
    model.fit(images(), epochs=1, batch_size=8, verbose=0, callbacks=[keeper])

    interrupted_training(folder / "training_interrupted")
    interrupted = interrupted_run(work / "interrupted", work / "images.npy")
    (folder / "run_interrupted" / "checkpoints").mkdir(parents=True)
    shutil.copyfile(interrupted.files.config, folder / "run_interrupted" / "config.json")
    for file in (interrupted.files.last("vqvae"), interrupted.files.best("vqvae")):
        shutil.copyfile(file, folder / "run_interrupted" / "checkpoints" / file.name)
    interrupted.train("vqvae", verbose=0)
    ended = resumable_model()
    keeper = callbacks.ResumableTraining(work / "ended")
    ended.fit(images(), epochs=2, batch_size=8, verbose=0, callbacks=[keeper])

    np.savez_compressed(
        folder / "expected.npz",
        codes=run.vqvae().encode(images()),
        reconstructions=run.vqvae().reconstruct(images()),
        log_probs=run.prior().log_prob(run.vqvae().encode(images())),
        resumed=model.encode(images()),
        interrupted_run=interrupted.vqvae().reconstruct(images()),
        interrupted_training=ended.reconstruct(images()),
    )
    for file in folder.rglob("*.json"):
        # Where the images were is nobody's business.
        file.write_text(file.read_text().replace(f"{work}/", ""))


if __name__ == "__main__":
    target = HERE / keras_vqvae.__version__
    if target.exists():
        sys.exit(f"{target.name} is there already: a release's files never change")
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        make(made, Path(temporary))
        shutil.copytree(made, target)
