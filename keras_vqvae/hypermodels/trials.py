"""What a search has found, read from its directory, finished or running."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ENDED", "SearchedTrial", "defaults_beside", "read_trials"]

# Of KerasTuner's statuses; "INVALID" is of a trial that is to be tried again.
ENDED = ("COMPLETED", "FAILED")
# Before the reason of a trial that a tuner of KerasTuner's own has refused.
_REFUSED = "keras_tuner.src.errors.FailedTrialError: "


class SearchedTrial(NamedTuple):
    """A trial of a search.

    Attributes:
        name: KerasTuner's.
        status: `"COMPLETED"`, `"FAILED"`, `"RUNNING"`, ….
        values: the hyperparameters.
        figures: by name, what was logged at the best epoch, as far as it is finite.
        score: the objective, `None` if there is none yet, or none that is a number.
        message: the last line of what went wrong, if something did.
    """

    name: str
    status: str
    values: dict[str, Any]
    figures: dict[str, float]
    score: float | None
    message: str

    @property
    def ended(self) -> bool:
        """Whether it is over: completed or failed, and not to be tried again."""
        return self.status in ENDED

    @property
    def shown_values(self) -> dict[str, Any]:
        """The hyperparameters without those that are KerasTuner's own."""
        return {name: value for name, value in self.values.items() if "/" not in name}

    @property
    def epochs(self) -> int:
        """How many Hyperband trains it for; 0 in other searches, whose trials are equally long."""
        return int(self.values.get("tuner/epochs", 0))


def defaults_beside(trials: Sequence[SearchedTrial], winner: SearchedTrial) -> SearchedTrial:
    """The first trial, or of Hyperband what it was promoted to: what was trained most like another.

    Args:
        trials: all, in the order in which they were begun.
        winner: one of them.

    Returns:
        The longest one that is no longer than the winner, or the winner itself if it is among them.

    Example:
    >>> first = SearchedTrial("0", "COMPLETED", {"tuner/epochs": 2}, {}, 4.0, "")
    >>> promoted = {"tuner/epochs": 6, "tuner/trial_id": "0"}
    >>> longer = SearchedTrial("1", "COMPLETED", promoted, {}, 3.5, "")
    >>> winner = SearchedTrial("2", "COMPLETED", {"tuner/epochs": 6}, {}, 3.2, "")
    >>> defaults_beside([first, longer, winner], winner).name
    '1'
    """
    promoted = {trial.values.get("tuner/trial_id"): trial for trial in trials}
    found, following = trials[0], promoted.get(trials[0].name)
    while following is not None and found != winner and following.epochs <= winner.epochs:
        found, following = following, promoted.get(following.name)
    return found


def read_trials(directory: str | os.PathLike[str]) -> list[SearchedTrial]:
    """The trials of a search in the order in which they were begun.

    Nothing but the files of the search is needed, so that a running one can be looked at.

    Args:
        directory: of a `Search`, or as given to `make_tuner`.

    Raises:
        FileNotFoundError: if there is no search.
        ValueError: if a file of a trial is damaged, naming it.
    """
    folder = Path(directory)
    if (folder / "trials").is_dir():
        folder /= "trials"
    files = sorted(folder.glob("trial_*/trial.json"), key=_number)
    if not files:
        raise FileNotFoundError(
            "`directory` should be that of a search, with folders trial_…. "
            f"Received: {str(folder)!r}"
        )
    return [_read(file) for file in files]


def _number(file: Path) -> tuple[float, str]:
    """KerasTuner counts trials, with as many digits as its `max_trials` then had."""
    name = file.parent.name.removeprefix("trial_")
    return int(name) if name.isdecimal() else math.inf, name


def _read(file: Path) -> SearchedTrial:
    try:
        trial = json.loads(file.read_text(encoding="utf-8"))
        metrics = trial["metrics"]["metrics"]
        logged = {
            name: entry["observations"][-1]["value"][0]
            for name, entry in metrics.items()
            if entry["observations"]
        }
        score, message = trial["score"], (trial.get("message") or "").strip().splitlines()
        if score is not None and not math.isfinite(score):
            score, message = None, message or [f"its objective became {score}"]
        return SearchedTrial(
            trial["trial_id"],
            trial["status"],
            trial["hyperparameters"]["values"],
            {name: value for name, value in logged.items() if math.isfinite(value)},
            score,
            message[-1].removeprefix(_REFUSED) if message else "",
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"the file {str(file)!r} is damaged: {error!r}. Start the search again, which goes on "
            "from the copy beside that file"
        ) from error
