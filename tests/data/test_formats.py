"""Files of every released version load, and give what they gave: see formats/make_formats.py."""

import importlib.util
import shutil
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


def test_a_checkpoint_goes_on(stored, tmp_path):
    folder, _ = stored
    run = Run.open(shutil.copytree(folder / "run", tmp_path / "run"))
    (run.directory / "vqvae.keras").unlink()
    assert run.progress("vqvae").epochs == 1
    np.save(tmp_path / "images.npy", maker().images())
    text = (run.directory / "config.json").read_text()
    (run.directory / "config.json").write_text(
        text.replace('"images.npy"', f'"{tmp_path}/images.npy"')
    )
    run = Run.open(run.directory)
    run.train("vqvae", verbose=0)  # what is done is not done again
    assert run.progress("vqvae").epochs == 1
    assert run.finished("vqvae")


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
