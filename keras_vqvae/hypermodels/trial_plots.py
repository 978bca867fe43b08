"""Trials of a search as pictures."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_vqvae.hypermodels.trials import SearchedTrial

__all__ = ["plot_trials", "searched_names", "trial_drawings"]

# Read by their logarithm.
_LOGARITHMIC = {
    *("num_embeddings", "embedding_dim", "beta", "width", "learning_rate"),
    *("codebook_learning_rate", "filters", "hidden_dim", "batch_size"),
}


class _Plane(NamedTuple):
    """The names of what is drawn along two axes, and what stands on them."""

    x: str
    y: str
    xlabel: str
    ylabel: str

    def fits(self, found: Mapping[str, Any]) -> bool:
        """Whether there are numbers of both names."""
        return self.x in found and self.y in found


# What costs are drawn against one another, for a VQ-VAE and for a prior, by title.
_FRONTS = {
    "rate and distortion": _Plane(
        *("val_code_bits_per_dimension", "val_mse"),
        *("codes by their histogram, bits per dimension", "mean squared error"),
    ),
    "size and cost": _Plane(
        *("parameters", "val_bits_per_code"),
        *("parameters of the prior", "bits per code"),
    ),
}
# Over which settings the objective is drawn.
_PAIRS = (
    _Plane("num_embeddings", "beta", "codebook size", "β"),
    _Plane("filters", "learning_rate", "filters", "learning rate"),
    _Plane("hidden_dim", "learning_rate", "hidden width", "learning rate"),
)
_BEST, _OTHERS, _FRONT = "#c2571a", "#777777", "#2563a8"


def searched_names(trials: Sequence[SearchedTrial]) -> list[str]:
    """Names of the hyperparameters that are not the same in all trials."""
    names = dict.fromkeys(name for trial in trials for name in trial.shown_values)
    return [n for n in names if len({str(t.values.get(n)) for t in trials}) > 1]


def plot_trials(
    trials: Sequence[SearchedTrial], path: str | os.PathLike[str], direction: str = "min"
) -> None:
    """Draws what a search has found, side by side: see `trial_drawings`.

    Args:
        trials: as `read_trials` gives them; those without a score are left out.
        path: a file whose name ends in `.png`, `.svg` or `.pdf`.
        direction: of the objective, `"min"` or `"max"`. Defaults to `"min"`.

    Raises:
        ValueError: if no trial has a score.
    """
    from matplotlib.figure import Figure

    drawings = trial_drawings(trials, direction)
    figure = Figure(figsize=(4.7 * len(drawings), 4.2), layout="constrained")
    panels = figure.subplots(1, len(drawings), squeeze=False)[0]
    for axes, (title, draw) in zip(panels, drawings.items(), strict=True):
        draw(axes)
        axes.set_title(title)
    figure.savefig(path, dpi=120)


def trial_drawings(
    trials: Sequence[SearchedTrial], direction: str = "min"
) -> dict[str, Callable[[Any], None]]:
    """What can be drawn of a search, by title: functions of Matplotlib's axes.

    Rate against distortion with the front (of priors: bits per code against size), the objective
    over codebook size and β (of priors: over width and learning rate), and each trial as a line
    through its settings; of these what the trials have figures for.

    Args:
        trials: as `read_trials` gives them; those without a score are left out.
        direction: of the objective, `"min"` or `"max"`. Defaults to `"min"`.

    Raises:
        ValueError: if no trial has a score.
    """
    sign = -1 if direction == "max" else 1
    best_first = sorted((t for t in trials if t.score is not None), key=lambda t: sign * _score(t))
    if not best_first:
        raise ValueError("`trials` should have a score, one of them at least")
    names = searched_names(best_first)
    title = max(_FRONTS, key=lambda one: sum(_FRONTS[one].fits(t.figures) for t in best_first))
    front = _FRONTS[title]
    pair = max(_PAIRS, key=lambda one: sum(one.fits(t.values) for t in best_first))
    with_front = [trial for trial in best_first if front.fits(trial.figures)]
    with_pair = [trial for trial in best_first if pair.fits(trial.values)]
    found: dict[str, Callable[[Any], None]] = {}
    if with_front:
        found[title] = lambda axes: _front(axes, with_front, front)
    if with_pair:
        found[f"objective over {pair.xlabel} and {pair.ylabel}"] = lambda axes: _objective(
            axes, with_pair, pair, sign
        )
    found["settings of each trial, the best in orange"] = lambda axes: _parallel(
        axes, best_first, names
    )
    return found


def _score(trial: SearchedTrial) -> float:
    assert trial.score is not None
    return trial.score


def _front(axes: Any, best_first: Sequence[SearchedTrial], front: _Plane) -> None:
    """One cost against another; no trial is better in both than one on the front."""
    x, y, xlabel, ylabel = front
    points = np.array([[t.figures[x], t.figures[y]] for t in best_first])
    axes.scatter(*points.T, s=24, color=_OTHERS)
    beaten = [(np.all(points <= p, axis=1) & np.any(points < p, axis=1)).any() for p in points]
    unbeaten = np.array(sorted(map(tuple, points[~np.array(beaten)])))
    if (unbeaten != points[0]).any():  # else the star is all of it
        axes.plot(*unbeaten.T, "o-", color=_FRONT, ms=5, label="front")
    axes.scatter(*points[0], s=110, marker="*", color=_BEST, zorder=3, label="best trial")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend()


def _objective(axes: Any, best_first: Sequence[SearchedTrial], pair: _Plane, sign: int) -> None:
    """The objective of each trial over two of its settings."""
    x, y, xlabel, ylabel = pair
    worst_first = best_first[::-1]  # so that the best are on top
    dots = axes.scatter(
        [t.values[x] for t in worst_first],
        [t.values[y] for t in worst_first],
        c=[_score(t) for t in worst_first],
        s=110,
        cmap="viridis_r" if sign > 0 else "viridis",
    )
    axes.set_xscale("log", base=2)
    if all(t.values[y] > 0 for t in best_first):
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        # Within one decade, or one power of two, there may be no other ticks to read.
        low, high = axis.get_view_interval()
        shown = sum(low <= tick <= high for tick in axis.get_majorticklocs())
        axis.set_minor_formatter("{x:g}" if shown < 2 else "")
    axes.figure.colorbar(dots, ax=axes, label=_objective_name(best_first))


def _objective_name(trials: Sequence[SearchedTrial]) -> str:
    """The figure that is the score of every trial."""
    shared = (n for n in trials[0].figures if all(t.figures.get(n) == t.score for t in trials))
    return next(shared, "objective")


def _parallel(axes: Any, best_first: Sequence[SearchedTrial], names: Sequence[str]) -> None:
    """A line for each trial; the better, the darker."""
    columns, labels = [], []
    for name in (*names, "score"):
        values: list[Any] = [t.score if name == "score" else t.values.get(name) for t in best_first]
        if all(isinstance(v, int | float) for v in values):
            logarithmic = name in _LOGARITHMIC and min(values) > 0
            column = np.log(values) if logarithmic else np.array(values, float)
            ends = [f"{min(values):.4g}", f"{max(values):.4g}"]
        else:
            words = ["–" if v is None else str(v) for v in values]
            kinds = sorted(set(words))
            column = np.array([kinds.index(word) for word in words], float)
            there = [kind for kind in kinds if kind != "–"] or kinds
            ends = list(dict.fromkeys((there[0], there[-1])))
        labels.append(f"{name}\n{' … '.join(ends)}")
        columns.append((column - column.min()) / max(np.ptp(column), 1e-12))
    lines = np.array(columns).T
    for rank, line in reversed(list(enumerate(lines))):
        shade = 0.25 + 0.6 * rank / max(len(lines) - 1, 1)
        style = {"color": _BEST, "lw": 2.5} if rank == 0 else {"color": str(shade), "lw": 1}
        axes.plot(line, **style)
    axes.set_xticks(range(len(labels)), labels, fontsize="x-small", rotation=90)
    axes.set_yticks([])
