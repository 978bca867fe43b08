"""Files of every released version load, and give what they gave: see formats/make_formats.py."""

import importlib.util
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support import to_numpy

from keras_vqvae import callbacks, data
from keras_vqvae.hypermodels import Search
from keras_vqvae.runs import Run, RunConfig

FORMATS = Path(__file__).parent / "formats"
VERSIONS = sorted(path.name for path in FORMATS.iterdir() if (path / "expected.npz").exists())


def maker():
    spec = importlib.util.spec_from_file_location("make_formats", FORMATS / "make_formats.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=VERSIONS)
def stored(request, tmp_path_factory):
    """The folder of a version, to write in, and what its files gave then."""
    folder = tmp_path_factory.mktemp("formats") / request.param
    shutil.copytree(FORMATS / request.param, folder)
    with np.load(folder / "expected.npz", allow_pickle=False) as expected:
        return folder, dict(expected)


def test_there_is_one():
    assert "0.1.0" in VERSIONS


def test_models_and_codes_of_a_run(stored):
    folder, expected = stored
    run, images = Run.open(folder / "run"), maker().images()
    np.testing.assert_array_equal(run.vqvae().encode(images), expected["codes"])
    # float32 sums in another order on another machine or backend
    found = run.vqvae().reconstruct(images), to_numpy(run.prior().log_prob(expected["codes"]))
    for ours, then in zip(found, (expected["reconstructions"], expected["log_probs"]), strict=True):
        np.testing.assert_allclose(ours, then, rtol=1e-4, atol=1e-3)
    codes = data.load_codes(
        folder / "run" / "codes_train.npz", model_fingerprint=run.vqvae().fingerprint()
    )
    assert codes.codes.shape == (18, 4, 4)


def run_of(stored_run, folder):
    """A copy of a stored run, with its images."""
    directory = shutil.copytree(stored_run, folder / "run")
    np.save(folder / "images.npy", maker().images())
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"images.npy"', f'"{folder}/images.npy"'))
    return Run.open(directory)


def test_a_checkpoint_goes_on(stored, tmp_path):
    folder, _ = stored
    run = run_of(folder / "run", tmp_path)
    run.files.model("vqvae").unlink()
    assert run.progress("vqvae").epochs == 1
    run.train("vqvae", verbose=0)  # what is done is not done again
    assert run.progress("vqvae").epochs == 1
    assert run.finished("vqvae")


def test_a_checkpoint_within_an_epoch_goes_on_to_the_same_end(stored, tmp_path):
    folder, expected = stored
    run = run_of(folder / "run_interrupted", tmp_path)
    assert (run.progress("vqvae").epochs, run.progress("vqvae").steps) == (1, 2)
    run.train("vqvae", verbose=0)
    found = run.vqvae().reconstruct(maker().images())
    # Three steps on another machine or backend.
    np.testing.assert_allclose(found, expected["interrupted_run"], rtol=1e-3, atol=0.05)


def test_settings_of_runs_and_searches(stored, tmp_path):
    folder, _ = stored
    assert Run.open(folder / "run").config.vqvae.num_embeddings == 4
    assert isinstance(Run.open(folder / "run").config, RunConfig)
    shutil.copyfile(folder / "search_settings.json", tmp_path / "settings.json")
    assert Search.open(tmp_path).config.space["num_embeddings"] == [4, 8]


def test_a_training_of_ones_own_goes_on(stored):
    folder, expected = stored
    make, model = maker(), maker().resumable_model()
    keeper = callbacks.ResumableTraining(folder / "training")
    history = model.fit(make.images(), epochs=1, batch_size=8, verbose=0, callbacks=[keeper])
    assert history.epoch == []
    np.testing.assert_array_equal(model.encode(make.images()), expected["resumed"])


def test_a_training_of_ones_own_goes_on_within_an_epoch_to_the_same_end(stored):
    folder, expected = stored
    make, model = maker(), maker().resumable_model()
    directory = folder / "training_interrupted"
    with zipfile.ZipFile(directory / "last.npz") as archive:
        about = json.loads(archive.read("about.json"))
    assert (about["epochs"], about["steps"]) == (1, 2)
    keeper = callbacks.ResumableTraining(directory)
    model.fit(make.images(), epochs=2, batch_size=8, verbose=0, callbacks=[keeper])
    assert len(keeper.history) == 2
    found = model.reconstruct(make.images())
    np.testing.assert_allclose(found, expected["interrupted_training"], rtol=1e-3, atol=0.05)
