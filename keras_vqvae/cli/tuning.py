"""The command that searches for settings."""

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from keras_vqvae.cli.options import (
    Command,
    Filled,
    Interrupted,
    ParamType,
    apply_options,
    config_options,
    fit_verbose,
    quiet_start,
    say,
)
from keras_vqvae.cli.tables import print_columns
from keras_vqvae.runs import DataConfig, RunConfig, TrainingConfig, VQVAEConfig

if TYPE_CHECKING:
    from keras_vqvae.hypermodels import Search, SearchConfig

_DEFAULT = RunConfig(
    vqvae=VQVAEConfig(likelihood="discretized_logistic"), vqvae_training=TrainingConfig(epochs=5)
)
_GROUPS = {"data": "", "vqvae": "", "vqvae_training": ""}


class Searched(ParamType):
    """What is searched of a hyperparameter: `beta=0.1:1`, `width=64,128`, or `update=ema`."""

    name = "name=what"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        if not isinstance(value, str):
            return value
        name, equals, what = value.partition("=")
        if not (name and equals and what):
            self.fail(f"{value!r} should be NAME=LOW:HIGH, NAME=A,B,… or NAME=VALUE", param, ctx)
        name = name.strip().replace("-", "_")
        if ":" in what:
            return name, tuple(_plain(part) for part in what.split(":"))
        if "," in what:
            return name, [_plain(part) for part in what.split(",")]
        return name, _plain(what)


def _plain(text: str) -> Any:
    """A whole number, another number, or a word."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text.strip()


@click.command(cls=Command)
@click.option("--data", "source", type=Filled(), required=True, help="Images: as for train.")
@click.option("--output", type=Filled(), required=True, help="Directory of the search.")
@click.option(
    "--tuner",
    type=click.Choice(["random", "bayesian", "grid", "hyperband"]),
    default="random",
    show_default=True,
    help="Which trials come next.",
)
@click.option("--trials", type=int, default=9, show_default=True, help="How many.")
@click.option(
    "--search",
    "space",
    type=Searched(),
    multiple=True,
    help="What is searched of a hyperparameter: beta=0.1:1 between two values, "
    "num_embeddings=128,256 some, update=ema one. Repeat for others.",
)
@click.option(
    "--objective",
    default="val_bits_per_dimension",
    show_default=True,
    help="What trials are compared by.",
)
@click.option(
    "--direction",
    type=click.Choice(["min", "max"]),
    help="Which is better.  [default: max of usage, perplexity and the like, min of all else]",
)
@click.option(
    "--max-bits-per-image", type=float, help="Models whose codes take more are not trained."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that do trials side by side, with a GPU each if there are any.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where workers are listened to."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Its port.  [default: a free one]")
@config_options(_GROUPS, default=_DEFAULT)
def tune(
    source: str,
    output: str,
    tuner: str,
    trials: int,
    space: tuple[tuple[str, Any], ...],
    objective: str,
    direction: str | None,
    max_bits_per_image: float | None,
    workers: int | None,
    host: str,
    port: int | None,
    **options: Any,
) -> None:
    """Search codebook size, beta and what goes with them, by what held-out images cost.

    The first trial has the defaults, moved into the ranges that are given. A setting that is given
    is not searched. With the environment variables of KerasTuner's chief and workers, this process
    is one of them.
    """
    with quiet_start():
        from keras_vqvae.hypermodels import SearchConfig, fixed_settings
    run = apply_options(dataclasses.replace(_DEFAULT, data=DataConfig(source)), options)
    given = [key.partition("__")[2] for key, value in options.items() if value is not None]
    narrowed = {**fixed_settings(run, given), **dict(space)}
    config = SearchConfig(run, tuner, trials, objective, direction, max_bits_per_image, narrowed)
    _search(output, config, workers, host, port)


def _search(
    output: str, config: "SearchConfig", workers: int | None, host: str, port: int | None
) -> None:
    from keras_vqvae.hypermodels import (
        Search,
        SearchProcessError,
        gain_text,
        part_of_a_search,
        trial_list,
    )

    search = Search.create(output, config)
    try:
        if part_of_a_search() is not None:
            search.take_part(fit_verbose())
            return
        found = search.run(workers, host, port, fit_verbose(), say)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_go_on(search, output)) from None
    except SearchProcessError as error:
        raise click.ClickException(f"{error}. {_how_to_go_on(search, output)}") from error
    rows = trial_list(search.trials(), found["direction"])
    settings = "other than the first"
    print_columns("Trials, the best first", ("trial", "score", settings), rows, {settings})
    click.echo(gain_text(found))
    for note in found["notes"]:
        click.echo(note)
    click.echo("To go on with the best model, or to train its settings in full:")
    for command in found["commands"]:
        click.echo(f"  {command}")
    click.echo(search.page)


def _how_to_go_on(search: "Search", output: str) -> str:
    return f"{search.ended()} trials are kept in {output}; the same command goes on from there"
