"""KerasTuner's tuners, with the defaults as the first trial, and promotions that lose nothing."""

import os
from typing import Any

import keras
import keras_tuner
from keras_tuner import oracles

__all__ = ["TUNERS", "make_tuner"]

_LAST = "last.keras"


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


class _RandomOracle(_DefaultsFirst, oracles.RandomSearchOracle):
    pass


class _BayesianOracle(_DefaultsFirst, oracles.BayesianOptimizationOracle):
    pass


class _HyperbandOracle(_DefaultsFirst, oracles.HyperbandOracle):
    pass


class _KeepLast(keras.callbacks.Callback):
    """Writes the whole model, optimizer and all, at the end of training."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def on_train_end(self, logs: Any = None) -> None:
        temporary = f"{self.path}.part.keras"
        self.model.save(temporary)
        os.replace(temporary, self.path)


class Hyperband(keras_tuner.Tuner):
    """Hyperband whose promoted trials go on from where they were left.

    KerasTuner loads the weights of the *best* epoch into a model with a new optimizer, and counts
    on from the last one; here a trial goes on from the model of its last epoch, with its optimizer.
    """

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
        return keras.models.load_model(os.path.join(self.get_trial_dir(before), _LAST))


TUNERS = ("random", "bayesian", "grid", "hyperband")


def make_tuner(
    kind: str,
    hypermodel: Any,
    directory: str | os.PathLike[str],
    trials: int = 20,
    epochs: int = 10,
    objective: str = "val_bits_per_dimension",
    direction: str = "min",
    seed: int = 0,
    **kwargs: Any,
) -> Any:
    """A KerasTuner tuner whose first trial has the defaults.

    Args:
        kind: `"random"`, `"bayesian"`, `"grid"` or `"hyperband"`.
        hypermodel: such as `VQVAEHyperModel`.
        directory: where trials and their models are kept. A search that was interrupted goes on
            from there.
        trials: how many; Hyperband decides by itself. Defaults to `20`.
        epochs: the most that Hyperband trains a model; the others get theirs in `search`. Defaults
            to `10`.
        objective: what trials are compared by, a name in the logs. Defaults to
            `"val_bits_per_dimension"`.
        direction: `"min"` or `"max"`. Defaults to `"min"`.
        seed: of the values that are drawn; 0 is taken as 1, as KerasTuner takes it for none.
        **kwargs: as for `keras_tuner.Tuner`.

    Returns:
        A `keras_tuner.Tuner`, whose `search(images, epochs=..., validation_data=...)` runs it.

    Raises:
        ValueError: for another kind, fewer than one trial or epoch, or another direction.

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
    goal = keras_tuner.Objective(objective, direction)
    # Three trials over the budget of bits, one after the other, are no reason to stop.
    common = {"seed": seed or 1, "max_consecutive_failed_trials": 1000}
    directory = os.fspath(directory)
    rest = {"directory": os.path.dirname(directory) or ".", **kwargs}
    rest["project_name"] = os.path.basename(directory)
    if kind == "hyperband":
        oracle = _HyperbandOracle(objective=goal, max_epochs=epochs, **common)
        return Hyperband(oracle=oracle, hypermodel=hypermodel, **rest)
    make: Any = {
        "random": _RandomOracle,
        "bayesian": _BayesianOracle,
        "grid": oracles.GridSearchOracle,  # begins with the defaults by itself
    }[kind]
    oracle = make(objective=goal, max_trials=trials, **common)
    return keras_tuner.Tuner(oracle=oracle, hypermodel=hypermodel, **rest)
