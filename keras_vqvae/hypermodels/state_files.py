"""State files of a search: written whole, with the write before kept as a copy."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from keras_vqvae.data import atomic_write

__all__ = ["mend_state", "read_message", "read_state", "write_message", "write_state"]

_MESSAGE = "message.txt"


def write_state(path: str | os.PathLike[str], state: Any) -> None:
    """Writes JSON whole or not at all; what was there before stays beside it as `….bak`."""
    file = Path(path)
    if file.exists():
        with atomic_write(_copy(file)) as temporary:
            shutil.copyfile(file, temporary)
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(state), encoding="utf-8")


def mend_state(path: str | os.PathLike[str], empty: Any = None) -> None:
    """Puts the copy in the place of a damaged state file, and says so in a line.

    Args:
        path: the file; one that is not there needs nothing.
        empty: what to write if there is no copy. By default nothing can be.

    Raises:
        ValueError: if the file is damaged, and there is no copy to go back to.
    """
    file = Path(path)
    if not file.exists() or _is_whole(file):
        return
    copy = _copy(file)
    if copy.exists() and _is_whole(copy):
        with atomic_write(file) as temporary:
            shutil.copyfile(copy, temporary)
        print(f"The file {str(file)!r} is damaged: the search goes on from {copy.name!r}")
    elif empty is not None:
        write_state(file, empty)
        print(f"The file {str(file)!r} is damaged: it is written anew")
    else:
        raise ValueError(
            f"the file {str(file)!r} of a search is damaged, and there is no whole {copy.name!r} "
            "beside it. Restore it, or begin the search anew in another directory"
        )


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a state file, mended as by `mend_state`.

    Raises:
        ValueError: if the file is damaged, and there is no copy to go back to.
    """
    mend_state(path)
    state: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return state


def write_message(folder: str | os.PathLike[str], message: str) -> None:
    """Keeps beside a trial what went wrong in it."""
    with atomic_write(Path(folder) / _MESSAGE) as temporary:
        temporary.write_text(message, encoding="utf-8")


def read_message(folder: str | os.PathLike[str]) -> str | None:
    """What `write_message` has kept, if it has."""
    file = Path(folder) / _MESSAGE
    return file.read_text(encoding="utf-8") if file.exists() else None


def _copy(file: Path) -> Path:
    return file.with_name(f"{file.name}.bak")


def _is_whole(file: Path) -> bool:
    try:
        return isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False
