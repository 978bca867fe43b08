"""Many images as one PNG."""

import math
import os
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.data import atomic_write

__all__ = ["image_grid", "reconstruction_grid", "save_image", "to_bytes"]

_PAPER = 255
_GUTTER = 2
_PAIR_GAP = 8
_CAPTION = 14
# Small images are enlarged until a side has about so many pixels.
_SIDE = 84


def image_grid(
    images: Any,
    columns: int | None = None,
    value_range: tuple[float, float] = (0, 255),
    path: str | os.PathLike[str] | None = None,
    captions: Sequence[str] | None = None,
) -> npt.NDArray[np.uint8]:
    """Images in rows and columns on white, small ones enlarged without smoothing.

    Args:
        images: array `(N, H, W, C)` with 1 or 3 channels, at least one.
        columns: how many side by side. By default about the square root of N.
        value_range: what black and white are. Defaults to `(0, 255)`.
        path: a PNG file to write; an existing one is replaced. Defaults to `None`.
        captions: a short text below each image, without accents; letters of other scripts than
            the Latin one are drawn as `?`. Defaults to `None`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: for another shape, or captions that are not one an image.

    Example:
    >>> image_grid(np.zeros((6, 28, 28, 1)), columns=3).shape
    (174, 260, 3)
    """
    tiles = _enlarged(to_bytes(images, value_range))
    if captions is not None and len(captions) != len(tiles):
        raise ValueError(
            "`captions` should have a text for each image. "
            f"Received: {len(captions)} captions for {len(tiles)} images"
        )
    columns = _columns(columns, len(tiles))
    if captions is not None:
        tiles = np.stack([_captioned(t, c) for t, c in zip(tiles, captions, strict=True)])
    rows = [_row(tiles[i : i + columns], columns) for i in range(0, len(tiles), columns)]
    return _finished(rows, [_GUTTER] * (len(rows) - 1), path)


def reconstruction_grid(
    originals: Any,
    reconstructions: Any,
    columns: int | None = None,
    value_range: tuple[float, float] = (0, 255),
    path: str | os.PathLike[str] | None = None,
) -> npt.NDArray[np.uint8]:
    """Pairs of rows: originals, and their reconstructions right below.

    Args:
        originals: array `(N, H, W, C)` with 1 or 3 channels, at least one.
        reconstructions: array of the same shape.
        columns: how many side by side, at most. Defaults to 8.
        value_range: what black and white are. Defaults to `(0, 255)`.
        path: a PNG file to write; an existing one is replaced. Defaults to `None`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: for shapes that do not fit.

    Example:
    >>> images = np.zeros((4, 28, 28, 1))
    >>> reconstruction_grid(images, images, columns=4).shape
    (174, 346, 3)
    """
    if np.shape(originals) != np.shape(reconstructions):
        raise ValueError(
            "`originals` and `reconstructions` should have one shape. "
            f"Received: {np.shape(originals)} and {np.shape(reconstructions)}"
        )
    above = _enlarged(to_bytes(originals, value_range))
    below = _enlarged(to_bytes(reconstructions, value_range))
    columns = min(columns or 8, len(above))
    rows, gaps = [], []
    for i in range(0, len(above), columns):
        rows += [_row(above[i : i + columns], columns), _row(below[i : i + columns], columns)]
        gaps += [_GUTTER, _PAIR_GAP]
    return _finished(rows, gaps[:-1], path)


def to_bytes(images: Any, value_range: tuple[float, float] = (0, 255)) -> npt.NDArray[np.uint8]:
    """Images `(N, H, W, C)` in `value_range`, clipped and rounded to uint8.

    It warns of floats that all lie in [0, 1] where white is 255: they are black.

    Raises:
        ValueError: for another shape, other than 1 or 3 channels, or no image.

    Example:
    >>> to_bytes(np.full((1, 1, 1, 1), 0.5), value_range=(0, 1)).item()
    128
    """
    array = np.asarray(images)
    if array.ndim != 4 or not array.size or array.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` should have the shape (n, height, width, channels) with 1 or 3 channels, "
            f"and hold at least one. Received: shape {array.shape}"
        )
    if array.dtype == np.uint8 and tuple(value_range) == (0, 255):
        return array
    low, high = value_range
    if (low, high) == (0, 255) and array.dtype.kind == "f" and 0 < np.nan_to_num(array).max() <= 1:
        warnings.warn(
            "All images are within [0, 1], which is black for value_range=(0, 255). Pass "
            "`value_range=(0, 1)` if they are scaled already",
            stacklevel=2,
        )
    unit = (array.astype(np.float32) - low) / (high - low)
    # Half a grey level goes up, as printed.
    return np.floor(np.clip(np.nan_to_num(unit), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def save_image(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8]) -> None:
    """Writes one uint8 image `(H, W, 1 or 3)` as PNG, whole or not at all."""
    from PIL import Image

    with atomic_write(path) as temporary:
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(temporary, "PNG")


def _columns(columns: int | None, count: int) -> int:
    if columns is not None and columns < 1:
        raise ValueError(f"`columns` should be at least 1. Received: columns={columns}")
    return min(columns or math.ceil(math.sqrt(count)), count)


def _enlarged(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    factor = min(max(_SIDE // max(images.shape[1:3]), 1), 8)
    rgb = np.broadcast_to(images, (*images.shape[:-1], 3))
    return rgb.repeat(factor, axis=1).repeat(factor, axis=2)


def _captioned(tile: npt.NDArray[np.uint8], caption: str) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    height, width, _ = tile.shape
    canvas = Image.new("RGB", (width, height + _CAPTION), (_PAPER,) * 3)
    canvas.paste(Image.fromarray(tile), (0, 0))
    ImageDraw.Draw(canvas).text((1, height), in_ascii(caption), fill=(0, 0, 0))
    return np.asarray(canvas)


def in_ascii(text: str) -> str:
    """The text in letters that Pillow's font has: without accents, `?` for other scripts.

    Example:
    >>> in_ascii("größe 写真")
    'grosse ??'
    """
    parts = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return (
        "".join(c for c in parts if not unicodedata.combining(c))
        .encode("ascii", "replace")
        .decode()
    )


def _row(tiles: npt.NDArray[np.uint8], columns: int) -> npt.NDArray[np.uint8]:
    count, height, width, _ = tiles.shape
    row = np.full((height, columns * (width + _GUTTER) - _GUTTER, 3), _PAPER, np.uint8)
    for i in range(count):
        left = i * (width + _GUTTER)
        row[:, left : left + width] = tiles[i]
    return row


def _finished(
    rows: list[npt.NDArray[np.uint8]], gaps: list[int], path: str | os.PathLike[str] | None
) -> npt.NDArray[np.uint8]:
    parts = [rows[0]]
    for gap, row in zip(gaps, rows[1:], strict=True):
        parts += [np.full((gap, row.shape[1], 3), _PAPER, np.uint8), row]
    picture = np.pad(np.concatenate(parts), [(_GUTTER,) * 2] * 2 + [(0, 0)], constant_values=_PAPER)
    if path is not None:
        save_image(path, picture)
    return picture
