"""Images in a `.zip` or `.tar` archive, without unpacking it to the disk."""

import errno
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from keras_vqvae.data.decoding import Color, Resize
from keras_vqvae.data.folders import is_image_name, is_passed_over
from keras_vqvae.data.image_files import ImageFiles
from keras_vqvae.data.splits import checked_split, is_part_name, part_folder

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_BYTES = 1 << 30
# What damaged and encrypted archives, and other files, are answered with.
_ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, RuntimeError, OSError),
)


class ArchiveSource(ImageFiles):
    """Image files in an archive, kept compressed in memory and decoded when they are read.

    Nothing is written to the disk, so names inside the archive can do no harm. Everything else
    is as in `FolderSource`; a single folder around all images is passed over, and if the top
    folders are then named `train`, `validation` and `test`, they are the parts.

    Args:
        path: Path of a `.zip`, `.tar`, `.tar.gz`, `.tgz`, `.tar.bz2` or `.tar.xz` file.
        split: Part to take: `"train"`, `"validation"` or `"test"`. An archive without parts is
            all `"train"`. Defaults to `"train"`.
        image_size: As in `FolderSource`.
        color: As in `FolderSource`.
        resize: As in `FolderSource`.
        strict: As in `FolderSource`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no archive, damaged, encrypted, holds no images, or more than 1 GiB
            of them.

    Example:
    >>> import tempfile
    >>> from PIL import Image
    >>> path = os.path.join(tempfile.mkdtemp(), "images.zip")
    >>> with zipfile.ZipFile(path, "w") as archive, archive.open("1.png", "w") as file:
    ...     Image.new("RGB", (4, 4)).save(file, "PNG")
    >>> ArchiveSource(path).image_shape
    (4, 4, 3)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        split: str = "train",
        image_size: int | tuple[int, int] | None = None,
        color: Color | None = None,
        resize: Resize = "crop",
        strict: bool = False,
    ) -> None:
        checked_split(split)
        shown = os.fspath(path)
        if not os.path.isfile(shown):
            raise FileNotFoundError(
                f"`path` should be an existing archive. Received: `path={shown!r}`"
            )
        contents = _without_common_folder(_read_members(shown))
        folder = _folder_of_part(contents, split, shown)
        classes = None
        if folder is not None:
            # As in folders: a class has the same number in all parts.
            classes = sorted({n.split("/")[1] for n in contents if n.count("/") > 1})
            prefix = f"{folder}/"
            contents = {
                n.removeprefix(prefix): c for n, c in contents.items() if n.startswith(prefix)
            }
        super().__init__(
            os.path.basename(shown), sorted(contents), image_size, color, resize, strict, classes
        )
        self._contents = contents
        self._prepare()

    def _open(self, index: int) -> str | IO[bytes]:
        return io.BytesIO(self._contents[self._files[index]])

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self._options().encode())
        for name in self._files:
            digest.update(f"\0{name}\0".encode(errors="surrogateescape"))
            digest.update(hashlib.sha256(self._contents[name]).digest())
        return digest.hexdigest()


def _read_members(path: str) -> dict[str, bytes]:
    """Content of every image file in the archive by its name."""
    contents: dict[str, bytes] = {}
    total = 0
    try:
        members = _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path)
        for name, size, file in members:
            total += size
            if total > MAX_BYTES:
                raise ValueError(
                    f"`path` should be an archive of at most {MAX_BYTES / 2**30:g} GiB of image "
                    f"files. Received: `path={path!r}`, which has more. Extract it and pass the "
                    "folder"
                )
            contents[name] = file.read()
    except _ERRORS as error:
        # gzip and bzip2 say damage by errors without a number, and zip seeks where nothing is.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(
            f"`path` should be a whole, unencrypted {', '.join(ARCHIVE_SUFFIXES)} archive. "
            f"Received: `path={path!r}`: {error}"
        ) from error
    if not contents:
        raise ValueError(
            f"`path` should hold image files. Received: `path={path!r}`, which has none"
        )
    return contents


def _zip_members(path: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _wanted(member.filename):
                with archive.open(member) as file:
                    yield _tidy(member.filename), member.file_size, file


def _tar_members(path: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _wanted(member.name):
                file = archive.extractfile(member)
                if file is not None:
                    yield _tidy(member.name), member.size, file


def _tidy(name: str) -> str:
    """Names are labels here, never paths to open: `.` and empty steps only confuse."""
    return "/".join(step for step in name.replace("\\", "/").split("/") if step not in ("", "."))


def _wanted(name: str) -> bool:
    return is_image_name(name) and not any(map(is_passed_over, _tidy(name).split("/")))


def _without_common_folder(contents: dict[str, bytes]) -> dict[str, bytes]:
    tops = {name.partition("/")[0] for name in contents}
    # One folder of images directly inside is a wrapping, too: one class tells nothing.
    while len(tops) == 1 and not is_part_name(*tops) and all("/" in name for name in contents):
        contents = {name.partition("/")[2]: content for name, content in contents.items()}
        tops = {name.partition("/")[0] for name in contents}
    return contents


def _folder_of_part(contents: Iterable[str], split: str, path: str) -> str | None:
    loose = min((name for name in contents if "/" not in name), default=None)
    tops = {name.partition("/")[0] for name in contents if "/" in name}
    return part_folder(tops, split, f"The archive {path!r}", loose)
