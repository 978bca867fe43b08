"""Results as small tables."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from keras_vqvae.runs import figure_rows

if TYPE_CHECKING:
    from keras_vqvae.runs import Run

_UNKNOWN = "-"


def print_results(run: "Run", metrics: dict[str, Any], seconds: float) -> None:
    """The figures of a run with their units, and the paths to look at."""
    part = metrics.get("evaluated_on", "held-out")
    times = metrics.get("seconds", {})
    rows = figure_rows(metrics, part)
    names = {"vqvae": "training the VQ-VAE", "prior": "training the prior"}
    rows += [(names[s], f"{times[s]:.0f}", "s") for s in names if s in times]
    rows.append(("this command", f"{seconds:.0f}", "s"))
    print_table(f"Results on {metrics.get('vqvae', {}).get('images', '?')} {part} images", rows)
    skipped = metrics.get("data", {}).get("skipped_images", 0)
    if skipped:
        files = "1 image file was" if skipped == 1 else f"{skipped} image files were"
        print(f"{files} not readable and left out, as listed in {run.files.metrics}")
    for path in (run.files.samples, run.files.reconstructions, run.files.metrics):
        if path.exists():
            print(path)


def print_table(title: str, rows: Iterable[tuple[str, str, str]]) -> None:
    """A table of names, numbers and units, the numbers to the right."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", justify="right")
    table.add_column(overflow="fold")
    for cells in rows:
        table.add_row(*cells)
    _print(table)


def print_columns(
    title: str,
    header: Iterable[str],
    rows: Iterable[tuple[str, ...]],
    texts: Collection[str] = (),
) -> None:
    """A table with a header; the first column and those of `texts` have words, others numbers."""
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for i, name in enumerate(header):
        words = i == 0 or name in texts
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    for cells in rows:
        table.add_row(*cells)
    _print(table)


def print_facts(title: str, facts: dict[str, Any]) -> None:
    """A table of names and texts."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _UNKNOWN if value is None else str(value))
    _print(table)


def _print(table: Table) -> None:
    """As it is: paths, names of classes and reasons may hold what Rich takes for markup."""
    Console(markup=False, emoji=False).print(table)
