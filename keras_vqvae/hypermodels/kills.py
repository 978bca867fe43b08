"""How often the process of a search was killed within a trial, in a file beside the trial."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_vqvae.data import atomic_write

__all__ = ["counted_kill", "forget_trial", "kills_in"]

# SIGTERM and SIGXCPU are of schedulers, SIGHUP of a terminal that is closed.
_ENDING = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name)
]
# Counts of the trial that runs in this process, as they were when it began.
_BEFORE: dict[Path, int] = {}


def kills_in(folder: str | os.PathLike[str]) -> int:
    """How often a process was killed within a trial.

    Args:
        folder: of the trial.
    """
    file = _file(folder)
    return int(file.read_text(encoding="utf-8")) if file.exists() else 0


@contextlib.contextmanager
def counted_kill(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Counts a kill, and takes it back at the end, which a killed process does not come to.

    Signals by which schedulers and people end a process are no such kills.

    Args:
        folder: of the trial.
    """
    _BEFORE[_file(folder)] = kills_in(folder)
    _write(_file(folder), kills_in(folder) + 1)
    mine = []
    if threading.current_thread() is threading.main_thread():  # no other can ask for signals
        mine = [one for one in _ENDING if signal.getsignal(one) is signal.SIG_DFL]
    for one in mine:
        signal.signal(one, _end)
    try:
        yield
    finally:
        for one in mine:
            signal.signal(one, signal.SIG_DFL)
        forget_trial()


def _end(number: int, frame: Any) -> None:
    """Ends the process by the signal it got, once its trial is not to blame."""
    signal.signal(number, signal.SIG_DFL)
    try:
        forget_trial()
    finally:
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # the first process of a container is ended by no signal of its own


def forget_trial() -> None:
    """Says that this process ends for no fault of the trial that it is at."""
    with contextlib.suppress(KeyError):  # it is empty: by another thread, perhaps
        while True:
            _write(*_BEFORE.popitem())


def _file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / "kills.txt"


def _write(file: Path, count: int) -> None:
    with atomic_write(file) as temporary:
        temporary.write_text(f"{count}\n", encoding="utf-8")
