"""A search in one directory: by one process, or by a chief and workers."""

import contextlib
import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import keras_tuner
import numpy as np

from keras_vqvae import likelihoods
from keras_vqvae.callbacks import write_hyperparameters
from keras_vqvae.data import ImageBatches
from keras_vqvae.hypermodels.search_config import SearchConfig
from keras_vqvae.hypermodels.search_page import search_page
from keras_vqvae.hypermodels.state_files import read_state, write_state
from keras_vqvae.hypermodels.supervision import SUPERVISED, supervise
from keras_vqvae.hypermodels.trials import SearchedTrial, defaults_beside, read_trials
from keras_vqvae.hypermodels.tuners import make_tuner
from keras_vqvae.hypermodels.vqvae_hypermodel import VQVAEHyperModel
from keras_vqvae.hypermodels.winner import winners_run
from keras_vqvae.runs import (
    DataParts,
    RunConfig,
    RunExistsError,
    TrainingConfig,
    check_fit,
    check_output,
    hold_directory,
    image_batches,
    prior_command,
    train_command,
    with_absolute_source,
)

__all__ = ["Search", "part_of_a_search"]

_SMALLER = (
    ". Raise it (`--max-bits-per-image`), narrow `num_embeddings` to fewer codes, or halve the "
    "images more often (`depth`, or more of `--widths`)"
)


class Search:
    """A search for the settings of a VQ-VAE, in one directory.

    | file | what it is |
    |---|---|
    | `settings.json` | all settings of the search |
    | `trials/` | what KerasTuner keeps: state, and a folder a trial with its model |
    | `results.json`, `report.html` | the trials, and the gain over the defaults |
    | `best/` | the run of the winner, its VQ-VAE trained: for `prior` and `sample` |
    | `tensorboard/` | a directory a trial, for the page HParams |
    | `logs/` | what chief and workers print, if there are any |

    A search that was interrupted goes on: trials that have ended are kept, one that was running is
    done again.

    It is made by `Search.create` and `Search.open`.

    Args:
        directory: where it is.
        config: its settings.

    Example:
    >>> import tempfile
    >>> from keras_vqvae.hypermodels import SearchConfig
    >>> from keras_vqvae.runs import DataConfig, RunConfig, VQVAEConfig
    >>> run = RunConfig(DataConfig("fashion_mnist_mini"), VQVAEConfig(likelihood="categorical"))
    >>> config = SearchConfig(run, trials=2, space={"num_embeddings": [64, 128], "width": 32})
    >>> search = Search.create(tempfile.mkdtemp(), config)
    >>> search.trials()
    []
    """

    def __init__(self, directory: str | os.PathLike[str], config: SearchConfig) -> None:
        self.directory = Path(directory)
        self.config = config
        self.page = self.directory / "report.html"
        self._parts = DataParts(config.run.data, config.run.seed)

    @classmethod
    def create(cls, directory: str | os.PathLike[str], config: SearchConfig) -> Self:
        """A new search, or the one that is there, which may get more trials.

        Everything is checked before anything is written. What makes a search another one is said by
        `make_tuner`.

        Args:
            directory: where; it is made if needed.
            config: the settings.

        Raises:
            RunExistsError: if the directory holds another search, or other files.
            RunInUseError: if another process is at work in the directory.
            ValueError: if the settings do not fit the data, or one another, or a new search is to
                be in the folder of its images.
        """
        config = dataclasses.replace(config, run=with_absolute_source(config.run))
        search = cls(directory, config)
        file, folder = search._settings, search.directory
        if file.exists():
            cls.open(directory)  # it raises for a file of another make
        elif folder.exists() and (not folder.is_dir() or _others_files(folder)):
            raise RunExistsError(
                f"the output {str(folder)!r} is not empty and holds no search. Give another "
                "directory (`--output`)"
            )
        else:
            check_output(directory, config.run)
        # What is searched may be out of range of the run's own settings: those of the first trial.
        check_fit(search._hypermodel().config(keras_tuner.HyperParameters()), search._parts)
        search._check_scores()
        # Chief and workers begin all at once, and none of them another one's search.
        alone, is_new = part_of_a_search() is None, not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with hold_directory(folder) if alone else contextlib.nullcontext():
                search._tuner()
                write_state(file, config.to_dict())
        except ValueError:
            if is_new:
                with contextlib.suppress(OSError):  # another process has begun in it
                    folder.rmdir()
            raise
        return search

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Self:
        """The search in a directory.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if its settings are damaged.
        """
        file = Path(directory) / "settings.json"
        if not file.exists():
            raise FileNotFoundError(
                f"{str(directory)!r} should be the directory of a search, and has no settings.json"
            )
        try:
            return cls(directory, SearchConfig.from_dict(read_state(file)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the file {str(file)!r} is damaged: {error!r}") from error

    def run(
        self,
        workers: int | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        verbose: int = 0,
        report: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Does the trials that are not done, and what comes of them.

        Args:
            workers: processes on this machine beside a chief, each with a GPU of its own if there
                are any. By default trials run in this process, one after the other.
            host: the address that the chief listens on. Defaults to loopback: there is no
                protection whatever against who can reach it.
            port: by default a free one.
            verbose: as for `keras.Model.fit`; workers print to their logs.
            report: is told in words what happens. Defaults to `None`.

        Returns:
            What `results.json` holds: `objective`, `direction`, `trials` in the order they began,
            `best` and `defaults` (their names), `gain` (how much better the best is, in the
            objective's unit), and `notes`.

        Raises:
            RunInUseError: if another process does the same.
            SearchProcessError: if one trial after the other fails, or a worker or the chief dies
                again and again.
            ValueError: for a port in use, or if no trial has a score.
        """
        report = report or (lambda text: None)
        with hold_directory(self.directory):
            if workers is None:
                self._take_part(verbose)
            else:
                # What is wrong with the settings is found out before, by `create`.
                command = [sys.executable, "-m", "keras_vqvae.hypermodels", str(self.directory)]
                told = _Progress(self, report)
                supervise(command, workers, self.directory / "logs", told, host, port, report)
            return self.conclude(report)

    def take_part(self, verbose: int = 0) -> None:
        """Does trials until there are none left.

        Alone; or as the chief or a worker, if KerasTuner's environment variables say so. A chief
        that was started by hand keeps the directory for itself, workers do not.

        Args:
            verbose: as for `keras.Model.fit`.

        Raises:
            RunInUseError: for a chief, if another process is at work in the directory.
        """
        by_hand = part_of_a_search() == "chief" and SUPERVISED not in os.environ
        with hold_directory(self.directory) if by_hand else contextlib.nullcontext():
            self._take_part(verbose)

    def _take_part(self, verbose: int) -> None:
        training, run = self.config.run.vqvae_training, self.config.run
        validation = self._parts.validation
        assert validation is not None  # `create` has seen to it
        # Hyperband says by itself how long.
        epochs = {} if self.config.tuner == "hyperband" else {"epochs": training.epochs}
        self._tuner().search(
            image_batches(self._parts.train, training, run.seed, run.data),
            validation_data=ImageBatches(validation, training.batch_size),
            verbose=verbose,
            **epochs,
        )

    def trials(self) -> list[SearchedTrial]:
        """The trials so far; that of the defaults is the first."""
        try:
            return read_trials(self._trials)
        except FileNotFoundError:
            return []

    def ended(self) -> int:
        """How many trials have ended."""
        return sum(trial.ended for trial in self.trials())

    def conclude(self, report: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Writes results and pages, and makes the winner's run.

        Args:
            report: is told in words what happens. Defaults to `None`.

        Returns:
            As `run`.

        Raises:
            ValueError: if no trial has a score.
        """
        trials = self.trials()
        scored = [trial for trial in trials if trial.score is not None]
        if not scored:
            reason = trials[-1].message if trials else "there are no trials"
            remedy = _SMALLER if "max_bits_per_image" in reason else ""
            raise ValueError(
                f"no trial has a score, so that there is no best one: {reason}{remedy}"
            )
        tuner = self._tuner()
        sign = -1 if self.config.best == "max" else 1
        best = min(scored, key=lambda trial: sign * trial.score).name  # type: ignore[operator]
        report = report or (lambda text: None)
        run, note = winners_run(self.directory, tuner, tuner.oracle.get_trial(best), report)
        found = _results(self.config, trials, best)
        found["run"] = run.directory.name
        found["commands"] = [
            prior_command(run.config, run.config, str(run.directory)),
            f"keras-vqvae sample {shlex.quote(str(run.directory))}",
            train_command(_longer(run.config), f"{self.directory}_best"),
        ]
        found["notes"] += [note] if note else []
        self._write_hyperparameters(trials)
        write_state(self.directory / "results.json", found)
        search_page(self.config, trials, found).save(self.page)
        return found

    def _write_hyperparameters(self, trials: Sequence[SearchedTrial]) -> None:
        """A directory for TensorBoard of each trial that has ended and has none yet."""
        for trial in trials:
            folder = self.directory / "tensorboard" / trial.name
            if trial.ended and not folder.exists():
                # Those of held-out images: the page shows the first few at once.
                figures = {k: v for k, v in trial.figures.items() if k.startswith("val_")}
                failed = trial.score is None
                write_hyperparameters(folder, trial.shown_values, figures, failed)

    def _check_scores(self) -> None:
        """Sees to it that trials can be compared.

        Raises:
            ValueError: if there are no validation images, or the likelihood gives them none.
        """
        parts, validation = self._parts, self._parts.validation
        if validation is None:
            raise ValueError(
                "trials are compared on validation images. Received: validation_fraction=0, and "
                "the data has no validation part"
            )
        low, high = parts.value_range()
        images = validation.read(np.arange(min(len(validation), 64))).astype("float32")
        likelihoods.get(self.config.run.vqvae.likelihood).check_scores(
            (images - low) / (high - low)
        )

    def _hypermodel(self) -> VQVAEHyperModel:
        config, parts = self.config, self._parts
        return VQVAEHyperModel(
            parts.train.image_shape,
            config.run,
            parts.value_range(),
            parts.variance(),
            config.max_bits_per_image,
            train_images=len(parts.train),
            **config.space,
        )

    def _tuner(self) -> Any:
        """It is read from its files each time: another process may have gone on with them."""
        config = self.config
        return make_tuner(
            config.tuner,
            self._hypermodel(),
            self._trials,
            config.trials,
            config.run.vqvae_training.epochs,
            config.objective,
            config.best,
            config.run.seed,
        )

    @property
    def _settings(self) -> Path:
        return self.directory / "settings.json"

    @property
    def _trials(self) -> Path:
        return self.directory / "trials"


class _Progress:
    """Counts trials that have ended, and tells of each."""

    def __init__(self, search: Search, report: Callable[[str], None]) -> None:
        self._search = search
        self._report = report
        self._told = {trial.name for trial in search.trials() if trial.ended}

    def __call__(self) -> int:
        for trial in self._search.trials():
            if trial.ended and trial.name not in self._told:
                self._told.add(trial.name)
                score = trial.message if trial.score is None else f"{trial.score:.4f}"
                self._report(f"trial {trial.name}: {score}")
        return len(self._told)


def _results(config: SearchConfig, trials: list[SearchedTrial], best: str) -> dict[str, Any]:
    winner = next(trial for trial in trials if trial.name == best)
    first, gain, notes = defaults_beside(trials, winner), None, []
    if first.epochs != winner.epochs:
        notes.append(
            f"the first trial was trained for {first.epochs} epochs and the best one for "
            f"{winner.epochs}, so that its gain is not known"
        )
    elif first.score is not None and winner.score is not None:
        gain = (first.score - winner.score) * (-1 if config.best == "max" else 1)
    return {
        "objective": config.objective,
        "direction": config.best,
        "defaults": first.name,
        "best": best,
        "gain": gain,
        "trials": [trial._asdict() for trial in trials],
        "notes": notes,
    }


def _longer(run: RunConfig) -> RunConfig:
    """The settings with as many epochs as a run has by default, if that is more."""
    epochs = max(run.vqvae_training.epochs, TrainingConfig().epochs)
    return dataclasses.replace(
        run, vqvae_training=dataclasses.replace(run.vqvae_training, epochs=epochs)
    )


def _others_files(folder: Path) -> list[str]:
    """What is not of a search that chief and workers begin all at once."""
    names = (path.name for path in folder.iterdir())
    return [n for n in names if n not in ("settings.json", "trials") and not n.startswith(".")]


def part_of_a_search() -> str | None:
    """`"chief"`, or the name of a worker, that KerasTuner's environment variables make of this."""
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    return os.environ.get("KERASTUNER_TUNER_ID")
