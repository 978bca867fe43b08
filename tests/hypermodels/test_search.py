"""`Search`: one directory, alone or with a chief and workers, and the winner's run."""

import dataclasses
import html
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from runs_support import write_images
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from keras_vqvae.hypermodels import (
    Search,
    SearchConfig,
    SearchedTrial,
    fixed_settings,
    gain_text,
    read_trials,
)
from keras_vqvae.hypermodels.search import _results
from keras_vqvae.hypermodels.supervision import SUPERVISED
from keras_vqvae.runs import (
    DataConfig,
    DataParts,
    PriorConfig,
    Run,
    RunConfig,
    RunExistsError,
    RunInUseError,
    TrainingConfig,
    VQVAEConfig,
    hold_directory,
)

TINY = {"width": 4, "depth": 1, "embedding_dim": 2, "residual_blocks": 0, "update": "gradient"}


def config_for(folder, trials=3, epochs=1, space=None, **changes):
    run = RunConfig(
        data=DataConfig(str(folder), validation_fraction=0.25),
        vqvae=VQVAEConfig(likelihood="discretized_logistic", embeddings_initializer="uniform"),
        vqvae_training=TrainingConfig(epochs=epochs, batch_size=4),
        seed=3,
    )
    narrowed = {**TINY, "num_embeddings": [4, 8], **(space or {})}
    return SearchConfig(run, trials=trials, space=narrowed, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("my images"), 24)


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """A search that is over, and what it found."""
    search = Search.create(tmp_path_factory.mktemp("search"), config_for(folder))
    return search, search.run()


def test_the_first_trial_has_the_defaults_and_the_gain_is_over_it(done):
    search, found = done
    trials = search.trials()
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3
    assert trials[0].values["beta"] == 0.25
    assert trials[0].values["learning_rate"] == 1e-3
    scores = [trial.score for trial in trials]
    assert found["gain"] == scores[0] - min(scores)
    assert found["best"] == trials[int(np.argmin(scores))].name
    assert json.loads((search.directory / "results.json").read_text()) == found


def test_the_winner_is_a_run_that_goes_on(done):
    search, found = done
    run = Run.open(search.directory / found["run"])
    best = next(trial for trial in search.trials() if trial.name == found["best"])
    assert run.config.vqvae.beta == best.values["beta"]
    assert run.config.vqvae.num_embeddings == run.vqvae().num_embeddings
    # The trained model itself: its figures are those of the trial.
    figures = run.metrics()["vqvae"]
    images = run.parts.validation.as_array()
    bits = -run.vqvae().reconstruction_log_prob(images).mean() / 64 / np.log(2)
    assert figures["reconstruction_bits_per_dimension"] == pytest.approx(bits)
    assert best.score == pytest.approx(bits + best.figures["val_code_bits_per_dimension"], rel=1e-5)
    prior, sample, train = found["commands"]
    assert prior == f"keras-vqvae prior {search.directory}/best"
    assert sample == f"keras-vqvae sample {search.directory}/best"
    assert f"--output {search.directory}_best" in train
    assert "--epochs" not in train  # in full: as many as `train` has by default


def test_every_trial_is_on_the_page_of_hyperparameters(done):
    search, _ = done
    for trial in search.trials():
        events = EventAccumulator(str(search.directory / "tensorboard" / trial.name))
        events.Reload()
        score = float(make_ndarray(events.Tensors("val_bits_per_dimension")[-1].tensor_proto))
        assert score == pytest.approx(trial.score, rel=1e-6)
        assert any("hparams" in tag for tag in events.summary_metadata)


def test_the_page_has_all_trials_and_the_way_on(done):
    search, found = done
    page = search.page.read_text()
    assert "http" not in page.replace("http://www.w3.org", "")
    for text in (
        *(trial.name for trial in search.trials()),
        "by the first trial",
        *found["commands"],
    ):
        assert html.escape(text) in page


def test_more_trials_are_added_and_none_is_done_again(done, folder):
    search, _ = done
    before = {t.name: t.figures for t in search.trials()}
    changed = dataclasses.replace(search.config, trials=4)
    found = Search.create(search.directory, changed).run()
    after = {t.name: t.figures for t in search.trials()}
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert len(found["trials"]) == 4


@pytest.mark.slow
def test_a_later_winner_does_not_replace_a_run_whose_prior_is_trained(done, folder, tmp_path):
    search = Search.create(tmp_path / "s", config_for(folder, trials=1))
    search.run()
    Run.open(tmp_path / "s" / "best").train(verbose=0)
    prior = (tmp_path / "s" / "best" / "prior.keras").read_bytes()
    wide = dataclasses.replace(search.config, trials=2)
    more = Search.create(tmp_path / "s", wide)
    more.run()
    trials = more.trials()
    worse = trials[1].score > trials[0].score
    # Whoever won, what was trained is there still.
    assert (tmp_path / "s" / "best" / "prior.keras").read_bytes() == prior
    assert (tmp_path / "s" / f"best_{trials[1].name}").exists() != worse


def test_what_changes_no_figure_is_the_same_search(done, tmp_path):
    shutil.copytree(done[0].directory, tmp_path / "s")
    search = Search.open(tmp_path / "s")
    run = dataclasses.replace(
        search.config.run, jit_compile="off", prior=PriorConfig(filters=4, residual_blocks=1)
    )
    same = dataclasses.replace(search.config, run=run, direction="min")
    again = Search.create(search.directory, same)
    assert Search.open(search.directory).config == again.config == same
    assert again.trials() == search.trials()


class CtrlC(keras.callbacks.Callback):
    """Pressed after the first step: training ends with the next one."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_later_winner_does_not_replace_a_run_whose_prior_has_begun(done, tmp_path):
    """Not even one that was stopped in its first epoch."""
    shutil.copytree(done[0].directory, tmp_path / "s")
    search = Search.open(tmp_path / "s")
    run = Run.open(tmp_path / "s" / "best")
    prior = PriorConfig(filters=4, residual_blocks=1, embedding_dim=2)
    run = run.change_prior(prior, TrainingConfig(epochs=1, batch_size=4))
    with pytest.raises(KeyboardInterrupt):
        run.train("prior", verbose=0, callbacks=[CtrlC()])
    assert (run.progress("prior").epochs, run.progress("prior").steps) == (0, 1)
    # Another trial wins.
    best = json.loads((tmp_path / "s" / "results.json").read_text())["best"]
    other = next(trial for trial in search.trials() if trial.name != best)
    file = tmp_path / "s" / "trials" / f"trial_{other.name}" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "score": -1.0}))
    found = search.conclude()
    assert (found["best"], found["run"]) == (other.name, f"best_{other.name}")
    assert found["notes"] == [f"best/ has another run, whose prior has begun: see {found['run']}/"]
    assert Run.open(run.directory).config == run.config  # as it was
    assert run.progress("prior").steps == 1
    again = Run.open(tmp_path / "s" / found["run"])
    assert again.config.vqvae.beta == other.values["beta"]
    # And again: it is the same winner, whatever prior its run has by now.
    again.change_prior(prior, TrainingConfig(epochs=1, batch_size=4))
    assert search.conclude()["run"] == found["run"]
    # Nor does another one that wins with that name, where there is a prior already.
    settings = tmp_path / "s" / found["run"] / "config.json"
    text = json.loads(settings.read_text())
    text["vqvae"]["beta"] = 7.0
    settings.write_text(json.dumps(text))
    assert search.conclude()["run"] == f"{found['run']}_2"


def test_a_winner_whose_prior_has_settings_of_its_own_is_the_winner_still(done, tmp_path):
    shutil.copytree(done[0].directory, tmp_path / "s")
    run = Run.open(tmp_path / "s" / "best")
    prior = PriorConfig(filters=4, residual_blocks=1, embedding_dim=2)
    run.change_prior(prior, TrainingConfig(epochs=1, batch_size=4))
    with pytest.raises(KeyboardInterrupt):
        Run.open(run.directory).train("prior", verbose=0, callbacks=[CtrlC()])
    found = Search.open(tmp_path / "s").conclude()
    assert (found["run"], found["notes"]) == ("best", [])
    assert Run.open(run.directory).config.prior == prior


def hyperband_trial(name, score, epochs, before=None):
    values = {"beta": 0.25, "tuner/epochs": epochs, "tuner/trial_id": before}
    return SearchedTrial(name, "COMPLETED", values, {}, score, "")


@pytest.mark.parametrize(
    ("last", "gain", "text"),
    [
        ((None, 0.0), None, "4.0000 by trial 3; the first trial has 9.0000"),
        (("1", 6.0), 2.0, "6.0000 by the first trial, 4.0000 by trial 3: 33.3 % better"),
        (("1", 3.0), 0.0, "3.0000 by the first trial, which no other beats"),
        (("1", 4.5), 0.5, "4.5000 by the first trial, 4.0000 by trial 3: 11.1 % better"),
    ],
)
def test_the_gain_of_hyperband_is_over_the_defaults_trained_as_long(folder, last, gain, text):
    promoted, score = last
    trials = [
        hyperband_trial("0", 9.5, 2),
        hyperband_trial("1", 9.0, 4, "0"),
        hyperband_trial("2", 8.0, 2),
        hyperband_trial("3", 4.0, 9, "2"),
        *([hyperband_trial("4", score, 9, promoted)] if promoted else []),
    ]
    best = min(trials, key=lambda trial: trial.score).name
    config = config_for(folder, tuner="hyperband")
    found = _results(config, trials, best)
    assert found["gain"] == gain
    assert gain_text(found).endswith(text)
    assert found["notes"] == (
        []
        if promoted
        else [
            "the first trial was trained for 4 epochs and the best one for 9, so that its gain is "
            "not known"
        ]
    )


def test_the_first_trial_may_win_before_it_is_promoted(folder):
    trials = [hyperband_trial("0", 5.0, 2), hyperband_trial("1", 6.0, 4, "0")]
    found = _results(config_for(folder, tuner="hyperband"), trials, "0")
    assert (found["defaults"], found["gain"], found["notes"]) == ("0", 0.0, [])
    longer = [hyperband_trial("0", 5.0, 4), hyperband_trial("1", 4.0, 2)]
    found = _results(config_for(folder, tuner="hyperband"), longer, "1")
    assert found["gain"] is None
    assert "for 4 epochs and the best one for 2" in found["notes"][0]


def test_only_a_directory_of_its_own_is_removed_after_an_error(folder, tmp_path):
    wrong = config_for(folder, objective="val_nothing")
    with pytest.raises(ValueError, match="`objective` should be one of"):
        Search.create(tmp_path / "new", wrong)
    assert not (tmp_path / "new").exists()
    (tmp_path / "theirs").mkdir()
    with pytest.raises(ValueError, match="`objective` should be one of"):
        Search.create(tmp_path / "theirs", wrong)
    with hold_directory(tmp_path / "theirs"), pytest.raises(RunInUseError):
        Search.create(tmp_path / "theirs", config_for(folder))
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_chief_that_was_started_by_hand_keeps_the_directory(done, monkeypatch):
    search = done[0]
    monkeypatch.setattr(search, "_take_part", lambda verbose: None)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with hold_directory(search.directory):
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
        with pytest.raises(RunInUseError):
            search.take_part()
        monkeypatch.setenv(SUPERVISED, "1")  # by a process that holds it
        search.take_part()
        monkeypatch.delenv(SUPERVISED)
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
        search.take_part()


def test_one_process_at_a_time(done):
    with (
        hold_directory(done[0].directory),
        pytest.raises(RunInUseError, match="this process is at work"),
    ):
        done[0].run()
    before = {p: p.stat().st_mtime_ns for p in done[0].directory.rglob("*")}
    more = dataclasses.replace(done[0].config, trials=50)
    with (
        hold_directory(done[0].directory),
        pytest.raises(RunInUseError, match="this process is at work"),
    ):
        Search.create(done[0].directory, more)
    assert {p: p.stat().st_mtime_ns for p in done[0].directory.rglob("*")} == before


def test_a_winner_is_found_while_its_prior_is_trained(done):
    with hold_directory(done[0].directory / "best"):
        assert done[0].conclude()["run"] == "best"


def test_the_data_is_found_from_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    config = config_for(f"~/{folder.name}")
    search = Search.create(tmp_path / "s", config)
    assert search.config.run.data.source == str(folder)
    assert Search.open(tmp_path / "s").config == search.config


def test_the_images_are_read_once_for_their_variance(folder, monkeypatch):
    parts = DataParts(DataConfig(str(folder)), seed=3)
    images = parts.train.as_array() / 255
    assert parts.variance() == pytest.approx(images.var(), rel=1e-6)
    monkeypatch.setattr(type(parts.train), "read", None)  # it cannot be called
    assert parts.variance() == pytest.approx(images.var(), rel=1e-6)


class TestRefused:
    def refused(self, tmp_path, config, text, error=ValueError):
        with pytest.raises(error, match=text):
            Search.create(tmp_path / "new", config)
        assert not (tmp_path / "new").exists()

    def test_before_anything_is_written(self, folder, tmp_path):
        self.refused(
            tmp_path, config_for(folder, objective="val_bit"), "`objective` should be one of"
        )
        self.refused(tmp_path, config_for(folder, space={"betta": 1}), "'betta' should be one of")
        self.refused(tmp_path, config_for(folder, tuner="hill"), "`kind` should be one of random")
        self.refused(tmp_path, config_for(tmp_path / "none"), "none", FileNotFoundError)
        config = config_for(folder)
        alone = dataclasses.replace(config.run.data, validation_fraction=0.0)
        run = dataclasses.replace(config.run, data=alone)
        self.refused(tmp_path, dataclasses.replace(config, run=run), "validation")
        binary = dataclasses.replace(config.run.vqvae, likelihood="bernoulli")
        run = dataclasses.replace(config.run, vqvae=binary)
        text = "scores binary images only"
        self.refused(tmp_path, dataclasses.replace(config, run=run), text)
        text = "`depth`: height and width should be divisible by 16.*Received: 4 for images of 8x8"
        self.refused(tmp_path, config_for(folder, space={"depth": [1, 4]}), text)
        with pytest.raises(ValueError, match="`trials` should be at least 1"):
            config_for(folder, trials=0)
        with pytest.raises(ValueError, match="`direction` should be"):
            config_for(folder, direction="up")

    def test_not_for_settings_that_no_trial_has(self, tmp_path):
        """Images of 6×6 can be halved once, and the run's own settings would twice."""
        images = write_images(tmp_path / "images", 24, side=6)
        config = config_for(images)
        wide = dataclasses.replace(config.run.vqvae, widths=(32, 64))
        run = dataclasses.replace(config.run, vqvae=wide)
        search = Search.create(tmp_path / "new", dataclasses.replace(config, run=run))
        assert Search.open(search.directory).config.run.vqvae.widths == (32, 64)

    def test_in_the_folder_of_the_images(self, tmp_path):
        self.refused(
            tmp_path, config_for(write_images(tmp_path, 24)), "lies in the folder of images"
        )

    def test_directories_of_others(self, done, folder, tmp_path):
        different = r"another search \(hyperparameter num_embeddings: .*\[4, 8\].*\[4, 16\]"
        with pytest.raises(RunExistsError, match=different):
            Search.create(done[0].directory, config_for(folder, space={"num_embeddings": [4, 16]}))
        foreign = tmp_path / "foreign" / "settings.json"
        foreign.parent.mkdir()
        foreign.write_text('{"theme": "dark"}')
        with pytest.raises(ValueError, match="no settings of a search"):
            Search.create(foreign.parent, config_for(folder))
        assert foreign.read_text() == '{"theme": "dark"}'
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(RunExistsError, match="holds no search"):
            Search.create(tmp_path, config_for(folder))
        with pytest.raises(FileNotFoundError, match=r"no settings\.json"):
            Search.open(tmp_path)

    def test_a_search_without_a_score_says_why(self, folder, tmp_path, capfd):
        search = Search.create(tmp_path / "s", config_for(folder, trials=2, max_bits_per_image=4))
        # 4x4 positions of log2(4) bits
        refused = r"the codes of an image take 32 bits, above max_bits_per_image=4"
        with pytest.raises(
            ValueError, match=rf"no trial has a score.*: {refused}\. Raise it .* or halve"
        ):
            search.run(verbose=2)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert out.count(f"Trial 0 is not trained: {refused}\n") == 1
        assert out.count("is not trained: ") == 2
        assert search.trials()[0].message == refused
        assert {trial.status for trial in search.trials()} == {"FAILED"}
        # As a tuner of KerasTuner's own leaves it.
        file = tmp_path / "s" / "trials" / "trial_0" / "trial.json"
        trial = json.loads(file.read_text())
        trial["message"] = f"Traceback\nkeras_tuner.src.errors.FailedTrialError: {refused}\n"
        file.write_text(json.dumps(trial))
        assert search.trials()[0].message == refused


def test_settings_round_trip(folder):
    config = config_for(folder, space={"beta": (0.1, 1.0), "decay": [0.9, 0.99]})
    again = SearchConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    with pytest.raises(ValueError, match=r"format 'keras_vqvae\.run'"):
        SearchConfig.from_dict(config.run.to_dict())


def test_the_better_way_follows_from_the_objective():
    assert SearchConfig().best == "min"
    assert SearchConfig(objective="val_codebook_usage").best == "max"
    assert SearchConfig(objective="val_codebook_usage", direction="min").best == "min"


def test_settings_that_are_given_are_fixed():
    run = RunConfig(vqvae=VQVAEConfig(widths=(24, 48), num_embeddings=64))
    given = ["widths", "num_embeddings", "learning_rate", "batch_size"]
    fixed = {"width": 48, "depth": 2, "num_embeddings": 64, "learning_rate": 1e-3}
    assert fixed_settings(run, given) == fixed
    odd = RunConfig(vqvae=VQVAEConfig(widths=(24, 64)))
    with pytest.raises(ValueError, match=r"half of the next.*\(24, 64\)"):
        fixed_settings(odd, ["widths"])


def test_a_chief_that_is_started_again_leaves_trials_to_the_workers_that_have_them(
    folder, tmp_path, monkeypatch
):
    search = Search.create(tmp_path / "s", config_for(folder))
    first = search._tuner()
    had = first.oracle.create_trial("worker0").trial_id
    first.save()
    monkeypatch.setenv("KERAS_VQVAE_WORKERS", "worker0,worker1")
    oracle = search._tuner().oracle
    assert [oracle.create_trial(name).trial_id for name in ("worker1", "worker0")] == ["1", had]
    # Of workers that are gone, another one takes them, the oldest first.
    monkeypatch.setenv("KERAS_VQVAE_WORKERS", "worker2")
    assert search._tuner().oracle.create_trial("worker2").trial_id == had


def test_chief_and_workers_may_begin_a_search_at_once(folder, tmp_path):
    config = config_for(folder)
    # What the first of them has written when the second one looks: not yet its settings.
    Search(tmp_path / "s", Search.create(tmp_path / "before", config).config)._tuner()
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["trials"]
    search = Search.create(tmp_path / "s", config)
    assert Search.open(tmp_path / "s").config == search.config


# -- processes ------------------------------------------------------------------------------------


def kill_role(search, role):
    """Kills a process of a search by its role, if it lives."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode()
            environment = (entry / "environ").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if str(search.directory) in line and f"KERASTUNER_TUNER_ID={role}" in environment:
            os.kill(int(entry.name), signal.SIGKILL)
            return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_killed_worker_and_a_killed_chief_lose_no_trial(folder, tmp_path):
    search = Search.create(tmp_path / "s", config_for(folder, trials=6, epochs=60))
    told, killed = [], []

    def report(text):
        told.append((time.monotonic(), text))
        trials = [line for _, line in told if line.startswith("trial ")]
        # After the first trial, and after the third.
        role = {1: "worker1", 3: "chief"}.get(len(trials))
        if text.startswith("trial ") and role and role not in killed and kill_role(search, role):
            killed.append(role)

    found = search.run(workers=2, report=report)
    end = time.monotonic()
    assert killed == ["worker1", "chief"]
    restarts = {line for _, line in told if "started again" in line}
    assert {f"{role} ended with status -9: it is started again" for role in killed} <= restarts
    trials = search.trials()
    assert [t.status for t in trials] == ["COMPLETED"] * 6
    assert len({tuple(sorted(t.values.items())) for t in trials}) == 6
    assert len(found["trials"]) == 6
    last = max(when for when, line in told if line.startswith("trial "))
    assert end - last < 120  # the chief does not wait for ever


@pytest.mark.slow
def test_killed_and_started_again_keeps_what_has_ended(folder, tmp_path):
    config = config_for(folder, trials=4, epochs=60)
    Search.create(tmp_path / "s", config)
    command = [
        *(sys.executable, "-c"),
        "import sys; from keras_vqvae.hypermodels import Search; Search.open(sys.argv[1]).run()",
        str(tmp_path / "s"),
    ]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            if any(t.status == "COMPLETED" for t in Search.open(tmp_path / "s").trials()):
                process.kill()
                break
            time.sleep(0.1)
        assert process.wait() == -signal.SIGKILL
    kept = {t.name: t.figures for t in read_trials(tmp_path / "s") if t.status == "COMPLETED"}
    assert 1 <= len(kept) < 4
    search = Search.open(tmp_path / "s")
    search.run()
    trials = {t.name: t for t in search.trials()}
    assert [t.status for t in trials.values()] == ["COMPLETED"] * 4
    assert {name: trials[name].figures for name in kept} == kept
