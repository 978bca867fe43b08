"""The run of the trial that has won."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_vqvae.runs import Run, with_absolute_source

__all__ = ["winners_run"]

_BEST = "best"


def winners_run(
    directory: Path, tuner: Any, best: Any, report: Callable[[str], None]
) -> tuple[Run, str | None]:
    """The run of a trial, made if it is not there, its VQ-VAE trained and evaluated.

    It is `best/`, in the place of an earlier winner's whose prior has not begun; else beside it.

    Args:
        directory: of the search.
        tuner: of the search, which loads the trial's model.
        best: the trial.
        report: is told in words what happens.

    Returns:
        The run, and a note if it stands beside another one.
    """
    config = tuner.hypermodel.config(best.hyperparameters)
    for name in _names(best.trial_id):
        place = directory / name
        try:
            run = Run.open(place)
        except FileNotFoundError:
            run = Run.create(place, config)
            break
        # Its prior may have other settings by now: it is the VQ-VAE that has won.
        others = run.config.differences(with_absolute_source(config))
        if all(difference.startswith("prior") for difference in others):
            break
        if name == _BEST and not run.files.has_begun("prior"):
            run = Run.create(place, config, overwrite=True)
            break
    if not run.finished("vqvae"):
        run.take_over(tuner.load_model(best))
    run.train("vqvae", verbose=0, report=report)
    if name == _BEST:
        return run, None
    return run, f"{_BEST}/ has another run, whose prior has begun: see {name}/"


def _names(trial: str) -> Iterator[str]:
    """Where the run may be, beside others whose prior has begun."""
    yield _BEST
    yield f"{_BEST}_{trial}"
    for number in itertools.count(2):
        yield f"{_BEST}_{trial}_{number}"
