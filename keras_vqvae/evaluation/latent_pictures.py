"""Codes and latents as pictures."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["codes_picture", "latent_picture"]


def codes_picture(
    model: Any, codes: Any, size: tuple[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """Codes as pictures: a square for each position, coloured by the code's vector.

    Codes with vectors alike have colours alike; see `latent_picture`.

    Args:
        model: a built `models.VQVAE`.
        codes: `(N, *code_shape)`.
        size: height and width of a picture, in pixels. By default those of the images.

    Returns:
        uint8 `(N, height, width, 3)`.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> codes_picture(model, np.arange(48).reshape(3, 4, 4) % 6).shape
    (3, 8, 8, 3)
    """
    vectors = np.asarray(model.quantizer.decode(codes))
    return latent_picture(vectors, model.image_shape[:2] if size is None else size)


def latent_picture(vectors: Any, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Grids of vectors as pictures: red, green and blue are their three main components.

    The components are those of all the vectors together, each scaled to its spread: pictures that
    should compare have to be made in one call.

    Args:
        vectors: float `(N, h, w, D)`.
        size: height and width of a picture, in pixels. Defaults to `(h, w)`.

    Returns:
        uint8 `(N, height, width, 3)`; grey if D is 1.

    Example:
    >>> latent_picture(np.array([0.0, 1.0]).reshape(1, 1, 2, 1)).tolist()
    [[[[76, 76, 76], [178, 178, 178]]]]
    """
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 4:
        raise ValueError(
            f"`vectors` should have the shape (N, h, w, D). Received: shape {vectors.shape}"
        )
    count, height, width, dim = vectors.shape
    rows = vectors.reshape(-1, dim) - vectors.reshape(-1, dim).mean(axis=0)
    _, axes = np.linalg.eigh(rows.T @ rows)
    axes = axes[:, ::-1][:, :3]  # the widest spread first
    # An axis has no sign of its own: its largest number is taken to be positive.
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    colours = rows @ (axes * np.sign(largest))
    colours = 0.5 + 0.2 * colours / np.maximum(colours.std(axis=0), 1e-12)
    if dim < 3:
        colours = np.concatenate([colours, colours[:, :1], colours[:, :1]], axis=1)[:, :3]
    pixels = np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)
    pixels = pixels.reshape(count, height, width, 3)
    if size is None:
        return pixels
    lines = np.arange(size[0]) * height // size[0], np.arange(size[1]) * width // size[1]
    return pixels[:, lines[0]][:, :, lines[1]]
