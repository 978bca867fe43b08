"""The command that compares models."""

import dataclasses
from typing import Any

import click

from keras_vqvae.cli.options import (
    Command,
    Filled,
    Interrupted,
    apply_options,
    config_options,
    fit_verbose,
    quiet_start,
    say,
)
from keras_vqvae.cli.tables import print_columns
from keras_vqvae.runs import (
    OPTION_PREFIXES,
    DataConfig,
    RunConfig,
    VQVAEConfig,
    comparison_rows,
)

_DEFAULT = RunConfig(vqvae=VQVAEConfig(likelihood="discretized_logistic"))
# The columns that 80 characters have room for.
_SCREEN = {0: "model", 2: "reconstr.", 3: "latents", 4: "total", 5: "MSE", 6: "Fréchet"}


@click.command(cls=Command)
@click.option(
    "--data",
    "source",
    type=Filled(),
    required=True,
    help="Images: as for train.",
)
@click.option("--output", type=Filled(), required=True, help="Directory of the comparison.")
@click.option(
    "--models",
    default="autoencoder,vae,vqvae",
    show_default=True,
    help="Which: autoencoder, vae, vqvae, or the name of a quantizer (see --quantizer).",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    help="How many images to draw from each model and compare with real ones.  [default: as many "
    "as there are real ones, at most 10000]",
)
@config_options(OPTION_PREFIXES, default=_DEFAULT)
def compare(source: str, output: str, models: str, samples: int | None, **options: Any) -> None:
    """Train an autoencoder, a VAE and VQ-VAEs alike, and show what an image costs under each."""
    config = apply_options(dataclasses.replace(_DEFAULT, data=DataConfig(source)), options)
    names = [name.strip() for name in models.split(",") if name.strip()]
    with quiet_start():
        from keras_vqvae.runs import Comparison
    comparison = Comparison.create(output, config, names)
    try:
        found = comparison.run(samples, fit_verbose(), say)
    except KeyboardInterrupt:
        raise Interrupted(
            f"what is trained is kept in {output}; the same command goes on from there"
        ) from None
    title = f"{found['images']} {found['part']} images, bits per dimension"
    rows = [tuple(row[i] for i in _SCREEN) for row in comparison_rows(found)]
    print_columns(title, _SCREEN.values(), rows)
    for note in found["notes"]:
        click.echo(note)
    for path in (comparison.page, comparison.figures_file):
        click.echo(path)
