"""What a search has found: a table, and plots of it, while it runs or after.

What: reads the directory of a search of `codebook_and_beta.py` or `prior.py`, and writes
`trials.png` there: what the codes cost against the error of the images, or what a prior costs
against its size (the front of the best is drawn); the objective over codebook size and β, or over a
prior's width and learning rate; and every trial as a line through its settings.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python tuning/analyse.py runs/search
"""

import argparse
import json
from pathlib import Path

import searching

from keras_vqvae import hypermodels


def direction_of(directory):
    """Which scores are better: "min" or "max", as the search has kept it beside its trials."""
    for file in (Path(directory) / "trials" / "search.json", Path(directory) / "search.json"):
        if file.exists():
            return json.loads(file.read_text(encoding="utf-8"))["direction"]
    return "min"


@searching.one_line_errors
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="of the search")
    args = parser.parse_args(argv)
    trials = hypermodels.read_trials(args.directory)
    direction = direction_of(args.directory)
    header, rows = hypermodels.trial_table(trials, direction)
    for cells in (header, *rows):
        print(" ".join(f"{cell[:12]:>12}" for cell in cells))
    for trial in trials:
        if trial.score is None:
            print(f"trial {trial.name}: {trial.status} {trial.message}")
    if any(trial.score is not None for trial in trials):
        path = Path(args.directory) / "trials.png"
        hypermodels.plot_trials(trials, path, direction)
        print(path)


if __name__ == "__main__":
    main()
