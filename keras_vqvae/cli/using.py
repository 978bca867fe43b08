"""Commands that use a run."""

import json
from pathlib import Path
from typing import Any

import click

from keras_vqvae.cli.options import TITLES, Command, Filled, bars, run_class, say
from keras_vqvae.cli.tables import print_facts, print_table
from keras_vqvae.runs import figure_rows

_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
# Names of one picture each, which are no good for a folder of many.
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_RUN = click.argument("run", metavar="RUN", type=Filled())


@click.command(cls=Command)
@_RUN
@click.option("-n", "count", default=16, show_default=True, help="How many images.")
@click.option("--label", help="Class to draw, by number or name, for a conditional prior.")
@click.option(
    "--temperature", default=1.0, show_default=True, help="Below 1: more probable codes. 0: greedy."
)
@click.option("--top-k", type=int, help="Draw among the k most probable codes.")
@click.option("--top-p", type=float, help="Draw among the codes that hold this probability.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    help="Another seed gives other images.  [default: the run's, plus N - 1 for samples_N.png]",
)
@click.option("--output", type=Filled(), help="PNG file.  [default: RUN/samples_1.png, _2, ...]")
@_OVERWRITE
def sample(
    run: str,
    count: int,
    label: str | None,
    seed: int | None,
    output: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Draw new images into one PNG; others each time, unless --seed or --output is given."""
    if count < 1:
        raise click.BadParameter(f"-n should be at least 1. Received: {count}")
    opened = run_class().open(run)
    from keras_vqvae.seeds import part_seed

    if output is None:
        number, path = _free_name(Path(run))
        seed = part_seed(opened.config.seed, number - 1) if seed is None else seed
    else:
        path = _output_file(output, ".png", overwrite)
    from keras_vqvae.evaluation import image_grid

    labels = opened.label_number(label)
    images = opened.sample(count, labels=labels, seed=seed, verbose=bars(), **options)
    image_grid(images, value_range=opened.vqvae().value_range, path=path)
    click.echo(path)


@click.command(cls=Command)
@_RUN
@click.option("--data", type=Filled(), required=True, help="Images: as for train.")
@click.option("--output", type=Filled(), required=True, help="Code file (.npz).")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Which part of the images.  [default: test if they have it, else train, which is all of "
    "images without parts]",
)
@_OVERWRITE
def encode(run: str, data: str, output: str, split: str | None, overwrite: bool) -> None:
    """Turn images into a file of codes."""
    opened = run_class().open(run)
    path = _output_file(output, ".npz", overwrite)
    part, images = opened.other_images(data, split)
    file = opened.encode(images, path, verbose=bars())
    of_part = "" if part is None else f" of the {part} part"
    shape = "x".join(map(str, file.codes.shape[1:]))
    click.echo(
        f"{output}: {len(images)} images{of_part}, {shape} codes below {file.num_embeddings}"
    )


@click.command(cls=Command)
@_RUN
@click.argument("codes", metavar="CODES.npz", type=Filled())
@click.option(
    "--output", type=Filled(), required=True, help="A folder for PNG files, or an .npz file."
)
@_OVERWRITE
def decode(run: str, codes: str, output: str, overwrite: bool) -> None:
    """Turn a file of codes into images."""
    opened = run_class().open(run)
    path = _output_of_images(output, overwrite)
    from keras_vqvae.evaluation import to_bytes

    images = to_bytes(opened.decode(codes, verbose=bars()), opened.vqvae().value_range)
    _write_images(path, images)
    click.echo(f"{output}: {len(images)} images")


@click.command(cls=Command)
@_RUN
@click.option(
    "--data", type=Filled(), help="Other images.  [default: the run's test or validation images]"
)
@click.option(
    "--samples",
    type=int,
    help="How many images to draw and compare with real ones.  [default: as many as there are real "
    "ones, at most 10000]",
)
@click.option(
    "--report",
    "page",
    type=Filled(),
    help="The page.  [default: RUN/report.html; with --data, none]",
)
@_OVERWRITE
def evaluate(
    run: str, data: str | None, samples: int | None, page: str | None, overwrite: bool
) -> None:
    """Figures on images that were not trained on: a table, metrics.json, and report.html."""
    opened = run_class().open(run)
    if page is not None:
        _output_file(page, ".html", overwrite, "--report")
    figures = opened.write_report(data, samples, page, verbose=bars(), report=say)
    rows = figure_rows(figures, "" if data else None)
    print_table(f"Results on {figures['vqvae']['images']} images: {figures['part']}", rows)
    for note in figures["notes"]:
        click.echo(note)
    if page is not None or data is None:
        click.echo(page or opened.files.report)


@click.command(cls=Command)
@_RUN
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def info(run: str, as_json: bool) -> None:
    """Show settings, progress, versions, device, fingerprints and sizes of a run."""
    found = run_class(models=False).open(run).info()
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    metrics = found["metrics"]
    for stage, state in found["stages"].items():
        facts = {
            "finished": "yes" if state["finished"] else "no",
            "epochs": f"{state['epochs']} of {state['of_epochs']}",
            "best epoch": state["best_epoch"],
            "seconds": f"{state['seconds']:.0f}",
            **metrics.get(stage, {}),
        }
        print_facts(TITLES[stage], facts)
    data = dict(metrics.get("data", {}))
    names = data.pop("skipped_files", [])
    print_facts("Data", {**data, **({"skipped": "; ".join(names[:10])} if names else {})})
    print_facts("Made with", metrics.get("environment", {}))
    settings = {k: v for k, v in found["config"].items() if not isinstance(v, dict)}
    for group, values in found["config"].items():
        if isinstance(values, dict):
            settings.update({f"{group}.{name}": value for name, value in values.items()})
    print_facts("Settings", settings)
    print_facts("Files", {name: f"{size:,} bytes" for name, size in found["files"].items()})


def _output_file(output: str, suffix: str, overwrite: bool, option: str = "--output") -> Path:
    """A file of this kind; checked before the work that it is for."""
    path = Path(output)
    if path.suffix.lower() != suffix or path.is_dir():
        folder = ", which is a folder" if path.is_dir() else ""
        raise ValueError(f"{option} should be a file named *{suffix}. Received: {output!r}{folder}")
    return _free(path, overwrite, option)


def _output_of_images(output: str, overwrite: bool) -> Path:
    """A folder for PNG files or a file of arrays; checked before there are images."""
    path = Path(output)
    if path.suffix.lower() == ".npz":
        return _output_file(output, ".npz", overwrite)
    if path.exists() and not path.is_dir():
        raise _not_for_images(f"{output!r}, which is a file")
    if path.suffix.lower() in _PICTURES and not path.is_dir():
        raise _not_for_images(f"{output!r}, which would be one picture")
    return _free(path, overwrite)


def _not_for_images(received: str) -> ValueError:
    return ValueError(
        f"--output should be a folder for PNG files, or a file named *.npz. Received: {received}"
    )


def _free(path: Path, overwrite: bool, option: str = "--output") -> Path:
    """A path that can be written to, as far as can be seen, and that nothing is lost at."""
    above = next((parent for parent in path.parents if parent.exists()), path)
    if above != path and not above.is_dir():
        raise ValueError(
            f"{option} should lie in a folder. Received: {str(path)!r}, and {str(above)!r} is a "
            "file"
        )
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and not overwrite:
        raise FileExistsError(
            f"the output {str(path)!r} exists. Give another one, or --overwrite to replace it"
        )
    return path


def _free_name(folder: Path) -> tuple[int, Path]:
    number = 1
    while (folder / f"samples_{number}.png").exists():
        number += 1
    return number, folder / f"samples_{number}.png"


def _write_images(path: Path, images: Any) -> None:
    import numpy as np

    from keras_vqvae.data import atomic_write
    from keras_vqvae.evaluation import save_image

    if path.suffix.lower() == ".npz":
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, images=images)  # by a name it would add another `.npz`
        return
    before = {old.name for old in path.glob("*.png") if old.stem.isdecimal()}
    names = _numbered(len(images))
    for name, image in zip(names, images, strict=True):
        save_image(path / name, image)
    if before == set(_numbered(len(before))):  # nothing but what a command before has written
        for name in before - set(names):
            (path / name).unlink()


def _numbered(count: int) -> list[str]:
    digits = len(str(count - 1))
    return [f"{number:0{digits}}.png" for number in range(count)]
