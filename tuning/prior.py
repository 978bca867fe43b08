"""Search for the prior of a VQ-VAE, by what held-out codes cost.

What: KerasTuner trains priors with other settings on the codes of one run; the first trial has the
defaults. The objective is bits per code of held-out images. The best model is kept as
`best_model.keras`, with the command that trains it in full. A search that was interrupted goes on
with the same command. Without `--run`, a VQ-VAE is trained first, in a directory beside the search.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python tuning/prior.py --run runs/demo --trials 9 --output runs/prior_search
    python tuning/analyse.py runs/prior_search

`--smoke` shows in seconds that everything works.
"""

import dataclasses
import shlex
from pathlib import Path

import keras
import numpy as np
import searching

from keras_vqvae import hypermodels, runs

_GATED = {"filters": [8, 16], "embedding_dim": 8, "blocks": 1}
SMOKE = {
    "pixelcnn": {"filters": [8, 16], "embedding_dim": 8, "residual_blocks": 1},
    "gated_pixelcnn": _GATED,
    "pixelsnail": {**_GATED, "num_heads": 2},
    "transformer": {"hidden_dim": [16, 32], "blocks": 1, "num_heads": 2},
}


@searching.one_line_errors
def main(argv=None):
    parser = searching.options(__doc__, "runs/prior_search")
    parser.add_argument("--run", help="directory of a run whose VQ-VAE is trained")
    parser.add_argument(
        "--family", default="pixelcnn", help="pixelcnn, gated_pixelcnn, pixelsnail, transformer"
    )
    parser.add_argument("--max-parameters", type=int, help="budget of the prior")
    parser.add_argument(
        "--train-best", action="store_true", help="train the best of a finished search in full"
    )
    args = searching.parse(parser, argv)
    run = opened(args)
    config = searching.configured(run.config, "prior_training", args)
    train, held_out = (part_of(run, name, args.max_images) for name in ("train", "validation"))
    hypermodel = hypermodel_of(run, config, train, args)
    if args.train_best:
        train_best(run, config, train, held_out, args)
        return
    best = searching.search(args, hypermodel, *train, validation_data=held_out)
    searching.keep_command(args, command_of(run, config, hypermodel, best, argv))


def opened(args):
    """The run whose codes are learned."""
    if args.run is not None:
        return runs.Run.open(args.run)
    config = runs.demo_config(smoke=True) if args.smoke else runs.RunConfig()
    data = dataclasses.replace(config.data, source=args.data, **searching.given(args, "max_images"))
    others = searching.given(args, "seed", "dtype_policy", "jit_compile")
    config = dataclasses.replace(config, data=data, **others)
    args.run = f"{args.output}_run"
    run = runs.Run.create(args.run, config)
    run.train("vqvae", verbose=2)
    return run


def part_of(run, name, limit):
    """Codes, and labels for a prior that is conditioned on them."""
    found = run.codes(name)
    count = len(found.codes)
    # Evenly spread: codes of a folder of images come class by class.
    chosen = np.arange(count) if limit is None else np.unique(np.arange(limit) * count // limit)
    parts = (found.codes, found.labels) if run.config.prior.conditional else (found.codes,)
    return tuple(part[chosen] for part in parts)


def hypermodel_of(run, config, train, args):
    vqvae, classes = run.vqvae(), None
    if run.config.prior.conditional:
        names = run.parts.train.class_names
        classes = int(run.codes("train").labels.max()) + 1 if names is None else len(names)
    families = args.family.split(",")
    space = {"batch_size": config.prior_training.batch_size}
    if args.smoke:
        for family in families:
            space |= SMOKE.get(family, {})
    return hypermodels.PriorHyperModel(
        vqvae.code_shape,
        vqvae.num_embeddings,
        config,
        family=families,
        num_classes=classes,
        codes_fingerprint=vqvae.fingerprint(),
        max_parameters=args.max_parameters,
        train_images=len(train[0]),
        **space,
    )


def command_of(run, config, hypermodel, best, argv):
    """`keras-vqvae prior` with the settings of a trial, or this script where a run has no such."""
    other = shlex.join(["python", "tuning/prior.py", *argv, "--train-best"])
    if (config.dtype_policy, config.jit_compile) != (
        run.config.dtype_policy,
        run.config.jit_compile,
    ):
        return other
    try:
        found = hypermodel.config(best)
    except ValueError:
        return other
    full = in_full(found, run)
    return runs.prior_command(full, run.config, str(run.directory), run.files.has_begun("prior"))


def in_full(config, run):
    """The settings of a trial with at least as many epochs as a run has by default."""
    least = (run.config.prior_training.epochs, runs.TrainingConfig().epochs)
    epochs = max(config.prior_training.epochs, *least)
    training = dataclasses.replace(config.prior_training, epochs=epochs)
    return dataclasses.replace(config, prior_training=training)


def train_best(run, config, train, held_out, args):
    """The best prior in full, on all codes; its best epoch is kept."""
    hypermodel = hypermodel_of(run, config, train, args)
    best = searching.make_tuner(args, hypermodel).get_best_hyperparameters()
    if not best:
        raise ValueError(f"the search in {args.output!r} has no trial yet. Leave --train-best out")
    full = in_full(config, run)
    if not args.smoke:
        train, held_out = (part_of(run, name, None) for name in ("train", "validation"))
    model = hypermodel_of(run, full, train, args).build(best[0])
    path = Path(args.output) / "prior.keras"
    model.fit(
        *train,
        batch_size=best[0].get("batch_size"),
        epochs=1 if args.smoke else full.prior_training.epochs,
        validation_data=held_out,
        callbacks=[keras.callbacks.ModelCheckpoint(path, "val_loss", save_best_only=True)],
        verbose=2,
    )
    print(path)


if __name__ == "__main__":
    main()
