"""Images in a folder."""

import hashlib
import heapq
import os
from collections.abc import Sequence
from typing import IO

from keras_vqvae.data.decoding import SUFFIXES, Color, Resize
from keras_vqvae.data.image_files import ImageFiles


class FolderSource(ImageFiles):
    """Image files in a folder and its subfolders, decoded when they are read.

    Files are PNG, JPEG, WebP, BMP or GIF (first frame), in the order of their paths; hidden ones
    are passed over. Links are followed, except to folders that are here without them. Pixels are
    `uint8`. The EXIF orientation is applied, transparency is laid on white, 16-bit gray is scaled
    to 8 bits.

    *Labels.* When every image lies in a subfolder, the immediate subfolders are the classes, in
    the order of their names, or in that of `class_names`. Otherwise there are no labels.

    *Unreadable files* (damaged, truncated, not images, or of more pixels than
    `PIL.Image.MAX_IMAGE_PIXELS`) are listed in `skipped` with a reason, or an error with
    `strict=True`. In a folder of up to 20 000 images the header of each file is read here: what
    fails is left out. In a larger one only a sample is looked at, so that it starts in seconds.
    Damage that shows later, when the pixels are decoded, cannot change the length any more: the
    next readable image, of the same class if there is one, is given in its place.

    Args:
        folder: Path of the folder.
        image_size: Size to resize to: an integer for squares, or `(height, width)`. Defaults to
            `None`: all images have one size already.
        color: `"grayscale"` (1 channel) or `"rgb"` (3). Defaults to `None`: grayscale if all
            the images that were looked at are.
        resize: How, where the size differs: `"crop"` (the middle, in the right proportions),
            `"stretch"`, or `"pad"` (black bars). Defaults to `"crop"`.
        strict: Whether an unreadable file is an error. Defaults to `False`.
        recursive: Whether to look into subfolders. Defaults to `True`.
        name: What to call it in reports. Defaults to the name of the folder.
        class_names: Names of the classes in the order of their numbers, where other folders have
            some of them too, as the parts of one data set. Defaults to those that are here.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
        ValueError: If it holds no images, images of several sizes while `image_size` is `None`
            (two are named; in a large folder this shows when they are read), an unreadable
            file while `strict`, or a class that `class_names` lacks.

    Example:
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> for kind in ("cat", "dog"):
    ...     os.mkdir(os.path.join(folder, kind))
    ...     Image.new("L", (12, 8)).save(os.path.join(folder, kind, "1.png"))
    >>> source = FolderSource(folder, image_size=8)
    >>> source.image_shape, source.class_names, source.labels
    ((8, 8, 1), ('cat', 'dog'), array([0, 1], dtype=int32))
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        image_size: int | tuple[int, int] | None = None,
        color: Color | None = None,
        resize: Resize = "crop",
        strict: bool = False,
        recursive: bool = True,
        name: str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._folder = os.fspath(folder)
        if not os.path.exists(self._folder):
            raise FileNotFoundError(
                "`folder` should be an existing folder of images. "
                f"Received: `folder={self._folder!r}`, which does not exist"
            )
        if not os.path.isdir(self._folder):
            raise NotADirectoryError(
                f"`folder` should be a folder of images. Received: `folder={self._folder!r}`, "
                "which is a file"
            )
        files, broken = list_images(self._folder, recursive)
        shown = name or os.path.basename(os.path.abspath(self._folder)) or self._folder
        super().__init__(shown, files, image_size, color, resize, strict, class_names)
        if broken and strict:
            raise ValueError(
                f"The image file {os.path.join(self._folder, broken[0])!r} cannot be read: "
                "it is a link to nothing. Repair or remove it, or pass `strict=False`"
            )
        self._left_out = [(os.path.join(self._folder, p), "a link to nothing") for p in broken]
        if not files:
            raise ValueError(
                "`folder` should hold image files "
                f"({', '.join(sorted(s.lstrip('.') for s in SUFFIXES))}). "
                f"Received: `folder={self._folder!r}`, which has none"
                + ("" if recursive else ". Pass `recursive=True` to look into its subfolders")
            )
        self._prepare()

    def _path(self, index: int) -> str:
        return os.path.join(self._folder, *self._files[index].split("/"))

    def _open(self, index: int) -> str | IO[bytes]:
        return self._path(index)

    def _check_there(self) -> None:
        if not os.path.isdir(self._folder):
            raise FileNotFoundError(
                f"The folder of images {self._folder!r} was there and is not any more. Restore it "
                "(a drive, a mount), and go on"
            )

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self._options().encode())
        for index, relative in enumerate(self._files):
            try:
                state = os.stat(self._path(index))
                line = f"\0{relative}\0{state.st_size}\0{state.st_mtime_ns}"
            except OSError:
                line = f"\0{relative}\0missing"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def list_images(folder: str, recursive: bool = True) -> tuple[list[str], list[str]]:
    """Paths of image files below `folder`, relative and with `/`, sorted; and of broken links.

    Reads folders only, no file, so that hundreds of thousands take about a second.
    """
    found: list[str] = []
    broken: list[str] = []
    pending = [("", folder, os.path.realpath(folder))]
    links: list[tuple[str, str, str]] = []
    seen: set[str] = set()
    while pending or links:
        # Links may lead in circles, or to what is here anyway: each real folder is entered once,
        # and by a link, the first by name, only where nothing else leads to it.
        prefix, path, real = pending.pop() if pending else heapq.heappop(links)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(path) as entries:
            for entry in entries:
                if is_passed_over(entry.name):
                    continue
                if is_image_name(entry.name) and entry.is_file():
                    found.append(prefix + entry.name)
                elif entry.is_dir():
                    inner = f"{prefix}{entry.name}/"
                    if recursive and entry.is_symlink():
                        heapq.heappush(links, (inner, entry.path, os.path.realpath(entry.path)))
                    elif recursive:
                        pending.append((inner, entry.path, os.path.join(real, entry.name)))
                elif is_image_name(entry.name) and entry.is_symlink():
                    broken.append(prefix + entry.name)
    return sorted(found), sorted(broken)


def class_folders(folder: str | os.PathLike[str]) -> list[str]:
    """The immediate subfolders that have an image somewhere in them, in the order of their names.

    No more is read of each than up to its first image.
    """
    with os.scandir(folder) as entries:
        inner = [e for e in entries if not is_passed_over(e.name) and e.is_dir()]
    return sorted(entry.name for entry in inner if _has_images(entry.path))


def _has_images(folder: str) -> bool:
    pending, seen = [folder], set()
    while pending:
        path = pending.pop()
        real = os.path.realpath(path)
        if real in seen:  # by a link in a circle
            continue
        seen.add(real)
        with os.scandir(path) as entries:
            for entry in entries:
                if is_passed_over(entry.name):
                    continue
                if is_image_name(entry.name) and entry.is_file():
                    return True
                if entry.is_dir():
                    pending.append(entry.path)
    return False


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image.

    Example:
    >>> is_image_name("Photo.JPG"), is_image_name("notes.txt")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in SUFFIXES


def is_passed_over(name: str) -> bool:
    """Whether a file or folder of this name is not looked at: hidden ones, and those of macOS.

    Example:
    >>> is_passed_over(".cache"), is_passed_over("cat")
    (True, False)
    """
    return name.startswith(".") or name == "__MACOSX"
