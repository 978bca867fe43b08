"""What image files cost, as a yardstick for codes."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vqvae.evaluation.pictures import to_bytes

__all__ = ["lossless_rates", "webp_rates"]


def webp_rates(
    images: Any,
    qualities: Sequence[int | None] = (1, 10, 30, 60, 90, None),
    value_range: tuple[float, float] = (0, 255),
) -> list[tuple[float, float]]:
    """Bits per dimension and PSNR of images as WebP files, one image a file.

    Args:
        images: array `(N, H, W, C)` with 1 or 3 channels.
        qualities: of the files, 0 to 100; `None` is lossless.
        value_range: what black and white are. Defaults to `(0, 255)`.

    Returns:
        For each quality `(bits per dimension, PSNR in dB)`, of all images together; the PSNR of the
        lossless one is infinite.

    Example:
    >>> rates = webp_rates(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)), (10, None))
    >>> rates[0][0] < rates[1][0], rates[1][1]
    (True, inf)
    """
    from PIL import Image

    pixels = to_bytes(images, value_range)
    rates = []
    for quality in qualities:
        size, squares = 0, 0.0
        for image in pixels:
            buffer = io.BytesIO()
            rgb = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy())
            settings: dict[str, Any] = (
                {"lossless": True} if quality is None else {"quality": quality}
            )
            rgb.save(buffer, "WEBP", **settings)
            size += buffer.tell()
            with Image.open(buffer) as file:
                decoded = np.asarray(file.convert("RGB" if image.shape[-1] == 3 else "L"))
            error = decoded.reshape(image.shape).astype(np.float64) - image
            squares += float(np.square(error / 255.0).sum())
        psnr = -10.0 * math.log10(squares / pixels.size) if squares else math.inf
        rates.append((8.0 * size / pixels.size, psnr))
    return rates


def lossless_rates(images: Any, value_range: tuple[float, float] = (0, 255)) -> dict[str, float]:
    """Bits per dimension of images as PNG and as lossless WebP files, one image a file.

    Small images pay for the headers of their files too.

    Args:
        images: array `(N, H, W, C)` with 1 or 3 channels.
        value_range: what black and white are. Defaults to `(0, 255)`.

    Returns:
        `png` and `webp`.

    Example:
    >>> rates = lossless_rates(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 1)))
    >>> 8.0 < rates["png"] < 8.5  # noise, and a header
    True
    """
    from PIL import Image

    pixels = to_bytes(images, value_range)
    size = 0
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
            buffer, "PNG", optimize=True
        )
        size += buffer.tell()
    webp = webp_rates(images, (None,), value_range)[0][0]
    return {"png": 8.0 * size / pixels.size, "webp": webp}
