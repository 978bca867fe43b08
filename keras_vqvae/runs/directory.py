"""Where the files of a run are, and reading and writing the small ones."""

import csv
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_vqvae.data import atomic_write
from keras_vqvae.data.files import leftovers, remove_leftovers
from keras_vqvae.data.splits import PARTS

STAGES = ("vqvae", "prior")
# The groups in `metrics.json` that are of a prior's samples.
SAMPLE_FIGURES = ("samples", "nearest_training_image")


class RunDirectory:
    """The paths of a run's files.

    Args:
        path: the directory; it need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.json"
        self.reconstructions = self.path / "reconstructions.png"
        self.samples = self.path / "samples.png"
        self.report = self.path / "report.html"
        self.classifier = self.path / "classifier.keras"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"

    def model(self, stage: str) -> Path:
        """The model of a finished stage."""
        return self.path / f"{stage}.keras"

    def last(self, stage: str) -> Path:
        """The checkpoint of the last epoch."""
        return self.checkpoints / f"{stage}_last.keras"

    def previous(self, stage: str) -> Path:
        """The checkpoint before the last one."""
        return self.checkpoints / f"{stage}_previous.keras"

    def best(self, stage: str) -> Path:
        """The checkpoint of the epoch with the lowest validation loss."""
        return self.checkpoints / f"{stage}_best.keras"

    def history(self, stage: str) -> Path:
        """The logs of each epoch."""
        return self.path / f"history_{stage}.csv"

    def codes(self, part: str) -> Path:
        """The codes of a part of the data."""
        return self.path / f"codes_{part}.npz"

    def written_by(self, stage: str) -> list[Path]:
        """What a stage writes."""
        files = [self.model(stage), self.history(stage), self.best(stage)]
        files += [self.last(stage), self.previous(stage)]
        if stage == "prior":
            return [*files, self.samples, self.report]
        own = [self.reconstructions, self.report, self.classifier]
        return [*files, *own, *map(self.codes, PARTS)]

    def has_begun(self, stage: str) -> bool:
        """Whether a stage has a checkpoint or more."""
        there = (self.last(stage), self.previous(stage), self.model(stage))
        return any(path.exists() for path in there)

    def remove_leftovers(self, stages: Sequence[str] = STAGES) -> None:
        """Removes what a process that was killed had begun to write for these stages."""
        for file in (self.config, self.metrics, *(f for s in stages for f in self.written_by(s))):
            remove_leftovers(file)

    def remove(self, stages: Sequence[str]) -> None:
        """Removes what these stages wrote, and nothing else."""
        for stage in stages:
            for file in self.written_by(stage):
                file.unlink(missing_ok=True)
            shutil.rmtree(self.tensorboard / stage, ignore_errors=True)

    def is_run(self) -> bool:
        """Whether the directory holds a run."""
        return self.config.is_file()

    def is_occupied(self) -> bool:
        """Whether there is more at the path than what a run writes before its settings."""
        if holds_more_than(self.path, self.metrics, self.config):
            return True
        return self.metrics.exists() and not self._holds_a_beginning()

    def _holds_a_beginning(self) -> bool:
        """Whether `metrics.json` is that of a run without a step, and no other program's."""
        try:
            return set(read_json(self.metrics)) == {"data", "environment"}
        except (OSError, ValueError):
            return False


def stages_named(stage: str) -> tuple[str, ...]:
    """The stages that one of their names means, or `"all"`.

    Raises:
        ValueError: for another name.
    """
    if stage not in ("all", *STAGES):
        raise ValueError(f"`stage` should be 'all', 'vqvae' or 'prior'. Received: stage={stage!r}")
    return STAGES if stage == "all" else (stage,)


def holds_more_than(folder: Path, *files: Path) -> bool:
    """Whether there is anything at a path but some files, and what a kill left of writing them."""
    if not folder.is_dir():
        return folder.exists()
    names = {path.name for file in files for path in (file, *leftovers(file))}
    return any(path.name not in names for path in folder.iterdir())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: if it is damaged, naming it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"the file {str(path)!r} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the file {str(path)!r} is damaged: it holds no object")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes an object, whole or not at all; what is not finite becomes null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False)
    with atomic_write(path) as temporary:
        # A name that is no UTF-8 is written as JSON escapes it.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Writes the logs of epochs as a table, `epoch` counted from 1."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", *names])
        writer.writeheader()
        writer.writerows({"epoch": i, **row} for i, row in enumerate(rows, start=1))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
