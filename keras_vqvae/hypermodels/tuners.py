"""KerasTuner's tuners, with the defaults as the first trial, and promotions that lose nothing."""

import os
import time
from pathlib import Path
from typing import Any

import grpc
import keras
import keras_tuner

from keras_vqvae.hypermodels.kills import counted_kill, kills_in
from keras_vqvae.hypermodels.oracles import (
    BayesianOracle,
    GridOracle,
    HyperbandOracle,
    RandomOracle,
)
from keras_vqvae.hypermodels.searches import (
    check_directory,
    check_objective,
    search_settings,
    write_settings,
)
from keras_vqvae.hypermodels.state_files import mend_state, write_message, write_state
from keras_vqvae.hypermodels.supervision import SUPERVISED, SearchProcessError

__all__ = ["TUNERS", "make_tuner"]

_LAST = "last.keras"

# Between two requests of a worker whose chief has died, or has nothing for it yet.
_PAUSE_SECONDS = 1.0
# Trials that fail one after the other, after which a tuner gives up.
_MOST_FAILURES = 3
# Kills of the process within a trial, after which it has failed; fewer under a supervisor, which
# gives up on a process that dies more often (`supervision`).
_MOST_KILLS, _MOST_KILLS_SUPERVISED = 3, 2


class _KeepLast(keras.callbacks.Callback):
    """Writes the whole model, optimizer and all, at the end of training."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def on_train_end(self, logs: Any = None) -> None:
        temporary = f"{self.path}.part.keras"
        self.model.save(temporary)
        os.replace(temporary, self.path)


class _Patient:
    """A worker's requests to the chief, made once more where the chief died over them.

    KerasTuner takes the error for one of the trial and gives up on it. No request does harm twice:
    the chief gives a worker the trial that it has, and knows those that have ended.
    """

    def __init__(self, requests: Any) -> None:
        self._requests = requests

    def __getattr__(self, name: str) -> Any:
        request = getattr(self._requests, name)

        def made(*args: Any, **kwargs: Any) -> Any:
            while True:
                try:
                    reply = request(*args, **kwargs)  # waits for a chief, as KerasTuner asks it to
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    time.sleep(_PAUSE_SECONDS)
                    continue
                if name == "CreateTrial" and _is_idle(reply.trial):
                    time.sleep(_PAUSE_SECONDS)  # KerasTuner would ask again at once
                return reply

        return made


def _is_idle(trial: Any) -> bool:
    """Whether a chief's answer, as it is sent, says that there is no trial for a worker yet."""
    return bool(keras_tuner.engine.trial.TrialStatus.from_proto(trial.status) == "IDLE")


class _Tuner(keras_tuner.Tuner):
    """A tuner whose state files are written whole, from before the first trial on.

    As a worker it goes on when the chief dies and is started again.
    """

    # Of trials that failed for another reason than their settings.
    _remedy = "give as many trials more (`--trials`)"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._failures = 0  # one after the other
        self._refusal: Exception | None = None
        if self._is_worker():
            self.oracle.stub = _Patient(self.oracle.stub)

    def _try_run_and_update_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        """As KerasTuner, but a trial that is refused is told of in a line, not by a traceback."""
        self._refusal = None
        folder = self.get_trial_dir(trial.trial_id)
        most = _MOST_KILLS_SUPERVISED if SUPERVISED in os.environ else _MOST_KILLS
        if kills_in(folder) >= most:
            self._refusal = keras_tuner.errors.FailedTrialError(
                f"the process was killed {most} times in this trial, for want of memory perhaps"
            )
        else:
            with counted_kill(folder):
                super()._try_run_and_update_trial(trial, *args, **kwargs)
        if self._refusal is not None:
            trial.status, trial.message = "FAILED", str(self._refusal)
            if kwargs.get("verbose", "auto"):
                print(f"Trial {trial.trial_id} is not trained: {trial.message}", flush=True)
        if trial.message is not None and self._is_worker():
            write_message(folder, trial.message)  # what KerasTuner does not tell the chief

    def _run_and_update_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        try:
            super()._run_and_update_trial(trial, *args, **kwargs)
        except keras_tuner.errors.FailedTrialError as error:
            self._refusal = error

    def on_trial_end(self, trial: Any) -> None:
        """Notes the end, and gives up where one trial after the other fails.

        Raises:
            SearchProcessError: what fails one trial after the other would fail all that are left.
        """
        failed = trial.status == "INVALID"  # KerasTuner makes "FAILED" of it
        super().on_trial_end(trial)
        if self._refusal is not None:
            return
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= _MOST_FAILURES:
            reason = (trial.message or "").strip().splitlines()[-1:]
            raise SearchProcessError(
                f"{self._failures} trials failed one after the other, the last one by: "
                f"{' '.join(reason)}. They count as done: {self._remedy}"
            )

    def save(self) -> None:
        if not self._is_worker():
            self.oracle.save()
        write_state(self._get_tuner_fname(), self.get_state())

    def reload(self) -> None:
        mend_state(self._get_tuner_fname(), empty={})  # there is nothing in it
        super().reload()

    def on_search_begin(self) -> None:
        super().on_search_begin()
        self.save()


class Hyperband(_Tuner):
    """Hyperband whose promoted trials go on from where they were left.

    KerasTuner loads the weights of the *best* epoch into a model with a new optimizer, and counts
    on from the last one; here a trial goes on from the model of its last epoch, with its optimizer.
    """

    _remedy = "the same command goes on without them; another directory begins anew"

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        values = trial.hyperparameters.values
        kwargs["epochs"] = values["tuner/epochs"]
        kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        last = _KeepLast(os.path.join(self.get_trial_dir(trial.trial_id), _LAST))
        kwargs["callbacks"] = [*kwargs.get("callbacks", []), last]
        return super().run_trial(trial, *args, **kwargs)

    def _build_hypermodel(self, hp: Any) -> Any:
        before = hp.values.get("tuner/trial_id")
        if before is None:
            return super()._build_hypermodel(hp)
        if (run := getattr(self.hypermodel, "run", None)) is not None:
            keras.utils.set_random_seed(run.seed)  # as its `build` does
        return keras.models.load_model(os.path.join(self.get_trial_dir(before), _LAST))


TUNERS = ("random", "bayesian", "grid", "hyperband")


def make_tuner(
    kind: str,
    hypermodel: Any,
    directory: str | os.PathLike[str],
    trials: int = 20,
    epochs: int = 10,
    objective: str | None = None,
    direction: str = "min",
    seed: int = 0,
    **kwargs: Any,
) -> Any:
    """A KerasTuner tuner whose first trial has the defaults.

    A directory belongs to one search: what it is about is kept in `search.json`, and another one is
    refused. More trials are the same search, and so is another `jit_compile`. Its state files are
    written whole, and of each the write before is kept, from which a search goes on whose file is
    damaged.

    Args:
        kind: `"random"`, `"bayesian"`, `"grid"` or `"hyperband"`.
        hypermodel: such as `VQVAEHyperModel` or `PriorHyperModel`.
        directory: where trials and their models are kept. A search that was interrupted goes on
            from there.
        trials: how many; Hyperband decides by itself. Defaults to `20`.
        epochs: the most that Hyperband trains a model; the others get theirs in `search`. Defaults
            to `10`.
        objective: what trials are compared by, a name in the logs. By default the hypermodel's:
            `"val_bits_per_dimension"`, or `"val_bits_per_code"` of priors.
        direction: `"min"` or `"max"`. Defaults to `"min"`.
        seed: of the values that are drawn; 0 is taken as 1, as KerasTuner takes it for none.
        **kwargs: as for `keras_tuner.Tuner`.

    Returns:
        A `keras_tuner.Tuner`, whose `search(images, epochs=..., validation_data=...)` runs it.

    Raises:
        RunExistsError: for the directory of another search.
        ValueError: for another kind, fewer than one trial or epoch, an objective that the models do
            not log, another direction, or a state file that is damaged like its copy.

    Example:
    >>> import tempfile
    >>> from keras_vqvae.hypermodels import VQVAEHyperModel
    >>> hypermodel = VQVAEHyperModel((8, 8, 1), width=4, depth=1, num_embeddings=[4, 8], beta=0.25)
    >>> tuner = make_tuner("random", hypermodel, tempfile.mkdtemp(), trials=2)
    >>> tuner.oracle.objective.name
    'val_bits_per_dimension'
    """
    if kind not in TUNERS:
        raise ValueError(f"`kind` should be one of {', '.join(TUNERS)}. Received: kind={kind!r}")
    for name, value in (("trials", trials), ("epochs", epochs)):
        if value < 1:
            raise ValueError(f"`{name}` should be at least 1. Received: {name}={value}")
    if direction not in ("min", "max"):
        raise ValueError(f"`direction` should be 'min' or 'max'. Received: direction={direction!r}")
    if objective is None:
        objective = getattr(hypermodel, "objective", "val_loss")
    directory = os.path.abspath(directory)
    settings = _checked(
        hypermodel,
        directory,
        not kwargs.get("overwrite"),
        kind=kind,
        objective=objective,
        direction=direction,
        seed=seed,
        # The others may be given more trials, or longer ones.
        **({"epochs": epochs} if kind == "hyperband" else {}),
    )
    oracle = _oracle(
        kind,
        trials,
        epochs,
        objective=keras_tuner.Objective(objective, direction),
        seed=seed or 1,
        # Trials over the budget are no reason to stop; for others the tuners see to it.
        max_consecutive_failed_trials=1000,
    )
    folder, name = os.path.split(directory)
    kwargs |= {"hypermodel": hypermodel, "directory": folder, "project_name": name}
    tuner = (Hyperband if kind == "hyperband" else _Tuner)(oracle=oracle, **kwargs)
    write_settings(directory, settings)
    return tuner


def _checked(hypermodel: Any, directory: str, keep: bool, **asked: Any) -> dict[str, Any]:
    """What the search is about, once nothing speaks against it."""
    hp = keras_tuner.HyperParameters()
    build = hypermodel.build if hasattr(hypermodel, "build") else hypermodel
    check_objective(hypermodel, build(hp), asked["objective"])
    settings = search_settings(hypermodel, hp, **asked)
    if keep:
        check_directory(directory, settings)
        # KerasTuner looks for the file of the tuner, which has another name for each; without it
        # a chief would begin anew what a single tuner has begun.
        own = Path(directory) / f"{os.environ.get('KERASTUNER_TUNER_ID', 'tuner0')}.json"
        if (own.parent / "oracle.json").exists() and not own.exists():
            write_state(own, {})
    return settings


def _oracle(kind: str, trials: int, epochs: int, **common: Any) -> keras_tuner.Oracle:
    """What decides which trial comes next, and when there have been enough."""
    if kind == "hyperband":
        return HyperbandOracle(max_epochs=epochs, **common)
    make: Any = {"random": RandomOracle, "bayesian": BayesianOracle, "grid": GridOracle}[kind]
    return make(max_trials=trials, **common)
