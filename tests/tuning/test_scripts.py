"""The scripts of `tuning/`: a search, and a look at it."""

import importlib.util
import shlex

import pytest
from click.testing import CliRunner
from PIL import Image
from support import ROOT

from keras_vqvae.cli import main as command_line


def script(name):
    spec = importlib.util.spec_from_file_location(f"tuning_{name}", ROOT / "tuning" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_search_keeps_its_best_model_and_is_analysed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script("codebook_and_beta").main(["--smoke", "--output", "runs/search"])
    assert (tmp_path / "runs/search/best_model.keras").exists()
    assert "by the defaults" in capsys.readouterr().out
    script("analyse").main(["runs/search"])
    assert "num_embeddin" in capsys.readouterr().out  # as much of it as the column is wide
    with Image.open(tmp_path / "runs/search/trials.png") as picture:
        assert picture.size[0] > 1000
    # The command that is left behind is one that `train` takes.
    words = shlex.split((tmp_path / "runs/search/train_best.sh").read_text())
    assert words[:2] == ["keras-vqvae", "train"]
    options = [w for w in words[2:] if not w.startswith(("--data", "--output"))]
    missing = CliRunner().invoke(
        command_line, ["train", "--data=nowhere", f"--output={tmp_path / 'r'}", *options]
    )
    assert "nowhere" in missing.stderr
    assert "No such option" not in missing.stderr


def test_over_the_budget_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="above max_bits_per_image=10"):
        script("codebook_and_beta").main(["--smoke", "--max-bits-per-image", "10"])
