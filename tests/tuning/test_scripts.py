"""The scripts of `tuning/`: a search, and a look at it."""

import importlib.util
import shlex
from types import SimpleNamespace

import keras_tuner
import numpy as np
import pytest
from PIL import Image
from support import ROOT, invoke

from keras_vqvae.cli import main as command_line
from keras_vqvae.hypermodels import PriorHyperModel, SearchProcessError
from keras_vqvae.runs import RunConfig, TrainingConfig


def script(name):
    spec = importlib.util.spec_from_file_location(f"tuning_{name}", ROOT / "tuning" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_error(capsys, name, arguments):
    """The one line that a script ends with."""
    with pytest.raises(SystemExit) as stopped:
        script(name).main(arguments)
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


def refused(words, **changes):
    """What the command line says to the words, with other values for some options."""
    words += [f"--{name}={value}" for name, value in changes.items()]  # the last one counts
    return invoke(command_line, words)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--jit-compile=on", "--dtype-policy=mixed_bfloat16"]])
def test_a_search_keeps_its_best_model_and_is_analysed(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--smoke", "--output", "runs/search", "--schedule", "cosine", *options]
    script("codebook_and_beta").main(arguments)
    assert (tmp_path / "runs/search/best_model.keras").exists()
    assert "by the first trial" in capsys.readouterr().out
    script("analyse").main(["runs/search"])
    assert "num_embeddin" in capsys.readouterr().out  # as much of it as the column is wide
    with Image.open(tmp_path / "runs/search/trials.png") as picture:
        assert picture.size[0] > 1000
    # The command that is left behind is one that `train` takes, with all that was asked for.
    words = shlex.split((tmp_path / "runs/search/train_best.sh").read_text())
    assert words[:2] == ["keras-vqvae", "train"]
    asked = {word for option in [*options, "--schedule=cosine"] for word in option.split("=")}
    assert asked <= set(words)
    missing = refused(words[1:], data="nowhere", output=tmp_path / "r")
    assert "nowhere" in missing.stderr
    assert "No such option" not in missing.stderr


@pytest.mark.slow
def test_a_search_for_a_prior(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script("prior").main(["--smoke", "--output", "runs/search"])
    assert (tmp_path / "runs/search/best_model.keras").exists()
    assert "val_bits_per_code" in capsys.readouterr().out
    script("analyse").main(["runs/search"])
    assert "filters" in capsys.readouterr().out
    assert (tmp_path / "runs/search/trials.png").exists()
    words = shlex.split((tmp_path / "runs/search/train_best.sh").read_text())
    assert words[:3] == ["keras-vqvae", "prior", "runs/search_run"]
    trained = invoke(command_line, words[1:])
    assert trained.exit_code == 0, trained.output
    # Another family is none that a run has: the script itself trains the best of them.
    other = ["--run", "runs/search_run", "--smoke", "--output", "runs/other", "--trials", "1"]
    script("prior").main([*other, "--family", "gated_pixelcnn", "--jit-compile", "on"])
    words = shlex.split((tmp_path / "runs/other/train_best.sh").read_text())
    assert words[:2] == ["python", "tuning/prior.py"]
    script("prior").main(words[2:])
    assert (tmp_path / "runs/other/prior.keras").exists()


def test_parts_of_the_codes_have_all_classes():
    """Codes of a folder of images come class by class."""
    codes = np.arange(12).reshape(12, 1, 1)
    found = SimpleNamespace(codes=codes, labels=np.repeat(np.arange(3), 4))
    run = SimpleNamespace(
        codes=lambda name: found,
        config=SimpleNamespace(prior=SimpleNamespace(conditional=True)),
    )
    prior = script("prior")
    chosen, labels = prior.part_of(run, "train", 6)
    assert chosen.ravel().tolist() == [0, 2, 4, 6, 8, 10]
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    for limit in (None, 12, 20):
        assert np.array_equal(prior.part_of(run, "train", limit)[0], codes)


def test_every_family_has_a_search_of_seconds():
    for family, space in script("prior").SMOKE.items():
        hypermodel = PriorHyperModel((4, 4), 8, family=family, **space)
        assert hypermodel.build(keras_tuner.HyperParameters()).count_params() < 20_000


def test_over_the_budget_nothing_is_trained(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--smoke", "--max-bits-per-image", "10"]
    assert "above max_bits_per_image=10" in run_error(capsys, "codebook_and_beta", arguments)


@pytest.mark.parametrize("name", ["codebook_and_beta", "prior"])
def test_data_that_does_not_exist_is_one_line(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such path exists" in run_error(capsys, name, ["--data", "nowhere"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trials=0", "`trials` should be at least 1"),
        ("--objective=val_bits", "`objective` should be one of val_bits_per_dimension"),
    ],
)
def test_wrong_options_are_one_line(option, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--smoke", option]
    assert message in run_error(capsys, "codebook_and_beta", arguments)


def test_workers_that_die_again_and_again_are_one_line(capsys):
    @script("searching").one_line_errors
    def main(argv):
        raise SearchProcessError("worker0 ended 3 times")

    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: worker0 ended 3 times\n"


def test_no_run_and_no_search_are_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "should be the directory of a run" in run_error(capsys, "prior", ["--run", "nowhere"])
    assert "should be that of a search" in run_error(capsys, "analyse", ["nowhere"])


def test_analysis_knows_which_scores_are_better(tmp_path):
    analyse = script("analyse")
    assert analyse.direction_of(tmp_path) == "min"
    (tmp_path / "search.json").write_text('{"direction": "max"}')
    assert analyse.direction_of(tmp_path) == "max"
    (tmp_path / "trials").mkdir()  # of `keras-vqvae tune`
    (tmp_path / "trials" / "search.json").write_text('{"direction": "min"}')
    assert analyse.direction_of(tmp_path) == "min"


@pytest.mark.parametrize(("trial", "run", "full"), [(5, 3, 20), (30, 3, 30), (5, 40, 40)])
def test_in_full_is_no_shorter_than_trial_run_and_default(trial, run, full):
    def config(epochs):
        return RunConfig(prior_training=TrainingConfig(epochs=epochs))

    opened = SimpleNamespace(config=config(run))
    assert script("prior").in_full(config(trial), opened).prior_training.epochs == full
