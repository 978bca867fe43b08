"""What is known of a run."""

import contextlib
from typing import TYPE_CHECKING, Any

from keras_vqvae.runs.directory import STAGES
from keras_vqvae.runs.environment import environment

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run


def describe(run: "Run") -> dict[str, Any]:
    """Settings, progress, versions, device, fingerprints and sizes."""
    stages = {}
    for stage in STAGES:
        progress = run.progress(stage)
        stages[stage] = {
            "finished": run.finished(stage),
            "epochs": progress.epochs,
            "of_epochs": getattr(run.config, f"{stage}_training").epochs,
            "best_epoch": progress.best_epoch,
            "seconds": progress.seconds,
            "next_epoch": None if run.finished(stage) else progress.epochs + 1,
        }
    files = {}
    for path in sorted(run.directory.rglob("*")):
        # What is being written has a hidden name, and another one a moment later.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.name.startswith("."):
                files[str(path.relative_to(run.directory))] = path.stat().st_size
    return {
        "directory": str(run.directory.resolve()),
        "stages": stages,
        "metrics": run.metrics(),
        "config": run.config.to_dict(),
        "files": files,
        "this_environment": environment(),
    }
