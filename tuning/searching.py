"""What the searches of this folder share: options, the search itself, and what is left of it.

What: no script of its own; `codebook_and_beta.py` and `prior.py` are.
"""

import argparse
import dataclasses
import functools
import sys
from pathlib import Path

from keras_vqvae import hypermodels


def one_line_errors(main):
    """What a user can put right is one line and exit status 2; a process that died, status 1."""

    @functools.wraps(main)
    def wrapped(argv=None):
        try:
            return main(sys.argv[1:] if argv is None else argv)
        except (ValueError, OSError, hypermodels.SearchProcessError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1 if isinstance(error, hypermodels.SearchProcessError) else 2)

    return wrapped


def options(doc, output):
    """A parser with the options that all searches have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist_mini", help="what `load_images` takes")
    parser.add_argument("--tuner", default="random", choices=hypermodels.TUNERS)
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=5, help="of a trial")
    parser.add_argument("--max-images", type=int, help="at most so many of each part")
    parser.add_argument(
        "--objective",
        help="a name in the logs  [default: val_bits_per_dimension, of priors val_bits_per_code]",
    )
    parser.add_argument("--direction", choices=("min", "max"), help="which is better")
    parser.add_argument("--schedule", choices=("constant", "cosine"), help="of the learning rate")
    parser.add_argument(
        "--dtype-policy", choices=("float32", "mixed_bfloat16", "mixed_float16"), help="of Keras"
    )
    parser.add_argument("--jit-compile", choices=("auto", "on", "off"), help="XLA for training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default=output, help="directory of the search")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it works")
    return parser


def parse(parser, argv):
    args = parser.parse_args(argv)
    if args.smoke:
        args.data, args.epochs, args.max_images = "fashion_mnist_mini", 1, 128
        args.trials = min(args.trials, 2)
    return args


def configured(config, group, args):
    """The settings of a run, its training `group` and the rest, with the options that are given."""
    training = given(args, "schedule", "epochs")
    return dataclasses.replace(
        config,
        **{group: dataclasses.replace(getattr(config, group), **training)},
        **given(args, "dtype_policy", "jit_compile"),
    )


def given(args, *names):
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def make_tuner(args, hypermodel):
    return hypermodels.make_tuner(
        args.tuner,
        hypermodel,
        args.output,
        trials=args.trials,
        epochs=args.epochs,
        objective=args.objective,
        seed=args.seed,
        **given(args, "direction"),
    )


def search(args, hypermodel, *data, validation_data):
    """Runs the search and keeps its best model; gives the best hyperparameters."""
    tuner = make_tuner(args, hypermodel)
    # Hyperband says by itself how long.
    epochs = {} if args.tuner == "hyperband" else {"epochs": args.epochs}
    tuner.search(*data, validation_data=validation_data, verbose=2, **epochs)
    trials = hypermodels.read_trials(args.output)
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        sys.exit(f"no trial has a score: {trials[-1].message}")
    choose = max if args.direction == "max" else min
    best = choose(scored, key=lambda trial: trial.score)
    # The first trial, or what Hyperband promoted it to. Over a budget there is no score.
    beside = hypermodels.defaults_beside(trials, best)
    first = f"{beside.score:.4f}" if beside.score is not None else "no score"
    if beside.epochs != best.epochs:
        first += f" (of {beside.epochs} epochs, the best one of {best.epochs})"
    objective = tuner.oracle.objective.name
    print(f"{objective}: {first} by the defaults, {best.score:.4f} by the best")
    tuner.get_best_models()[0].save(Path(args.output) / "best_model.keras")
    return tuner.get_best_hyperparameters()[0]


def keep_command(args, command):
    """Leaves the command behind that trains the best model in full."""
    folder = Path(args.output)
    (folder / "train_best.sh").write_text(command + "\n", encoding="utf-8")
    print(f"{folder / 'best_model.keras'}; to train it in full:\n{command}")
