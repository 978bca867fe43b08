"""What lies between images, and what a code means."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "interpolate",
    "mix_codes",
    "random_codes",
    "random_latents",
    "swap_region",
    "traverse_code",
]

Codes = npt.NDArray[np.int32]


def interpolate(
    model: Any, first: Any, second: Any, steps: int = 8, batch_size: int = 128
) -> npt.NDArray[np.float32]:
    """Images on the straight line between two images in the encoder's space.

    `z = (1 − t) z_first + t z_second` for even t from 0 to 1; a VQ-VAE quantizes z before it
    decodes it.

    Args:
        model: a built `models.Autoencoder`, or a model made of it, such as `models.VQVAE`.
        first: images `(N, H, W, C)` in the model's `value_range`.
        second: as many images.
        steps: how many, both ends included. Defaults to `8`.
        batch_size: images at one time. Defaults to `128`.

    Returns:
        float32 `(N, steps, H, W, C)` in the model's `value_range`.

    Raises:
        ValueError: for fewer than two steps, or shapes that do not fit.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, widths=(4,))
    >>> black, white = np.zeros((2, 8, 8, 1)), np.full((2, 8, 8, 1), 255)
    >>> interpolate(model, black, white, steps=5).shape
    (2, 5, 8, 8, 1)
    """
    first, second = np.asarray(first), np.asarray(second)
    _check_pair(first, second, steps)
    encoder = model.encoder_model()  # its vectors, also of a VQ-VAE
    for name, images in (("first", first), ("second", second)):
        model.check_images(images, name)
    ends = [model.map_data("encoder_model", encoder, x, batch_size) for x in (first, second)]
    shares = np.linspace(0.0, 1.0, steps, dtype=np.float32)
    latents = np.stack([(1 - t) * ends[0] + t * ends[1] for t in shares], axis=1)
    latents = latents.reshape(-1, *latents.shape[2:])
    if hasattr(model, "quantizer"):
        parts = [
            np.asarray(model.quantizer.encode(latents[i : i + batch_size]))
            for i in range(0, len(latents), batch_size)
        ]
        latents = np.concatenate(parts)
    images = model.decode(latents, batch_size=batch_size)
    return images.reshape(len(first), steps, *images.shape[1:])


def mix_codes(first: Any, second: Any, steps: int = 8, seed: int | None = None) -> Codes:
    """Codes that turn from one image's into another's, position by position.

    Args:
        first: codes `(N, h, w)`, `(N, h, w, Q)` or a sequence `(N, L)`.
        second: as many codes of the same shape.
        steps: how many, both ends included. Defaults to `8`.
        seed: `None` takes the positions from left to right; an integer ≥ 0 in a random order.

    Returns:
        int32 `(N, steps, …)`: step 0 is `first`, the last one `second`.

    Raises:
        ValueError: for fewer than two steps, or shapes that do not fit.

    Example:
    >>> mix_codes(np.zeros((1, 1, 4), int), np.ones((1, 1, 4), int), steps=3)[0, :, 0].tolist()
    [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    """
    first, second = _integers(first), _integers(second)
    _check_pair(first, second, steps)
    grid = first.shape[1:3]
    positions = int(np.prod(grid))
    order = (
        np.arange(positions) if seed is None else np.random.default_rng(seed).permutation(positions)
    )
    rank = np.empty(positions, int)
    rank[order] = np.arange(positions)
    # Column by column: transposed, they are counted along the rows.
    rank = rank.reshape(grid[::-1]).T
    taken = np.stack([rank < round(t * positions) for t in np.linspace(0.0, 1.0, steps)])
    taken = taken.reshape(1, steps, *grid, *(1,) * (first.ndim - 1 - len(grid)))
    return np.where(taken, second[:, None], first[:, None])


def swap_region(
    first: Any, second: Any, rows: slice, columns: slice = slice(None)
) -> tuple[Codes, Codes]:
    """Two images' codes with a region of them exchanged.

    Args:
        first: codes `(N, h, w)` of grids, or `(N, h, w, Q)`.
        second: codes of the same shape.
        rows: which rows of the grid, `slice(0, 3)` for the first three.
        columns: which columns. Defaults to all.

    Returns:
        The first codes with the region out of the second, and the other way round: int32.

    Raises:
        ValueError: for shapes that do not fit, or a region that is empty.

    Example:
    >>> a, b = swap_region(np.zeros((1, 2, 2), int), np.ones((1, 2, 2), int), slice(0, 1))
    >>> a.tolist(), b.tolist()
    ([[[1, 1], [0, 0]]], [[[0, 0], [1, 1]]])
    """
    first, second = _integers(first), _integers(second)
    _check_pair(first, second, 2)
    if first.ndim < 3:
        raise ValueError(f"codes should be grids (N, h, w). Received: shape {first.shape}")
    region = (slice(None), rows, columns)
    if not first[region].size:
        raise ValueError(
            f"the region should hold at least one position of a grid {first.shape[1:3]}. "
            f"Received: rows={rows}, columns={columns}"
        )
    swapped = first.copy(), second.copy()
    swapped[0][region], swapped[1][region] = second[region], first[region]
    return swapped


def traverse_code(
    model: Any, codes: Any, row: int, column: int, count: int = 16, depth: int = 0
) -> Codes:
    """One position of an image's codes taken through the table, from near codes to far ones.

    Args:
        model: a built `models.VQVAE`.
        codes: the codes of one image, `(h, w)` or `(h, w, Q)`.
        row: of the position.
        column: of the position.
        count: how many of the K codes, evenly spread over the order of their distance from the one
            that is there, which is the first. Defaults to `16`; K at most.
        depth: which of Q codes at the position. Defaults to `0`.

    Returns:
        int32 `(count, h, w)`, or `(count, h, w, Q)`, for `model.decode`.

    Raises:
        ValueError: for a position outside the grid, or codes of another shape than the model's.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> codes = traverse_code(model, np.zeros((4, 4), int), row=1, column=2, count=3)
    >>> codes.shape, int(codes[0, 1, 2]), len(set(codes[:, 1, 2].tolist()))
    ((3, 4, 4), 0, 3)
    """
    codes = _integers(codes)
    if codes.shape != tuple(model.code_shape) or codes.ndim < 2:
        raise ValueError(
            f"`codes` should be those of one image, a grid of shape {model.code_shape}. "
            f"Received: shape {codes.shape}"
        )
    height, width = codes.shape[:2]
    depths = codes.shape[2] if codes.ndim > 2 else 1
    if not (0 <= row < height and 0 <= column < width and 0 <= depth < depths):
        raise ValueError(
            f"`row`, `column` and `depth` should lie within {(height, width, depths)}. "
            f"Received: row={row}, column={column}, depth={depth}"
        )
    size = int(np.broadcast_to(model.num_embeddings, (depths,))[depth])
    here = codes[row, column].reshape(depths)
    choices = np.repeat(here[None], size, axis=0)
    choices[:, depth] = np.arange(size)
    vectors = np.asarray(model.quantizer.decode(choices if codes.ndim > 2 else choices[:, 0]))
    far = np.square(vectors - vectors[here[depth]]).sum(axis=-1)
    far[here[depth]] = -1.0  # first, before a code of the same vector
    order = np.argsort(far, kind="stable")
    order = order[np.linspace(0, size - 1, min(count, size)).round().astype(int)]
    result = np.repeat(codes[None], len(order), axis=0)
    result[:, row, column] = choices[order] if codes.ndim > 2 else order
    return result


def random_codes(model: Any, n: int, like: Any = None, seed: int = 0) -> Codes:
    """Codes drawn one by one, without a prior: what images are made of, and not how.

    Args:
        model: a built `models.VQVAE`.
        n: how many grids.
        like: codes of images `(M, *code_shape)`, whose positions are drawn from. By default all
            codes of the table are equally likely.
        seed: an integer ≥ 0. Defaults to `0`.

    Returns:
        int32 `(n, *code_shape)`.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> codes = random_codes(model, 3)
    >>> codes.shape, bool((codes < 6).all())
    ((3, 4, 4), True)
    """
    rng, shape = np.random.default_rng(seed), tuple(model.code_shape)
    if like is None:
        return rng.integers(0, model.num_embeddings, (n, *shape), dtype=np.int32)
    depth = shape[2:]
    rows = _integers(like).reshape(-1, *depth)
    return rows[rng.integers(0, len(rows), (n, *shape[:2]))]


def random_latents(latents: Any, n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Latents of an autoencoder drawn from a Gaussian, each number with the mean and spread it has.

    Args:
        latents: what the encoder gives for images, float `(M, h, w, D)`.
        n: how many.
        seed: an integer ≥ 0. Defaults to `0`.

    Returns:
        float32 `(n, h, w, D)`, for `model.decode`.

    Example:
    >>> random_latents(np.ones((5, 2, 2, 3)), 4).shape
    (4, 2, 2, 3)
    """
    latents = np.asarray(latents, np.float32)
    noise = np.random.default_rng(seed).standard_normal((n, *latents.shape[1:]), np.float32)
    return latents.mean(axis=0) + latents.std(axis=0) * noise


def _integers(codes: Any) -> Codes:
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"codes should be integers. Received: dtype {codes.dtype}")
    return codes.astype(np.int32)


def _check_pair(first: Any, second: Any, steps: int) -> None:
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(
            "`first` and `second` should have one shape, with an axis of images. "
            f"Received: {first.shape} and {second.shape}"
        )
    if steps < 2:
        raise ValueError(f"`steps` should be at least 2, the two ends. Received: steps={steps}")
