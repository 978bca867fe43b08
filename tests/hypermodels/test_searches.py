"""Searches that end half-way: killed, with damaged files, or in the directory of another."""

import contextlib
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

from keras_vqvae.hypermodels import (
    SearchProcessError,
    VQVAEHyperModel,
    kills,
    make_tuner,
    read_trials,
    state_files,
    trial_table,
)
from keras_vqvae.hypermodels.kills import counted_kill, forget_trial, kills_in
from keras_vqvae.hypermodels.state_files import read_message, write_message
from keras_vqvae.hypermodels.supervision import SUPERVISED
from keras_vqvae.hypermodels.tuners import _Patient, _Tuner
from keras_vqvae.runs import DataConfig, RunConfig, RunExistsError, TrainingConfig

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


class Scripted(Quick):
    """Trials that end as they are told to, each by its number."""

    def __init__(self, log, ends):
        super().__init__(log)
        self.ends = ends

    def build(self, hp):
        hp.Int("c", 0, 99)
        return super().build(hp)

    def fit(self, hp, model, *args, **kwargs):
        result = super().fit(hp, model, *args, **kwargs)
        end = self.ends.get(len(self.log.read_text().splitlines()) - 1)
        if isinstance(end, BaseException):
            raise end
        return result if end is None else {"val_loss": end}


def scripted(folder, ends, trials=5):
    hypermodel = Scripted(folder / "log", ends)
    tuner = make_tuner("random", hypermodel, folder / "s", trials, 1, "val_loss")
    tuner.search(verbose=0)
    return read_trials(folder / "s")


def test_a_search_gives_up_where_one_trial_after_the_other_fails(tmp_path):
    ends = dict.fromkeys(range(1, 9), RuntimeError("the device is gone"))
    with pytest.raises(
        SearchProcessError,
        match=r"3 trials failed one after the other, the last one by: RuntimeError: the device is "
        r"gone\. They count as done: give as many trials more",
    ):
        scripted(tmp_path, ends)
    trials = read_trials(tmp_path / "s")
    assert [t.status for t in trials] == ["COMPLETED", "FAILED", "FAILED", "FAILED"]
    assert trials[1].message == "RuntimeError: the device is gone"
    # It goes on, with as many more.
    assert [t.status for t in scripted(tmp_path, {}, trials=6)][4:] == ["COMPLETED"] * 2


def test_failures_with_successes_or_refusals_between_are_no_reason_to_give_up(tmp_path):
    refused = keras_tuner.errors.FailedTrialError("too large")
    broken = RuntimeError("no memory")
    ends = dict(enumerate([broken, broken, None, broken, refused, refused, refused, broken]))
    trials = scripted(tmp_path, ends, trials=9)
    assert [t.status == "COMPLETED" for t in trials] == [n in (2, 8) for n in range(9)]
    assert trials[4].message == "too large"


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
def test_a_score_that_is_no_number_is_none(tmp_path):
    """KerasTuner keeps NaN as the score of a trial that it calls failed."""
    trials = scripted(tmp_path, {1: float("nan"), 2: float("inf")}, trials=4)
    assert [t.status for t in trials] == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert [t.score is None for t in trials] == [False, True, True, False]
    assert [t.message for t in trials[1:3]] == [
        "its objective became nan",
        "its objective became inf",
    ]
    assert "val_loss" not in trials[1].figures
    _, rows = trial_table(trials, "min")
    assert [row[1] for row in rows[2:]] == ["–", "–"]
    assert float(rows[0][1]) <= float(rows[1][1])


@pytest.mark.parametrize(
    ("worker", "supervised", "most"), [(False, False, 3), (True, False, 3), (True, True, 2)]
)
def test_a_trial_in_which_the_process_is_killed_again_and_again_is_passed(
    worker, supervised, most, tmp_path, monkeypatch
):
    """A kill leaves the count behind that was made before the trial."""
    tuner = make_tuner("random", Wide(tmp_path / "log"), tmp_path / "s", 2, 1, "val_loss")
    trial = tuner.oracle.create_trial("tuner0")
    folder = tuner.get_trial_dir(trial.trial_id)
    for _ in range(most):
        with contextlib.suppress(KeyboardInterrupt), counted_kill(folder):
            kills._BEFORE.clear()  # as far as this process is concerned, it ends here
            raise KeyboardInterrupt
    assert kills_in(folder) == most
    again = make_tuner("random", Wide(tmp_path / "log"), tmp_path / "s", 2, 1, "val_loss")
    monkeypatch.setattr(_Tuner, "_is_worker", lambda self: worker)
    if supervised:
        monkeypatch.setenv(SUPERVISED, "1")
    trial = again.oracle.create_trial("tuner0")
    again._try_run_and_update_trial(trial, verbose=0)
    assert trial.status == "FAILED"
    assert trial.message.startswith(f"the process was killed {most} times in this trial")
    assert not (tmp_path / "log").exists()
    assert (read_message(folder) == trial.message) == worker


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGXCPU"])
def test_an_end_by_schedulers_and_terminals_is_no_kill(tmp_path, monkeypatch, name):
    """Which schedulers send before they kill, and a terminal that is closed."""
    number, ended = getattr(signal, name), []
    before = signal.signal(number, signal.SIG_DFL)
    monkeypatch.setattr("os.kill", lambda process, number: ended.append((process, number)))
    monkeypatch.setattr("os._exit", ended.append)  # of the first process of a container
    with counted_kill(tmp_path):
        signal.raise_signal(number)
        assert kills_in(tmp_path) == 0
        assert ended == [(os.getpid(), number), 128 + number]
        assert signal.getsignal(number) is signal.SIG_DFL
    with counted_kill(tmp_path):
        assert kills_in(tmp_path) == 1
    assert kills_in(tmp_path) == 0
    assert signal.getsignal(number) is signal.SIG_DFL
    signal.signal(number, before)


def test_an_interrupted_trial_is_no_killed_one(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        scripted(tmp_path, {1: KeyboardInterrupt()})
    assert kills_in(tmp_path / "s" / "trial_1") == 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(counted_kill(tmp_path))
        assert kills_in(tmp_path) == 1
        forget_trial()  # as a worker whose parent has ended
        assert kills_in(tmp_path) == 0


def test_a_chief_knows_why_a_trial_of_a_worker_failed(tmp_path):
    """KerasTuner sends it all of a trial but the reason."""
    oracle = make_tuner("random", Quick(tmp_path / "log"), tmp_path / "s", 1, 1, "val_loss").oracle
    trial = oracle.create_trial("worker0")
    write_message(tmp_path / "s" / f"trial_{trial.trial_id}", "Traceback\nValueError: too small\n")
    sent = type(trial).from_proto(trial.to_proto())
    sent.status = "INVALID"
    oracle.end_trial(sent)
    (found,) = read_trials(tmp_path / "s")
    assert (found.status, found.message) == ("FAILED", "ValueError: too small")


def test_a_worker_without_a_trial_waits_before_it_asks_again(monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    for status, waits in (("IDLE", 1), ("RUNNING", 0), ("STOPPED", 0)):
        waited.clear()
        trial = SimpleNamespace(status=keras_tuner.engine.trial.TrialStatus.to_proto(status))
        stub = SimpleNamespace(CreateTrial=lambda trial=trial: SimpleNamespace(trial=trial))
        assert _Patient(stub).CreateTrial().trial is trial
        assert len(waited) == waits


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


def test_a_search_goes_on_in_a_path_with_the_signs_of_patterns(tmp_path):
    folder = tmp_path / "s[1]*?"
    folder.mkdir()
    first = outcome(search(folder, trials=2))
    assert len(first) == 2
    assert outcome(search(folder, trials=3))[:2] == first


def test_a_search_of_another_version_of_the_package_goes_on(tmp_path):
    """Before a setting was there it was as it is by default; and decoders of JPEG differ a bit."""

    def make(variance=0.1, **data):
        run = RunConfig(DataConfig(**data), vqvae_training=RUN.vqvae_training)
        hypermodel = VQVAEHyperModel((8, 8, 1), run, variance=variance, **TINY)
        return make_tuner("random", hypermodel, tmp_path / "s")

    make()
    file = tmp_path / "s" / "search.json"
    before = json.loads(file.read_text())
    del before["setting"]["data"]["strict"], before["setting"]["vqvae_training"]["patience"]
    file.write_text(json.dumps(before))
    make(variance=0.10001)
    file.write_text(json.dumps(before))
    with pytest.raises(RunExistsError, match="setting data strict: False -> True"):
        make(strict=True)
    with pytest.raises(RunExistsError, match=r"setting variance: 0\.1.* -> 0\.11"):
        make(variance=0.11)


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
