"""What a search has found: a table, and plots of it, while it runs or after.

What: reads the directory of a search of `codebook_and_beta.py` or `prior.py`, and writes beside it
`trials.png`: what the codes cost against the error of the images, or what a prior costs against its
size (the front of the best is drawn); the objective over codebook size and β, or over a prior's
width and learning rate; and every trial as a line through its settings.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python tuning/analyse.py runs/search
"""

import argparse
from pathlib import Path

import matplotlib
import searching

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from keras_vqvae import hypermodels

# Read by their logarithm.
LOGARITHMIC = {"num_embeddings", "embedding_dim", "beta", "width", "learning_rate"}
LOGARITHMIC |= {"codebook_learning_rate", "filters", "hidden_dim", "batch_size"}
# What is drawn for a VQ-VAE, and for a prior.
FRONTS = [
    ("val_code_bits_per_dimension", "val_mse", "codes by their histogram, bits per dimension"),
    ("parameters", "val_bits_per_code", "parameters of the prior"),
]
PAIRS = [
    ("num_embeddings", "beta", "codebook size", "β"),
    ("filters", "learning_rate", "filters", "learning rate"),
    ("hidden_dim", "learning_rate", "hidden width", "learning rate"),
]
LABELS = {"val_mse": "mean squared error", "val_bits_per_code": "bits per code"}


@searching.one_line_errors
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="of the search")
    parser.add_argument("--direction", default="min", choices=("min", "max"))
    args = parser.parse_args(argv)
    trials = hypermodels.read_trials(args.directory)
    sign = -1 if args.direction == "max" else 1
    scored = sorted((t for t in trials if t.score is not None), key=lambda t: sign * t.score)
    names = searched(trials)
    print_table(scored, names)
    for trial in trials:
        if trial.score is None:
            print(f"trial {trial.name}: {trial.status} {trial.message}")
    if not scored:
        return
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    plot_front(axes[0], scored)
    plot_pair(axes[1], scored, figure)
    plot_parallel(axes[2], scored, names)
    path = Path(args.directory) / "trials.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(path)


def searched(trials):
    """Names of which trials have different values."""
    names = dict.fromkeys(name for t in trials for name in t.values if "/" not in name)
    return [n for n in names if len({str(t.values.get(n)) for t in trials}) > 1]


def print_table(scored, names):
    print(" ".join(f"{name[:12]:>12}" for name in ("trial", "score", *names)))
    for trial in scored:
        cells = [trial.name, f"{trial.score:.4f}"]
        for name in names:
            value = trial.values.get(name, "")
            cells.append(f"{value:.4g}" if isinstance(value, float) else str(value))
        print(" ".join(f"{cell[:12]:>12}" for cell in cells))


def plot_front(axes, scored):
    """One cost against another; no trial is better in both than one on the front."""
    x, y, label = max(
        FRONTS,
        key=lambda front: sum(front[0] in t.figures and front[1] in t.figures for t in scored),
    )
    both = [t for t in scored if x in t.figures and y in t.figures]
    if not both:
        axes.set_title("no figures to compare")
        return
    points = np.array([[t.figures[x], t.figures[y]] for t in both])
    axes.scatter(*points.T, s=24, color="tab:gray")
    beaten = [(np.all(points <= p, axis=1) & np.any(points < p, axis=1)).any() for p in points]
    front = np.array(sorted(map(tuple, points[~np.array(beaten)])))
    axes.plot(*front.T, "o-", color="tab:blue", ms=5, label="front")
    axes.scatter(*points[0], s=90, marker="*", color="tab:orange", zorder=3, label="best trial")
    title = "rate and distortion" if y == "val_mse" else "size and cost"
    axes.set(xlabel=label, ylabel=LABELS[y], title=title)
    axes.legend()


def plot_pair(axes, scored, figure):
    """The objective of each trial over two of its settings."""
    x, y, xlabel, ylabel = max(
        PAIRS, key=lambda pair: sum(pair[0] in t.values and pair[1] in t.values for t in scored)
    )
    worst_first = [t for t in scored[::-1] if x in t.values and y in t.values]  # best on top
    dots = axes.scatter(
        [t.values[x] for t in worst_first],
        [t.values[y] for t in worst_first],
        c=[t.score for t in worst_first],
        s=110,
        cmap="viridis_r",
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel, title="objective")
    figure.colorbar(dots, ax=axes)


def plot_parallel(axes, scored, names):
    """A line for each trial; the better, the darker."""
    columns, labels = [], []
    for name in (*names, "score"):
        values = [t.score if name == "score" else t.values.get(name) for t in scored]
        if all(isinstance(v, int | float) for v in values):
            column = np.log(values) if name in LOGARITHMIC else np.array(values, float)
            low, high = min(values), max(values)
            labels.append(f"{name}\n{low:.3g} … {high:.3g}")
        else:
            kinds = sorted({str(v) for v in values})
            column = np.array([kinds.index(str(v)) for v in values], float)
            labels.append(f"{name}\n{' … '.join(kinds)}")
        columns.append((column - column.min()) / max(np.ptp(column), 1e-12))
    lines = np.array(columns).T
    for rank, line in reversed(list(enumerate(lines))):
        best = rank == 0
        shade = 0.25 + 0.6 * rank / max(len(lines) - 1, 1)
        axes.plot(line, color="tab:orange" if best else str(shade), lw=2.5 if best else 1)
    axes.set_xticks(range(len(labels)), labels, fontsize="x-small", rotation=30, ha="right")
    axes.set_yticks([])
    axes.set_title("settings; the best trial in orange")


if __name__ == "__main__":
    main()
