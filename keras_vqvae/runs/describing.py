"""What is known of a run."""

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
    files = sorted(p for p in run.directory.rglob("*") if p.is_file())
    return {
        "directory": str(run.directory.resolve()),
        "stages": stages,
        "metrics": run.metrics(),
        "config": run.config.to_dict(),
        "files": {str(p.relative_to(run.directory)): p.stat().st_size for p in files},
        "this_environment": environment(),
    }
