"""What every benchmark here shares: its arguments, its table, and its results file."""

import argparse
import datetime
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# What results depend on, as git takes it. The results themselves are none of it.
MEASURED = ("keras_vqvae", "benchmarks/*.py")


@dataclass
class Figure:
    """One figure of both contestants. A bound and an interval, if there are any, are of ours.

    Attributes:
        name: what was measured; in no other figure of a results file.
        unit: of both.
        ours: the figure of `keras_vqvae`.
        peer: that of whom `report` names as the peer; `None` if there is none.
        at_most: the most that ours may be.
        at_least: the least that ours may be.
        interval: in which ours lies.
    """

    name: str
    unit: str
    ours: float
    peer: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        # NumPy's numbers go into no JSON.
        self.ours = float(self.ours)
        self.peer = None if self.peer is None else float(self.peer)

    @property
    def holds(self) -> bool | None:
        """Whether the bound holds; `None` if there is none."""
        if self.at_most is not None:
            return bool(self.ours <= self.at_most)
        if self.at_least is not None:
            return bool(self.ours >= self.at_least)
        return None

    @property
    def interval_reaches_across(self) -> bool:
        """Whether the bound lies within the interval, so that another run may say otherwise."""
        bound = self.at_least if self.at_most is None else self.at_most
        if bound is None or self.interval is None:
            return False
        return self.interval[0] < bound < self.interval[1]

    @property
    def bound(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "" if self.at_least is None else f"≥ {self.at_least:g}"

    @property
    def ours_text(self) -> str:
        if self.interval is None:
            return f"{self.ours:.4g}"
        low, high = self.interval
        return f"{self.ours:.4g} [{low:.4g}, {high:.4g}]"


def _results_file(argument: str) -> Path:
    """A path that is no folder: better said now than when all is measured, which may be hours."""
    path = Path(argument)
    if path.is_dir():
        raise argparse.ArgumentTypeError(
            f"should be a file, such as {path / 'results.json'}. Received the folder {argument}"
        )
    return path


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """The arguments that all benchmarks take."""
    result = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    result.add_argument("--seed", type=int, default=0, help="seed of both (default: 0)")
    result.add_argument(
        "--smoke", action="store_true", help="a run of seconds that shows only that it runs"
    )
    result.add_argument(
        "--output",
        type=_results_file,
        help=f"results file (default: results/{name}.json for a full run, none for a reduced one)",
    )
    return result


def results_file(name: str, output: Path | None, full: bool) -> Path | None:
    """Where the results go, and pictures beside them; `None` for a reduced run without `output`."""
    return output or (RESULTS / f"{name}.json" if full else None)


def report(
    name: str,
    figures: Sequence[Figure],
    settings: dict[str, Any],
    output: Path | None,
    full: bool,
    peer: str = "keras.io recipe",
    peer_packages: Sequence[str] = (),
) -> int:
    """Prints the table and writes the results file.

    Args:
        name: the benchmark's name.
        figures: what was measured.
        settings: what it was measured with.
        output: the results file, or `None` for the usual one.
        full: whether this is the run that the bounds are for. A reduced run is not judged, and
            writes a file only where `output` says.
        peer: who the figures called `peer` are of.
        peer_packages: distributions whose versions belong to the results, where installed.

    Returns:
        The exit status: 1 if a bound of a full run does not hold.

    Raises:
        ValueError: if two figures have one name. The table is printed before.
        SystemExit: if the usual file would be of no commit, as `require_commit` says. Call that
            before the measurement, so that it is not in vain.
    """
    table = Table(title=name if full else f"{name} (reduced run: not judged)")
    for column in ("figure", "unit"):
        table.add_column(column)
    with_peer = any(figure.peer is not None for figure in figures)
    for column in ("keras_vqvae", *([peer] if with_peer else []), "bound"):
        table.add_column(column, justify="right")
    table.add_column("holds")
    for figure in figures:
        holds = {None: "", True: "yes", False: "NO"}[figure.holds if full else None]
        if holds and figure.interval_reaches_across:
            holds += ", open"
        theirs = "" if figure.peer is None else f"{figure.peer:.4g}"
        values = [escape(figure.ours_text), *([theirs] if with_peer else [])]
        table.add_row(figure.name, figure.unit, *values, figure.bound, holds)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    check_names(figures)
    require_commit(full, output)
    path = results_file(name, output, full)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        results = {
            "benchmark": name,
            "peer": peer,
            "full_run": full,
            "figures": [
                {**asdict(figure), "holds": figure.holds if full else None} for figure in figures
            ],
            "settings": settings,
            "machine": machine(),
            "versions": versions(peer_packages),
            "command": command(),
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        }
        path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        console.print(f"Results written to {path.name}.")
    return int(full and any(figure.holds is False for figure in figures))


def check_names(figures: Sequence[Figure]) -> None:
    """A name stands for one figure, so that who reads a results file can ask for it."""
    counts = Counter(figure.name for figure in figures)
    for name, count in counts.items():
        if count > 1:
            raise ValueError(
                f"Each figure should have a name of its own. Received {count} figures that are "
                f"called {name!r}: say in the name what tells them apart."
            )


def machine() -> dict[str, Any]:
    """The processor, its cores, the memory and the accelerators; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((v.strip() for k, _, v in lines if k.strip() == "model name"), model)
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "accelerators": accelerators(),
        "load_average_at_end": load,
        "system": f"{platform.system()} {platform.machine()}",
    }


def accelerators() -> list[str]:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return [detail.get("device_name", "GPU") for detail in details]


def versions(peer_packages: Sequence[str] = ()) -> dict[str, str | None]:
    names = ("keras_vqvae", "keras", "tensorflow", "numpy")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
        **{name: version_of(name) for name in peer_packages},
        "backend": keras.backend.backend(),
        "commit": commit(),
    }


def version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def commit() -> str | None:
    """The checkout's commit, with a `+` if package or benchmarks were changed after it.

    Asked once, before the measurement: what is changed or committed later has been loaded as it
    was then. Files that git does not know are in no commit, and may be anything; they do not count.
    """
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", *MEASURED],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


def require_commit(full: bool, output: Path | None) -> None:
    """Refuses to measure what no commit holds for the usual results file of a full run.

    Nor does it measure a package that is installed elsewhere, of which the checkout's commit says
    nothing.

    Args:
        full: whether it is one.
        output: the results file, or `None` for the usual one.
    """
    if not full or output is not None:
        return
    found, package = commit(), _package()
    if package is None or package.parent != ROOT.resolve():
        raise SystemExit(
            "The results of a full run should be of the package in this checkout. "
            f"Received: keras_vqvae from {package}. Install it with `pip install -e .`, "
            "or pass `--output FILE` to write the results elsewhere."
        )
    if found is not None and found.endswith("+"):
        raise SystemExit(
            "The results of a full run should name the commit that they are of. "
            f"Received: commit {found}, with changes after it in {' or '.join(MEASURED)}. "
            "Commit them first, or pass `--output FILE` to write the results elsewhere."
        )


def _package() -> Path | None:
    """The folder that `import keras_vqvae` takes the package from."""
    spec = importlib.util.find_spec("keras_vqvae")
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def command() -> str:
    """The command as one would type it in the repository, without the place of the results."""
    arguments = list(sys.argv[1:])
    for i in reversed(range(len(arguments))):
        if arguments[i] == "--output":
            del arguments[i : i + 2]
        elif arguments[i].startswith("--output="):
            del arguments[i]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])


def require_tensorflow() -> None:
    """The recipe's training step is written in TensorFlow; refuse another backend."""
    if keras.backend.backend() != "tensorflow":
        raise SystemExit(
            "The benchmarks compare on TensorFlow, which the recipe is written in. "
            f"Received: KERAS_BACKEND={keras.backend.backend()!r}"
        )
