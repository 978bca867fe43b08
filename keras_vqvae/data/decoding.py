"""One image file or array into pixels: the only place that knows Pillow."""

import errno
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

Color = Literal["grayscale", "rgb"]
Resize = Literal["crop", "stretch", "pad"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})

_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION_TAG = 0x0112
# Errors of the operating system that say something about one file. Others (too many open files,
# a failing disk) are no reason to leave an image out, and go to the caller.
_FILE_ERRORS = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.EINVAL}
)


class UnreadableImageError(Exception):
    """A file that cannot be decoded; its text is the reason."""


@dataclass(frozen=True)
class Header:
    """What a file says about its image before the pixels are decoded."""

    height: int
    width: int
    grayscale: bool


def read_header(file: str | IO[bytes]) -> Header:
    """Size, with the EXIF orientation applied, and kind of an image file.

    Raises:
        UnreadableImageError: If it is no image, or too large.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            _refuse_huge(image)
            width, height = image.size
            if _orientation(image) >= 5:
                width, height = height, width
            return Header(height, width, _is_grayscale(image))
    except Exception as error:
        raise _unreadable(error) from error


def decode(
    file: str | IO[bytes], size: tuple[int, int] | None, color: Color, resize: Resize
) -> tuple[npt.NDArray[np.uint8], bool]:
    """Decodes an image file.

    The EXIF orientation is applied, transparency is laid on white, 16-bit gray is scaled to 8
    bits; of an animation the first frame is taken.

    Args:
        file: Path or open file.
        size: `(height, width)` to resize to, or `None` for the size that it has.
        color: `"grayscale"` or `"rgb"`.
        resize: `"crop"`, `"stretch"` or `"pad"`.

    Returns:
        `uint8` pixels, shape `(height, width, channels)`, and whether the file is grayscale.

    Raises:
        UnreadableImageError: If it is no image, damaged, or too large.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            _refuse_huge(image)
            orientation = _orientation(image)
            grayscale = _is_grayscale(image)
            if size is not None:
                # JPEG decodes at a fraction of its size for almost nothing; twice the size that
                # is wanted leaves the real work to the good filter below.
                image.draft(None, (2 * max(size), 2 * max(size)))
            image.load()
            opaque = _turned(_opaque(image), orientation)
            pixels = _to_array(opaque.convert("L" if color == "grayscale" else "RGB"), size, resize)
            return pixels, grayscale
    except Exception as error:
        raise _unreadable(error) from error


def convert_array(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int] | None, color: Color | None, resize: Resize
) -> npt.NDArray[np.uint8]:
    """Resizes one `uint8` image `(height, width, 1 or 3)`; the same rules as `decode`.

    Example:
    >>> convert_array(np.zeros((6, 8, 1), "uint8"), (3, 3), "rgb", "crop").shape
    (3, 3, 3)
    """
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if color is not None:
        image = image.convert("L" if color == "grayscale" else "RGB")
    return _to_array(image, size, resize)


def _to_array(image: Any, size: tuple[int, int] | None, resize: Resize) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    if size is not None and (image.height, image.width) != size:
        target = (size[1], size[0])
        method = Image.Resampling.LANCZOS
        if resize == "crop":
            image = ImageOps.fit(image, target, method)
        elif resize == "pad":
            image = ImageOps.pad(image, target, method)
        else:
            image = image.resize(target, method)
    array: npt.NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return array if array.ndim == 3 else array[..., None]


def _opaque(image: Any) -> Any:
    """The image in 8 bits, without transparency: what is transparent becomes white."""
    from PIL import Image

    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        raise UnreadableImageError("its pixels are floating-point numbers")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image


def _is_grayscale(image: Any) -> bool:
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GRAY_MODES


def _orientation(image: Any) -> int:
    """The EXIF orientation in front of the pixels, 1 to 8."""
    from PIL import Image

    try:
        # Not a PNG's own, which decodes the image for it, and may leave a damaged one half decoded:
        # Pillow then takes it for a whole one.
        value = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # Damaged metadata do not make the picture unreadable.
        return 1
    return value if value in range(1, 9) else 1


def _turned(image: Any, orientation: int) -> Any:
    """Applies an EXIF orientation, 1 to 8."""
    from PIL.Image import Transpose

    steps = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(steps[orientation]) if orientation in steps else image


def _refuse_huge(image: Any) -> None:
    """Refuses what Pillow only warns of: a small file may unpack to gigabytes of pixels."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise UnreadableImageError(
            f"it has {image.width}x{image.height} pixels, more than PIL.Image.MAX_IMAGE_PIXELS"
        )


def _unreadable(error: Exception) -> Exception:
    if isinstance(error, UnreadableImageError):
        return error
    if isinstance(error, OSError) and error.errno not in _FILE_ERRORS | {None}:
        return error
    if isinstance(error, MemoryError):
        return error
    # Pillow's text repeats the file's name, which the caller gives anyway.
    if type(error).__name__ == "UnidentifiedImageError":
        return UnreadableImageError("it is not an image, or damaged")
    return UnreadableImageError(f"{error}" or type(error).__name__)
