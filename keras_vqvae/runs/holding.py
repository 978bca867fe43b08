"""One process at a time works in a directory."""

import contextlib
import os
from collections.abc import Iterator

from keras_vqvae.runs.errors import RunInUseError

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]

__all__ = ["hold_directory"]

# Process, device and inode of directories: a process that is forked does not hold them.
_HELD: set[tuple[int, int, int]] = set()


@contextlib.contextmanager
def hold_directory(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other processes of this machine from working in a directory while the block lasts.

    The operating system lets go of it when the process ends, however it ends, and no file is left.
    Where the file system knows no locks, nothing is kept from anybody.

    Args:
        directory: one that exists.

    Raises:
        RunInUseError: if another process, or another block of this one, holds it.

    Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, hold_directory(folder):
    ...     pass
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    status = os.fstat(descriptor)
    held = (os.getpid(), status.st_dev, status.st_ino)
    try:
        locked = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if held in _HELD:
                raise RunInUseError(
                    f"this process is at work in {str(directory)!r} already. Call nothing that "
                    "works there from a callback or another thread, or give another directory"
                ) from error
            raise RunInUseError(
                f"another process is at work in {str(directory)!r}. Wait for its end, or give "
                "another directory (`--output`)"
            ) from error
        except OSError:
            locked = False  # nobody is kept away
        if locked:
            _HELD.add(held)
        try:
            yield
        finally:
            _HELD.discard(held)
    finally:
        os.close(descriptor)
