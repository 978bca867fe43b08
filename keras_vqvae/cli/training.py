"""Commands that train."""

import errno
import shlex
import time
from typing import TYPE_CHECKING, Any

import click

from keras_vqvae.cli.options import (
    TITLES,
    Command,
    Filled,
    Interrupted,
    apply_options,
    config_options,
    fit_verbose,
    run_class,
    say,
)
from keras_vqvae.cli.tables import print_results
from keras_vqvae.runs import OPTION_PREFIXES, DataConfig, RunConfig, demo_config

if TYPE_CHECKING:
    from keras_vqvae.runs import Run

# No room, no right to write, or a disk that fails: nothing that other arguments would mend.
_FULL_OR_CLOSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}

_TENSORBOARD = click.option(
    "--tensorboard",
    is_flag=True,
    help="Write event files to tensorboard/: losses, reconstructions, codes, samples.",
)
_CHECKPOINTS = click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="How often to write a checkpoint within an epoch.",
)


@click.command(cls=Command)
@click.option(
    "--output",
    type=Filled(),
    default="runs/demo",
    show_default=True,
    help="Directory of the run.",
)
@click.option("--smoke", is_flag=True, help="Seconds instead of minutes, to see that it works.")
@click.option("--overwrite", is_flag=True, help="Begin anew what is there.")
def demo(output: str, smoke: bool, overwrite: bool) -> None:
    """Train on the bundled images, draw new ones, evaluate: about 5 minutes on 2 CPU cores."""
    run = run_class().create(output, demo_config(smoke), overwrite=overwrite)
    _train(run, overwrite=overwrite)


@click.command(cls=Command)
@click.option(
    "--data",
    "source",
    type=Filled(),
    required=True,
    help="A folder or archive of images, .npz, .npy, or fashion_mnist_mini, fashion_mnist, mnist, "
    "cifar10.",
)
@click.option("--output", type=Filled(), required=True, help="Directory of the run.")
@click.option(
    "--stage",
    type=click.Choice(["all", "vqvae", "prior"]),
    default="all",
    show_default=True,
    help="What to train.",
)
@click.option("--overwrite", is_flag=True, help="Begin anew what is there.")
@_TENSORBOARD
@_CHECKPOINTS
@config_options(OPTION_PREFIXES)
def train(
    source: str,
    output: str,
    stage: str,
    overwrite: bool,
    tensorboard: bool,
    checkpoint_minutes: float,
    **options: Any,
) -> None:
    """Train a VQ-VAE on images, and a prior on their codes."""
    if overwrite and stage == "prior":
        again = shlex.join(["keras-vqvae", "prior", output, "--overwrite"])
        raise click.UsageError(
            "--overwrite would remove the VQ-VAE whose codes --stage prior learns. "
            f"`{again}` begins the prior alone anew"
        )
    config = apply_options(RunConfig(data=DataConfig(source)), options)
    run = run_class().create(output, config, overwrite=overwrite)
    _train(run, stage, overwrite, tensorboard=tensorboard, checkpoint_minutes=checkpoint_minutes)


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=Filled())
@click.option("--overwrite", is_flag=True, help="Begin the prior anew; the VQ-VAE stays.")
@_TENSORBOARD
@_CHECKPOINTS
@config_options({"prior": "", "prior_training": ""}, top=False, show_defaults=False)
def prior(
    run: str, overwrite: bool, tensorboard: bool, checkpoint_minutes: float, **options: Any
) -> None:
    """Train the prior of a run whose VQ-VAE is trained.

    Settings that are not given stay as they are in the run.
    """
    opened = run_class().open(run)
    config = apply_options(opened.config, options)
    changed = opened.change_prior(config.prior, config.prior_training, overwrite)
    _train(
        changed, "prior", overwrite, tensorboard=tensorboard, checkpoint_minutes=checkpoint_minutes
    )


def _train(run: "Run", stage: str = "all", overwrite: bool = False, **settings: Any) -> None:
    start = time.perf_counter()
    try:
        metrics = run.train(stage, fit_verbose(), report=say, **settings)
    except (KeyboardInterrupt, OSError) as error:
        raise ending(run, stage, error, overwrite) from error
    print_results(run, metrics, time.perf_counter() - start)


def ending(run: "Run", stage: str, error: BaseException, overwrite: bool = False) -> BaseException:
    """What a command ends with, when training ended with this."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(_how_to_go_on(run, stage, overwrite))
    if isinstance(error, OSError) and error.errno in _FULL_OR_CLOSED:
        what = f"{error.strerror}: {error.filename!r}"
        return click.ClickException(f"{what}. {_how_to_go_on(run, stage, overwrite)}")
    return error


def _how_to_go_on(run: "Run", stage: str, overwrite: bool) -> str:
    """Where an interrupted run stands."""
    command = "the same command without --overwrite" if overwrite else "the same command"
    for name in ("vqvae", "prior") if stage == "all" else (stage,):
        if not run.finished(name):
            done = run.progress(name)
            total = getattr(run.config, f"{name}_training").epochs
            steps = f" and {done.steps} steps" if done.steps else ""
            return (
                f"{done.epochs} of {total} epochs{steps} of the {TITLES[name]} are kept in "
                f"{run.directory}; {command} goes on from there"
            )
    return f"both models are kept in {run.directory}; {command} goes on from there"
