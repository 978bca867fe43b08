"""What a run records of where it was made."""

import os
import shutil
import subprocess

import keras
import pytest

from keras_vqvae.runs.environment import environment


def test_versions_device_and_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    found = environment()
    assert found["keras"] == keras.__version__
    assert found["backend"] in found
    assert found["devices"]
    assert "TF_DETERMINISTIC_OPS=1" in found["flags"]
    assert "XLA_FLAGS" not in found["flags"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_of_the_working_directory_and_whether_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment()["git"] == "none"

    def git(*words):
        identity = {"GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(tmp_path)}
        for kind in ("AUTHOR", "COMMITTER"):
            identity |= {f"GIT_{kind}_NAME": "a", f"GIT_{kind}_EMAIL": "a@localhost"}
        command = ["git", *words]
        done = subprocess.run(command, check=True, capture_output=True, env=os.environ | identity)
        return done.stdout.decode().strip()

    git("init", "--quiet")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "--quiet", "-m", "one")
    head = git("rev-parse", "HEAD")
    assert environment()["git"] == head
    (tmp_path / "a.py").write_text("2")
    assert environment()["git"] == f"{head}+"
