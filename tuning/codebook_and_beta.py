"""Search for codebook size and β, and what goes with them, by what held-out images cost.

What: KerasTuner trains VQ-VAEs with other settings; the first trial has the defaults. The objective
is bits per dimension: the image given its codes, plus the codes by how often each occurs. The best
model is kept as `best_model.keras`, with the command that trains it in full. A search that was
interrupted goes on with the same command.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python tuning/codebook_and_beta.py --data fashion_mnist_mini --trials 9 --output runs/search
    python tuning/analyse.py runs/search

`--smoke` shows in seconds that everything works.
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np

from keras_vqvae import data, hypermodels, runs


def main(argv=None):
    args = parse(argv)
    images = data.load_images(args.data, "train")
    train, validation = images.split(0.1, seed=args.seed)
    train, validation = (
        part.subset(range(min(args.max_images or len(part), len(part)))).as_array()
        for part in (train, validation)
    )
    config = runs.RunConfig(
        data=runs.DataConfig(args.data),
        vqvae=runs.VQVAEConfig(likelihood="discretized_logistic"),
        vqvae_training=runs.TrainingConfig(epochs=args.epochs),
        seed=args.seed,
        dtype_policy=args.dtype_policy,
        jit_compile=args.jit_compile,
    )
    hypermodel = hypermodels.VQVAEHyperModel(
        train.shape[1:],
        config,
        max_bits_per_image=args.max_bits_per_image,
        **({"width": 8, "embedding_dim": 4, "num_embeddings": [8, 16]} if args.smoke else {}),
    )
    tuner = hypermodels.make_tuner(
        args.tuner,
        hypermodel,
        args.output,
        trials=args.trials,
        epochs=args.epochs,
        objective=args.objective,
        direction=args.direction,
        seed=args.seed,
    )
    # Hyperband says by itself how long.
    epochs = {} if args.tuner == "hyperband" else {"epochs": args.epochs}
    tuner.search(train, validation_data=validation, verbose=2, **epochs)

    trials = hypermodels.read_trials(args.output)
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        sys.exit(f"no trial has a score: {trials[-1].message}")
    choose = max if args.direction == "max" else min
    best = choose(scored, key=lambda trial: trial.score)
    first = scored[0]
    print(f"{args.objective}: {first.score:.4f} by the defaults, {best.score:.4f} by the best")
    path = Path(args.output) / "best_model.keras"
    tuner.get_best_models()[0].save(path)
    command = command_of(hypermodel.config(tuner.get_best_hyperparameters()[0]), args)
    (Path(args.output) / "train_best.sh").write_text(command + "\n", encoding="utf-8")
    print(f"{path}; to train it in full:\n{command}")


def command_of(config, args):
    """`keras-vqvae train` with the settings of a trial."""
    vqvae = config.vqvae
    settings = {
        "data": config.data.source,
        "output": f"{args.output}_best",
        "quantizer": vqvae.quantizer,
        "num-embeddings": vqvae.num_embeddings,
        "embedding-dim": vqvae.embedding_dim,
        "widths": ",".join(map(str, vqvae.widths)),
        "residual-blocks": vqvae.residual_blocks,
        "beta": np.format_float_positional(vqvae.beta, precision=4),
        "update": vqvae.update,
        "decay": vqvae.decay,
        "likelihood": vqvae.likelihood,
        "learning-rate": np.format_float_positional(
            config.vqvae_training.learning_rate, precision=6
        ),
        "seed": config.seed,
    }
    words = [f"--{name}={value}" for name, value in settings.items()]
    return shlex.join(["keras-vqvae", "train", *words])


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist_mini", help="what `load_images` takes")
    parser.add_argument("--tuner", default="random", choices=hypermodels.TUNERS)
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=5, help="of a trial")
    parser.add_argument("--max-images", type=int, help="at most so many of each part")
    parser.add_argument("--max-bits-per-image", type=float, help="budget of the codes")
    parser.add_argument("--objective", default="val_bits_per_dimension")
    parser.add_argument("--direction", default="min", choices=("min", "max"))
    parser.add_argument("--dtype-policy", default="float32")
    parser.add_argument("--jit-compile", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="runs/search", help="directory of the search")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it works")
    args = parser.parse_args(argv)
    if args.smoke:
        args.data, args.trials, args.epochs, args.max_images = "fashion_mnist_mini", 2, 1, 128
    return args


if __name__ == "__main__":
    main()
