"""Writing a file so that it is there whole or not at all, and what is read of it later."""

import errno
import glob
import os
import secrets
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

# What reading a damaged zip file, or what is in it, raises.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, SystemError),
    *(KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError),
    *(tokenize.TokenError, SyntaxError),  # NumPy reads the header of an array as Python's literals
)


Read = TypeVar("Read")


class RefusedFileError(ValueError):
    """A file that may be whole, and is not read: of a later version, or unpacking to too much."""


# What a file may unpack to at least, and how many times its size beyond that. Data that is all
# alike shrinks to a thousandth: who writes it should not compress it (`unpacks_to_too_much`).
_HARMLESS = 1 << 30
_TIMES = 100
# Of the name of a temporary file.
_RANDOM_BYTES = 6


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path to write to; on success it becomes `path` in one step.

    The temporary file lies in the folder of `path` and keeps its suffix (so that functions which
    choose a format by the suffix work). When the block ends, it is flushed to the disk and renamed
    over `path`: readers see the old file or the new one, never half of one. When the block raises
    (a full disk, an interrupt), the temporary file is removed, an existing `path` stays as it was,
    and the original exception goes on. Missing parent folders are created; of a symbolic link, the
    file that it points to is replaced.

    Args:
        path: The file to write.

    Yields:
        A `pathlib.Path` of a new empty file, to be opened and written by the caller.

    Raises:
        IsADirectoryError: If `path` is a folder.
        OSError: What the operating system reported, with the name of the file.

    Example:
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "hello.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [(f.name, f.read_text()) for f in folder.iterdir()]
    [('hello.txt', 'whole')]
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(
            f"`path` should be a file to write, and is a folder. Received: `path={str(path)!r}`"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_file_beside(target)
    try:
        yield temporary
        # Opened for writing: some systems refuse to flush a read-only descriptor.
        descriptor = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = os.fspath(path)  # a full disk does not say what it was full for
        with suppress(OSError):
            temporary.unlink()
        raise
    _flush_folder(target.parent)


@contextmanager
def writing_to(directory: str | os.PathLike[str], argument: str) -> Iterator[None]:
    """Makes a directory; an error of making it, or of the block, names the argument.

    Args:
        directory: The directory, which may be there already.
        argument: The name of the argument that it was given as.

    Raises:
        OSError: If it cannot be made, or the block raises one.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OSError(
            f"`{argument}` should be a directory that can be written. "
            f"Received: {argument}={str(directory)!r} ({error.strerror})"
        ) from error


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Removes what processes that were killed had begun to write to a file by `atomic_write`.

    For one who is alone to write the file.

    Args:
        path: The file; neither it nor its folder need exist.
    """
    for temporary in leftovers(path):
        temporary.unlink(missing_ok=True)


def leftovers(path: str | os.PathLike[str]) -> list[Path]:
    """What `remove_leftovers` removes."""
    target = Path(os.path.realpath(path))
    start, end = (glob.escape(part) for part in _temporary_name(target))
    return list(target.parent.glob(f"{start}{'[0-9a-f]' * 2 * _RANDOM_BYTES}{end}"))


def last_or_previous(
    last: Path,
    previous: Path,
    read: Callable[[Path], Read],
    what: Callable[[Read], str],
    remedy: str,
) -> tuple[Path, Read] | None:
    """What was written last, or where that is damaged, before it, with a warning.

    The one before then takes the place of the damaged one, so that this does not take the place of
    the whole one later.

    Args:
        last: The file that was written last.
        previous: The one that it replaced.
        read: Reads one of them. Its `ValueError` says that the file is damaged; a
            `RefusedFileError` goes on at once.
        what: Tells in words what was read.
        remedy: What to do if both are damaged.

    Returns:
        The file that was read and what is in it; `None` if there is neither.

    Raises:
        RefusedFileError: As `read` raises it; nothing is changed then.
        ValueError: If what there is, is damaged.
    """
    damage: ValueError | None = None
    for path in (last, previous):
        try:
            found = read(path)
        except FileNotFoundError:
            continue
        except RefusedFileError:
            raise
        except ValueError as error:
            damage = damage or error
            continue
        if damage is None:
            return path, found
        warnings.warn(f"{damage}; the one before it is used, of {what(found)}", stacklevel=3)
        os.replace(previous, last)
        return last, found
    if damage is not None:
        raise ValueError(f"{damage}, and there is no whole one before it. {remedy}") from damage
    return None


def _temporary_name(target: Path) -> tuple[str, str]:
    """What stands before and after the random part."""
    # The name is cut so that the temporary one does not exceed the usual 255 bytes.
    stem = target.stem.encode()[:100].decode(errors="ignore")
    return f".{stem}.", f".tmp{target.suffix}"


def _new_file_beside(target: Path) -> Path:
    """Creates an empty file with a random name; the umask decides its permissions."""
    start, end = _temporary_name(target)
    while True:
        temporary = target.with_name(f"{start}{secrets.token_hex(_RANDOM_BYTES)}{end}")
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return temporary


def _flush_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system can (Windows cannot open folders)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_archive(path: str | os.PathLike[str]) -> None:
    """Raises an error unless every byte of a zip file's content is as it was written.

    Raises:
        FileNotFoundError: If there is no such file.
        RefusedFileError: If it unpacks to more than 1 GiB and a hundred times its size.
        ValueError: If it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _is_too_much(archive, path):
                raise RefusedFileError(
                    f"the file {os.fspath(path)!r} has {os.path.getsize(path)} bytes and unpacks "
                    f"to {_unpacked(archive)}, more than {_TIMES} times as many and "
                    f"{_HARMLESS / 2**30:g} GiB: it is not read. If it is yours, write it without "
                    "compression (`numpy.savez`)"
                )
            _check_count(path, len(archive.infolist()))
            damaged = archive.testzip()
    except OSError as error:
        if error.errno != errno.EINVAL:  # a position that a damaged file has told
            raise
        raise ValueError(str(error)) from error
    except RefusedFileError:
        raise
    except DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if damaged is not None:
        raise ValueError(f"its part {damaged!r} does not fit its checksum")


def unpacks_to_too_much(path: str | os.PathLike[str]) -> bool:
    """Whether `check_archive` refuses a zip file for its size: none should be written so."""
    with zipfile.ZipFile(path) as archive:
        return _is_too_much(archive, path)


def _is_too_much(archive: zipfile.ZipFile, path: str | os.PathLike[str]) -> bool:
    return _unpacked(archive) > _TIMES * os.path.getsize(path) + _HARMLESS


def _unpacked(archive: zipfile.ZipFile) -> int:
    return sum(member.file_size for member in archive.infolist())


def _check_count(path: str | os.PathLike[str], found: int) -> None:
    """Raises a ValueError where the table of contents, which has no checksum, is cut short."""
    with open(path, "rb") as file:
        file.seek(-22, os.SEEK_END)
        signature, *_, count, _, _, _ = struct.unpack("<4s4H2LH", file.read())
    if signature == b"PK\5\6" and count not in (found, 0xFFFF):
        raise ValueError(f"it has {found} parts, and says that there are {count}")
