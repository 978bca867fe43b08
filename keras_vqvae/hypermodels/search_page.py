"""The page of a search, and its table."""

from collections.abc import Sequence
from typing import Any

from keras_vqvae.evaluation import Page, svg_plot
from keras_vqvae.hypermodels.search_config import SearchConfig
from keras_vqvae.hypermodels.trial_plots import searched_names, trial_drawings
from keras_vqvae.hypermodels.trials import SearchedTrial

__all__ = ["gain_text", "search_page", "trial_list", "trial_table"]


def trial_table(
    trials: Sequence[SearchedTrial], direction: str
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Header and rows, the best trial first, those without a score last."""
    names = searched_names(trials)
    sign = -1 if direction == "max" else 1
    ordered = sorted(trials, key=lambda t: (t.score is None, sign * (t.score or 0.0)))
    rows = [
        (
            trial.name,
            "–" if trial.score is None else f"{trial.score:.4f}",
            *(_shown(trial.values.get(name)) for name in names),
        )
        for trial in ordered
    ]
    return ["trial", "score", *names], rows


def trial_list(trials: Sequence[SearchedTrial], direction: str) -> list[tuple[str, str, str]]:
    """Name, score, and in which settings a trial differs from the first, the best trial first."""
    header, rows = trial_table(trials, direction)
    names = header[2:]
    (first,) = (row for row in rows if row[0] == trials[0].name)
    return [
        (
            row[0],
            row[1],
            " ".join(
                f"{name}={cell}"
                for name, cell, before in zip(names, row[2:], first[2:], strict=True)
                if cell != before and cell != "–"
            )
            or ("the first trial" if row[0] == first[0] else "–"),
        )
        for row in rows
    ]


def gain_text(found: dict[str, Any]) -> str:
    """What the best trial gains over the first, in words.

    The first has the defaults, or what was given in their place.
    """
    scores = {trial["name"]: trial["score"] for trial in found["trials"]}
    first, best = scores[found["defaults"]], scores[found["best"]]
    if found["gain"] is None:
        before = "none" if first is None else f"{first:.4f}"
        return (
            f"{found['objective']}: {best:.4f} by trial {found['best']}; the first trial has "
            f"{before}"
        )
    if found["best"] == found["defaults"]:
        return f"{found['objective']}: {best:.4f} by the first trial, which no other beats"
    share = 100 * found["gain"] / abs(first) if first else 0.0
    return (
        f"{found['objective']}: {first:.4f} by the first trial, {best:.4f} by trial "
        f"{found['best']}: {share:.1f} % better"
    )


def search_page(
    config: SearchConfig, trials: Sequence[SearchedTrial], found: dict[str, Any]
) -> Page:
    """The page of a search that is over.

    Args:
        config: its settings.
        trials: all of them.
        found: its results.
    """
    failed = [trial for trial in trials if trial.score is None]
    page = Page(
        "keras_vqvae: a search",
        f"{len(trials)} trials of up to {config.run.vqvae_training.epochs} epochs on "
        f"{config.run.data.source}, by {config.tuner} search.",
    )
    page.section("What was found", gain_text(found) + ".")
    header, rows = trial_table(trials, found["direction"])
    page.columns(header, rows)
    for text in (
        f"Trial {found['defaults']} has the settings of the first: the defaults, or what was given "
        "in their place. "
        f"The best run is in {found['run']}/.",
        *found["notes"],
        *(f"Trial {trial.name}: {trial.message}" for trial in failed),
    ):
        page.note(text)
    page.section("Trials")
    for title, draw in trial_drawings(trials, found["direction"]).items():
        page.plot(svg_plot(draw), title)
    page.section("How to go on", "With the best model; and its settings, trained in full.")
    for command in found["commands"]:
        page.command(command)
    return page


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
