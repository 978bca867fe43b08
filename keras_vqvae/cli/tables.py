"""Results as small tables."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

_UNKNOWN = "-"


def print_results(run: Any, metrics: dict[str, Any], seconds: float) -> None:
    """The figures of a run with their units, and the paths to look at."""
    vqvae, prior = metrics.get("vqvae", {}), metrics.get("prior", {})
    part = metrics.get("evaluated_on", "held-out")
    times = metrics.get("seconds", {})
    rows = figure_rows(part, vqvae, prior)
    names = {"vqvae": "training the VQ-VAE", "prior": "training the prior"}
    rows += [(names[s], f"{times[s]:.0f}", "s") for s in names if s in times]
    rows.append(("this command", f"{seconds:.0f}", "s"))
    print_table(f"Results on {vqvae.get('images', '?')} {part} images", rows)
    skipped = metrics.get("data", {}).get("skipped_images", 0)
    if skipped:
        print(f"{skipped} image files could not be read and are left out: {run.files.metrics}")
    for path in (run.files.samples, run.files.reconstructions, run.files.metrics):
        if path.exists():
            print(path)


def figure_rows(
    part: str, vqvae: dict[str, Any], prior: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Name, value and unit of each figure that is there."""
    given = ", given the class" if prior.get("given_labels") else ""
    table = (
        (f"{part} MSE", vqvae.get("mse"), ".4f", "on the [0, 1] scale"),
        (f"{part} PSNR", vqvae.get("psnr_db"), ".2f", "dB"),
        ("codebook usage", _percent(vqvae.get("codebook_usage")), ".1f", "% of the codes"),
        ("perplexity", vqvae.get("perplexity"), ".1f", "codes"),
        ("entropy of the codes", vqvae.get("code_entropy_bits"), ".2f", "bits per code"),
        ("codes of an image", vqvae.get("bits_per_image"), ".0f", "bits, all codes alike"),
        ("  under the prior", prior.get("bits_per_image"), ".0f", f"bits{given}"),
        ("prior", prior.get("bits_per_code"), ".3f", f"bits per code{given}"),
    )
    return [(name, format(v, form), unit) for name, v, form, unit in table if v is not None]


def print_table(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    """A table with the numbers to the right."""
    table = Table(title=title, title_justify="left", show_header=False)
    for column, row in enumerate(zip(*rows, strict=True)):
        del row
        table.add_column(justify="right" if column == 1 else "left", overflow="fold")
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)


def print_facts(title: str, facts: dict[str, Any]) -> None:
    """A table of names and texts."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _UNKNOWN if value is None else str(value))
    Console().print(table)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
