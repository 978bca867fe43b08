"""KerasTuner's oracles, with the defaults first, and with state that survives a kill."""

import datetime
import functools
import os
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine import trial as trial_module

from keras_vqvae.hypermodels.state_files import mend_state, read_message, write_state
from keras_vqvae.hypermodels.supervision import WORKERS
from keras_vqvae.hypermodels.trials import ENDED

__all__ = ["BayesianOracle", "GridOracle", "HyperbandOracle", "RandomOracle"]


class _DefaultsFirst:
    """Mixin of an oracle: the first trial has the default of every hyperparameter."""

    def _random_values(self) -> Any:
        if self.trials:  # type: ignore[attr-defined] # the oracle's
            return super()._random_values()  # type: ignore[misc] # the oracle's
        values: dict[str, Any] = {}
        found = keras_tuner.HyperParameters()
        for hp in self.hyperparameters.space:  # type: ignore[attr-defined] # the oracle's
            found.merge([hp])
            if found.is_active(hp):
                values[hp.name] = found.values[hp.name] = hp.default
        return values


class _Kept(keras_tuner.Oracle):
    """Part of an oracle: a search that was killed goes on, with every trial done once.

    KerasTuner writes its files in place, and several for one event: a kill between two of them
    makes it forget a trial that had begun, or do one twice that had ended.
    """

    # KerasTuner's, without types.
    trials: Any
    start_order: Any
    end_order: Any
    ongoing_trials: Any
    verbose: Any
    _retry_queue: Any
    _in_hands: dict[str, Any]

    def save(self) -> None:
        write_state(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        folder = Path(self._get_trial_dir(trial.trial_id))
        write_state(folder / "trial.json", trial.get_state())

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        alive = os.environ.get(WORKERS, "").split(",")
        # KerasTuner would have another worker do these again, side by side with their own.
        self._in_hands = {k: v for k, v in self.ongoing_trials.items() if k in alive}

    def reload(self) -> None:
        mend_state(self._get_oracle_fname())
        for file in sorted(Path(self._project_dir).glob("trial_*/trial.json")):
            mend_state(file)
            # KerasTuner looks for them by a pattern that the path is a part of, brackets and all.
            trial = trial_module.Trial.load(str(file))
            self.trials[trial.trial_id] = trial
        super().reload()
        self._settle()

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        """As KerasTuner's; the second end of a trial changes nothing.

        A worker may end a trial that a chief, started anew, has put in line again.
        """
        name = trial.trial_id
        if name in self.end_order:
            self.ongoing_trials = {
                tuner: one for tuner, one in self.ongoing_trials.items() if one.trial_id != name
            }
            return
        if trial.status in ENDED and name in self._retry_queue:
            self._retry_queue.remove(name)
        if trial.status != "COMPLETED" and trial.message is None:  # which a worker's has not
            trial.message = read_message(self._get_trial_dir(name))
        # KerasTuner notes when a trial began after it has saved, and prints how long it took.
        now, display = datetime.datetime.now(), self._display
        display.search_start = display.search_start or now
        display.trial_start.setdefault(name, now)
        display.trial_number.setdefault(name, self.start_order.index(name) + 1)
        super().end_trial(trial)

    def _settle(self) -> None:
        """Makes the files of a search that was killed agree with one another."""
        # Begun, and not recorded: it is drawn again, under the same name.
        for name in set(self.trials) - set(self.start_order):
            del self.trials[name]
        missing = [name for name in self.start_order if name not in self.trials]
        if missing:
            raise ValueError(
                f"the search in {self._project_dir!r} has no trial_{missing[0]}/trial.json. "
                "Restore it, or begin the search anew in another directory"
            )
        verbose, self.verbose = self.verbose, 0
        self.ongoing_trials = {
            tuner: trial for tuner, trial in self._in_hands.items() if trial.status not in ENDED
        }
        self.tuner_ids.update(self.ongoing_trials)  # a chief waits for them
        in_hands = [trial.trial_id for trial in self.ongoing_trials.values()]
        again = []
        for name in self.start_order:
            trial = self.trials[name]
            if name in in_hands:
                continue
            if trial.status not in ENDED:
                again.append(name)
            elif name not in self.end_order:
                self.end_trial(trial)
        self.verbose = verbose
        self.end_order = [name for name in self.end_order if name not in again]
        for name in again:
            trial = self.trials[name]
            trial.metrics, trial.score, trial.best_step = type(trial.metrics)(), None, None
        self._retry_queue = again[::-1]  # it is taken from the end


class RandomOracle(_DefaultsFirst, _Kept, oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(_DefaultsFirst, _Kept, oracles.BayesianOptimizationOracle):
    """Bayesian optimization."""


class HyperbandOracle(_DefaultsFirst, _Kept, oracles.HyperbandOracle):
    """Hyperband."""


class GridOracle(_Kept, oracles.GridSearchOracle):
    """All combinations in order, beginning with the defaults by itself."""

    def _settle(self) -> None:
        # KerasTuner keeps neither of these, and would end the search here. The names in the order
        # of their values; from each one, which combination is next.
        before = None
        key = functools.cmp_to_key(
            lambda a, b: self._compare(
                self.trials[a].hyperparameters.values, self.trials[b].hyperparameters.values
            )
        )
        known = [name for name in self.start_order if name in self.trials]
        for name in sorted(known, key=key):
            self._ordered_ids.insert(name, before)
            before = name
        self._populate_next = known
        super()._settle()
