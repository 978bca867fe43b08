"""Searches that end half-way: killed, with damaged files, or in the directory of another."""

import json
import os
import signal
from concurrent import futures
from types import SimpleNamespace

import grpc
import keras
import keras_tuner
import pytest
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief
from support import run_python

from keras_vqvae.hypermodels import VQVAEHyperModel, make_tuner, read_trials, state_files
from keras_vqvae.hypermodels.tuners import _Patient
from keras_vqvae.runs import RunConfig, RunExistsError, TrainingConfig

MODEL = None


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Collecting garbage and waiting for the disk take longer than these trials."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr("keras_tuner.src.engine.tuner.gc.collect", lambda: 0)
    monkeypatch.setattr("keras.backend.clear_session", lambda: None)


class Quick(keras_tuner.HyperModel):
    """Trials that train nothing: a score that follows from the values, and a line in a log."""

    def __init__(self, log, kill_at=None):
        super().__init__()
        self.log, self.kill_at = log, kill_at

    def build(self, hp):
        global MODEL
        hp.Choice("a", [1, 2, 3])
        with hp.conditional_scope("a", [2, 3]):
            hp.Choice("b", [10, 20])
        if MODEL is None:
            MODEL = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
            MODEL.compile("sgd", "mse")
        return MODEL

    def fit(self, hp, model, *args, **kwargs):
        before = self.log.read_text().splitlines() if self.log.exists() else []
        if len(before) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        value = hp.values["a"] + hp.values.get("b", 0)
        self.log.write_text("\n".join([*before, str(value)]))
        if "tuner/epochs" in hp.values:  # what Hyperband goes on from
            (last,) = (c.path for c in kwargs["callbacks"] if hasattr(c, "path"))
            model.save(last)
        return {"val_loss": float(value)}


class Wide(Quick):
    """As many trials as are asked for."""

    def build(self, hp):
        hp.Int("c", 0, 99)
        return super().build(hp)


def search(folder, kind="random", trials=3, **kwargs):
    tuner = make_tuner(kind, Quick(folder / "log"), folder / "s", trials, 3, "val_loss", **kwargs)
    tuner.search(verbose=0)
    return tuner


def outcome(tuner):
    """Of each trial that ended, in the order of their names: its values and its score."""
    oracle = tuner.oracle
    assert sorted(oracle.end_order) == sorted(oracle.start_order) == sorted(oracle.trials)
    assert not oracle.ongoing_trials
    return [
        (t.trial_id, t.status, t.hyperparameters.values, t.score)
        for t in sorted(oracle.trials.values(), key=lambda t: t.trial_id)
    ]


@pytest.mark.parametrize("kind", ["random", "bayesian", "grid", "hyperband"])
def test_stopped_at_any_write_a_search_does_every_trial_once(kind, tmp_path, monkeypatch):
    """A kill comes before, between or after the writes of state; here, before each one in turn."""
    writes = 0
    write = state_files.write_state

    def counted(path, state, stop=None):
        nonlocal writes
        if writes == stop:
            raise KeyboardInterrupt
        writes += 1
        write(path, state)

    def watch(stop):
        nonlocal writes
        writes = 0
        for module in ("oracles", "tuners"):
            monkeypatch.setattr(
                f"keras_vqvae.hypermodels.{module}.write_state",
                lambda path, state: counted(path, state, stop),
            )

    whole = tmp_path / "whole"
    whole.mkdir()
    watch(None)
    expected = outcome(search(whole, kind))
    all_writes = writes
    assert len(expected) >= 3
    stops = range(0, all_writes, 1 if kind == "random" else 4)
    for stop in stops:
        folder = tmp_path / str(stop)
        folder.mkdir()
        watch(stop)
        with pytest.raises(KeyboardInterrupt):
            search(folder, kind)
        watch(None)
        found = outcome(search(folder, kind))
        if kind == "hyperband":  # which trial is next depends on which have ended
            assert len(found) == len(expected), stop
        else:
            assert found == expected, stop
        # No trial that was written down as ended is trained again: at most the last one.
        trained = (folder / "log").read_text().splitlines()
        assert len(expected) <= len(trained) <= len(expected) + 1


def test_trials_are_read_in_the_order_they_were_begun(tmp_path):
    """KerasTuner writes the number of a trial with as many digits as `max_trials` has."""
    tuner = make_tuner("grid", Wide(tmp_path / "log"), tmp_path / "w", 9, 3, "val_loss")
    tuner.search(verbose=0)
    tuner = make_tuner("grid", Wide(tmp_path / "log"), tmp_path / "w", 12, 3, "val_loss")
    tuner.search(verbose=0)
    names = [trial.name for trial in read_trials(tmp_path / "w")]
    assert names == tuner.oracle.start_order
    assert names[7:] == ["7", "8", "09", "10", "11"]


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("request_name", ["CreateTrial", "UpdateTrial", "EndTrial"])
def test_a_chief_that_dies_over_a_request_costs_no_trial(
    request_name, answered, tmp_path, monkeypatch
):
    """The chief, or what takes its calls, is gone before or after it has done what was asked."""
    chief = make_tuner("random", Quick(tmp_path / "log"), tmp_path / "s", 3, 3, "val_loss").oracle
    died = []

    def once(self, message, context):
        dies = not died
        died.extend([request_name] * dies)
        if not dies or answered:
            answer = getattr(oracle_chief.OracleServicer, request_name)(self, message, context)
        if dies:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return answer

    dying = type("Dying", (oracle_chief.OracleServicer,), {request_name: once})
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    protos.get_service_grpc().add_OracleServicer_to_server(dying(chief), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setattr("keras_vqvae.hypermodels.tuners._PAUSE_SECONDS", 0.0)
    try:
        search(tmp_path)
    finally:
        server.stop(None)
    assert died == [request_name]
    assert [trial.status for trial in chief.trials.values()] == ["COMPLETED"] * 3
    assert sorted(chief.end_order) == sorted(chief.start_order)
    assert len((tmp_path / "log").read_text().splitlines()) == 3


def test_other_errors_of_requests_are_raised():
    class Refused(grpc.RpcError):
        def code(self):
            return grpc.StatusCode.DEADLINE_EXCEEDED

    def refuse(message):
        raise Refused

    with pytest.raises(Refused):
        _Patient(SimpleNamespace(EndTrial=refuse)).EndTrial(None)


@pytest.mark.slow
def test_killed_in_a_trial_a_search_does_that_one_again(tmp_path):
    code = f"""
import sys, pathlib
sys.path[:0] = ["tests", "tests/hypermodels"]
from test_searches import Quick, make_tuner
folder = pathlib.Path({str(tmp_path)!r})
kill = None if (folder / "log").exists() else 2
tuner = make_tuner("random", Quick(folder / "log", kill), folder / "s", 4, 1, "val_loss")
tuner.search(verbose=0)
"""
    with pytest.raises(RuntimeError, match="exit status -9"):
        run_python(code)
    statuses = [trial.status for trial in read_trials(tmp_path / "s")]
    assert statuses == ["COMPLETED", "COMPLETED", "RUNNING"]
    kept = [(t.values, t.score) for t in read_trials(tmp_path / "s")[:2]]
    run_python(code)
    trials = read_trials(tmp_path / "s")
    assert [t.status for t in trials] == ["COMPLETED"] * 4
    assert [(t.values, t.score) for t in trials[:2]] == kept
    # One line for each trial: none was trained twice to its end.
    assert len((tmp_path / "log").read_text().splitlines()) == 4


@pytest.mark.parametrize("kind", ["random", "grid", "hyperband"])
@pytest.mark.parametrize(
    "name", ["oracle.json", "tuner0.json", "trial_?/trial.json", "search.json"]
)
def test_a_truncated_state_file_is_replaced_by_its_copy(name, kind, tmp_path, capsys):
    search(tmp_path, kind, trials=2)
    before = read_trials(tmp_path / "s")
    if name == "search.json":  # which is written at each start
        make_tuner(kind, Quick(tmp_path / "log"), tmp_path / "s", 2, 3, "val_loss")
    for file in (tmp_path / "s").glob(name.replace("trial_?", f"trial_{before[1].name}")):
        text = file.read_text()
        file.write_text(text[: len(text) // 2])
    capsys.readouterr()
    tuner = search(tmp_path, kind, trials=3)
    said = capsys.readouterr().out
    assert said.count("is damaged: the search goes on from") == 1
    found = {row[0]: row for row in outcome(tuner)}
    assert len(found) == (len(before) if kind == "hyperband" else 3)
    for trial in before:
        assert found[trial.name][1:] == (trial.status, trial.values, trial.score)


def test_a_file_without_a_whole_copy_says_what_to_do(tmp_path):
    search(tmp_path)
    state = tmp_path / "s" / "oracle.json"
    for file in (state, state.with_name("oracle.json.bak")):
        file.write_text(file.read_text()[:50])
    with pytest.raises(ValueError, match=r"oracle.json' of a search is damaged.*another directory"):
        search(tmp_path)
    (tmp_path / "s" / "tuner0.json").write_text("")
    (tmp_path / "s" / "tuner0.json.bak").unlink()
    with pytest.raises(ValueError, match=r"oracle.json"):
        search(tmp_path)


def test_a_trial_that_is_missing_says_what_to_do(tmp_path):
    search(tmp_path)
    (tmp_path / "s" / "trial_1" / "trial.json").unlink()
    with pytest.raises(ValueError, match=r"no trial_1/trial.json.*another directory"):
        search(tmp_path)


def test_a_chief_goes_on_with_what_a_single_tuner_began(tmp_path, monkeypatch):
    first = search(tmp_path, trials=2)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    second = make_tuner("random", Quick(tmp_path / "log"), tmp_path / "s", 3, 3, "val_loss")
    assert second.oracle.end_order == first.oracle.end_order


def test_a_trial_that_two_workers_end_counts_once(tmp_path):
    tuner = make_tuner("random", Quick(tmp_path / "log"), tmp_path / "s", 2, 1, "val_loss")
    oracle = tuner.oracle
    trial = oracle.create_trial("worker0")
    oracle.update_trial(trial.trial_id, {"val_loss": 1.0})
    again = make_tuner("random", Quick(tmp_path / "log"), tmp_path / "s", 2, 1, "val_loss").oracle
    assert again._retry_queue == [trial.trial_id]  # a chief that was started anew
    again.update_trial(trial.trial_id, {"val_loss": 1.0})
    trial.status = "COMPLETED"
    again.end_trial(trial)
    assert (again.end_order, again._retry_queue) == ([trial.trial_id], [])
    again.ongoing_trials["worker1"] = again.trials[trial.trial_id]
    again.end_trial(trial)
    assert (again.end_order, again.ongoing_trials) == ([trial.trial_id], {})


def test_a_trial_that_is_to_be_tried_again_has_not_ended(tmp_path):
    oracle = make_tuner("random", Quick(tmp_path / "log"), tmp_path / "s", 1, 1, "val_loss").oracle
    oracle.max_retries_per_trial = 1
    for status in ("INVALID", "FAILED"):
        trial = oracle.create_trial("tuner0")
        trial.status = "INVALID"  # it crashed
        oracle.end_trial(trial)
        (found,) = read_trials(tmp_path / "s")
        assert found.status == status
        assert found.ended == bool(oracle.end_order) == (status == "FAILED")


RUN = RunConfig(vqvae_training=TrainingConfig(batch_size=8))
TINY = {"width": 4, "depth": 1, "embedding_dim": 2, "update": "gradient", "beta": 0.25}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "grid"}, "kind: random -> grid"),
        ({"objective": "val_mse"}, "objective: val_bits_per_dimension -> val_mse"),
        ({"direction": "max"}, "direction: min -> max"),
        ({"seed": 2}, "seed: 0 -> 2"),
        ({"space": {"beta": [0.25, 0.5]}}, "hyperparameter beta: .*0.25.* -> .*0.5"),
        ({"run": {"dtype_policy": "mixed_bfloat16"}}, "setting dtype_policy: float32 -> mixed"),
    ],
)
def test_the_directory_of_another_search_is_refused(change, message, tmp_path):
    def make(kind="random", run=None, space=None, **asked):
        config = RunConfig(vqvae_training=RUN.vqvae_training, **(run or {}))
        hypermodel = VQVAEHyperModel((8, 8, 1), config, **{**TINY, **(space or {})})
        return make_tuner(kind, hypermodel, tmp_path / "s", **asked)

    make()
    make(trials=5, epochs=7, run={"jit_compile": "off"})  # the same search, longer
    with pytest.raises(RunExistsError, match=f"holds another search .*{message}"):
        make(**change)
    make(overwrite=True, **change)


def test_the_directory_of_a_search_of_other_make_is_refused(tmp_path):
    (tmp_path / "oracle.json").write_text("{}")
    with pytest.raises(RunExistsError, match="not begun"):
        make_tuner("random", Quick(tmp_path / "log"), tmp_path, objective="val_loss")


@pytest.mark.parametrize("objective", ["val_bits_per_dimensions", "val_gradient_norm", "bits"])
def test_a_misspelt_objective_is_refused_before_any_trial(objective, tmp_path):
    hypermodel = VQVAEHyperModel((8, 8, 1), RUN, **TINY)
    known = "val_bits_per_dimension, .*val_mse, .*val_loss, .*val_perplexity.*perplexity"
    with pytest.raises(ValueError, match=f"`objective` should be one of {known}"):
        make_tuner("random", hypermodel, tmp_path / "s", objective=objective)
    assert not (tmp_path / "s").exists()


def test_a_cosine_schedule_needs_the_number_of_images():
    run = RunConfig(vqvae_training=TrainingConfig(batch_size=8, schedule="cosine", epochs=3))
    with pytest.raises(ValueError, match=r"`train_images`.*cosine"):
        VQVAEHyperModel((8, 8, 1), run, **TINY)
    with pytest.raises(ValueError, match="`train_images` should be at least 1"):
        VQVAEHyperModel((8, 8, 1), run, train_images=0, **TINY)
    hypermodel = VQVAEHyperModel((8, 8, 1), run, train_images=20, **TINY)
    # Of the networks and of the codes: 3 epochs of 3 batches.
    optimizers = hypermodel.build(keras_tuner.HyperParameters()).optimizer._inner_optimizers
    assert [one._learning_rate.decay_steps for one in optimizers] == [9, 9]
    settings = json.loads(json.dumps(hypermodel.settings()))
    assert settings["train_images"] == 20
