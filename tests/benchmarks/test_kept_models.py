"""What benchmarks take up from an earlier run: only what the same code has made."""

import importlib

import numpy as np
import pytest
from support import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_models_of_another_commit_are_refused(script, tmp_path, monkeypatch):
    comparison = script("comparison")
    (tmp_path / "comparison.json").write_text("{}")
    comparison.require_models_of_this_commit(tmp_path)  # nothing is trained yet
    (tmp_path / "vae").mkdir()
    comparison.require_models_of_this_commit(tmp_path)  # the same code goes on
    monkeypatch.setattr(comparison, "commit", lambda: "0123456789ab")
    with pytest.raises(SystemExit, match=r"models of commit 0123456789ab, or not be there"):
        comparison.require_models_of_this_commit(tmp_path)
    (tmp_path / "commit.txt").unlink()  # as a command of the package leaves it
    with pytest.raises(SystemExit, match=r"whose models are of commit unknown\. Remove it"):
        comparison.require_models_of_this_commit(tmp_path)


@pytest.mark.tensorflow_only
def test_codes_of_another_commit_seed_or_size_are_refused(script, tmp_path):
    priors = script("priors")
    path, codes = tmp_path / "codes.npz", np.zeros((1, 7, 7), "int32")
    of = f"commit {priors.commit()}, seed 0"
    np.savez(path, train=codes, test=codes, made_with=of)
    assert len(priors.make_codes(False, path, 0)) == 2
    for smoke, seed in ((True, 0), (False, 1)):
        with pytest.raises(SystemExit, match=rf"made with {of.replace('+', '.')}\. Remove it"):
            priors.make_codes(smoke, path, seed)
    np.savez(path, train=codes, test=codes)
    with pytest.raises(SystemExit, match=r"made with unknown\."):
        priors.make_codes(False, path, 0)
