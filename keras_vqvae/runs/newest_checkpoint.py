"""Which checkpoint a stage goes on from."""

import warnings
from pathlib import Path

from keras_vqvae.data.files import RefusedFileError, check_archive, last_or_previous
from keras_vqvae.runs.checkpoints import Progress
from keras_vqvae.runs.directory import RunDirectory


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there with all that was written, by its checksums.

    Raises:
        RefusedFileError: if this package does not read it.
    """
    try:
        _read_whole(path)
    except RefusedFileError:
        raise
    except (FileNotFoundError, ValueError):
        return False
    return True


def _read_whole(path: Path) -> Progress:
    """What a checkpoint says, in which every byte is checked."""
    try:
        check_archive(path)
        return Progress.load(path)
    except RefusedFileError:
        raise
    except ValueError as error:
        raise ValueError(f"the checkpoint {str(path)!r} is damaged") from error


def newest(files: RunDirectory, stage: str) -> tuple[Path, Progress] | None:
    """The last checkpoint that is whole, and what it says; `None` before the first.

    Warns of a damaged one; the one before it takes its place.

    Raises:
        RefusedFileError: if one is of a later version, or too large; nothing is changed then.
        ValueError: if there are some, and all are damaged.
    """
    there = [p for p in (files.last(stage), files.previous(stage)) if p.exists()]
    found = last_or_previous(
        files.last(stage),
        files.previous(stage),
        _read_whole,
        lambda progress: progress.kept,
        f"Remove {' and '.join(repr(str(p)) for p in there)} to begin this stage anew",
    )
    if found is not None:
        _check_best(files.best(stage), found[1])
    return found


def _check_best(path: Path, progress: Progress) -> None:
    """Forgets the best epoch so far, if its model is not there any more.

    Warns, unless a process was killed after it had written a better one, and before the last
    checkpoint told so: that epoch is done again.
    """
    if progress.best_epoch is None:
        return
    epoch = Progress.load(path).epochs if is_whole(path) else None
    if epoch == progress.best_epoch:
        return
    if epoch is None or epoch <= progress.epochs:
        warnings.warn(
            f"the checkpoint {str(path)!r}, of the best epoch so far ({progress.best_epoch}), "
            f"{'is damaged' if epoch is None else f'holds epoch {epoch}'}; the best one of the "
            "epochs to come is taken, or the last",
            stacklevel=3,
        )
    progress.best_epoch = progress.best_loss = None
