"""Figures of generated images beside real ones."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.data import ImageBatches, ImageSource, load_images
from keras_vqvae.metrics import FrechetDistance, SamplePrecisionRecall

__all__ = ["evaluate_samples", "image_features", "nearest_images"]

# So many distances are held at one time, 8 MiB of them, whatever the number of images.
_DISTANCES = 2**20


def evaluate_samples(
    real: Any,
    samples: Any,
    feature_extractor: Any = None,
    neighbors: int = 3,
    batch_size: int = 128,
) -> dict[str, float]:
    """Fréchet distance, precision and recall of generated images.

    Images of both sets pass through the feature extractor batch by batch, and only their features
    are kept, so that tens of thousands take little memory.

    Args:
        real: what `data.load_images` takes, an iterable of batches `(n, H, W, C)`, or features
            `(n, D)`, as `image_features` gives them.
        samples: generated images in the same scale, given in one of these ways.
        feature_extractor: a Keras model, images to features, such as `classifier_features` or
            `encoder_features` give. Figures compare only under the same one. It is not asked for
            what are features already.
        neighbors: of precision and recall. Defaults to `3`.
        batch_size: images at one time, for what is no iterable of batches. Defaults to `128`.

    Returns:
        `frechet_distance`, `precision`, `recall`, and the numbers of `real_images`, `samples` and
        `features`.

    Raises:
        ValueError: for too few images, saying how many there should be, or for images of another
            size than the feature extractor's.

    Example:
    >>> import keras
    >>> pooling = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.GlobalMaxPooling2D()])
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1)).astype("uint8")
    >>> figures = evaluate_samples(images, images, pooling)
    >>> figures["frechet_distance"], figures["precision"], figures["features"]
    (0.0, 1.0, 1)
    """
    sets = [
        images
        if isinstance(images, np.ndarray) and images.ndim == 2
        else image_features(images, feature_extractor, batch_size)
        for images in (real, samples)
    ]
    chunk_size = max(1, _DISTANCES // max(map(len, sets)))
    frechet = FrechetDistance()
    manifolds = SamplePrecisionRecall(neighbors=neighbors, chunk_size=chunk_size)
    for metric in (frechet, manifolds):
        metric.update_state(*sets)
    return {
        "frechet_distance": frechet.result(),
        **manifolds.result(),
        "real_images": len(sets[0]),
        "samples": len(sets[1]),
        "features": sets[0].shape[1],
    }


def image_features(
    images: Any, feature_extractor: Any, batch_size: int = 128
) -> npt.NDArray[np.float32]:
    """The features of images, read and extracted batch by batch.

    Args:
        images: what `data.load_images` takes, or an iterable of batches `(n, H, W, C)`.
        feature_extractor: a Keras model, images to features; a map of features is averaged over its
            positions.
        batch_size: images at one time, for what is no iterable of batches. Defaults to `128`.

    Returns:
        float32 `(n, features)`.

    Raises:
        ValueError: for no images, or images of another size than the feature extractor's.
    """
    metric = FrechetDistance(feature_extractor)  # for its checks
    parts = []
    for batch in _batches(images, batch_size):
        found = metric.features(batch, "images")
        assert found is not None  # a batch is never None
        parts.append(found.astype(np.float32))
    if not parts:
        raise ValueError("`images` should hold at least one image. Received: none")
    return np.concatenate(parts)


def nearest_images(
    queries: Any,
    images: Any,
    count: int = 3,
    value_range: tuple[float, float] = (0, 255),
    batch_size: int = 256,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The images that are nearest to others, pixel by pixel; it shows whether samples are copies.

    The distance is the root of the mean squared difference on the [0, 1] scale. Images are read
    batch by batch.

    Args:
        queries: array `(n, H, W, C)`.
        images: where to look: what `data.load_images` takes.
        count: how many neighbours. Defaults to `3`.
        value_range: what black and white are. Defaults to `(0, 255)`.
        batch_size: images at one time. Defaults to `256`.

    Returns:
        Indices of images, int64 `(n, count)`, the nearest first, and their distances, float64 of
        the same shape.

    Raises:
        ValueError: for images of another shape than the queries', or fewer than `count`.

    Example:
    >>> images = np.arange(5).reshape(5, 1, 1, 1) * 51
    >>> indices, distances = nearest_images(np.array([[[[50.0]]]]), images, count=2)
    >>> indices.tolist(), distances.round(3).tolist()
    ([[1, 0]], [[0.004, 0.196]])
    """
    source, queries = load_images(images), np.asarray(queries)
    if queries.ndim != 4 or queries.shape[1:] != source.image_shape:
        raise ValueError(
            f"`queries` should be images of shape (n, {', '.join(map(str, source.image_shape))}). "
            f"Received: shape {queries.shape}"
        )
    if not 1 <= count <= len(source):
        raise ValueError(
            f"`count` should be between 1 and the number of images, {len(source)}. "
            f"Received: count={count}"
        )
    rows = _unit_rows(queries, value_range)
    best = np.full((len(rows), count), np.inf)
    where = np.full((len(rows), count), -1, np.int64)
    for start in range(0, len(source), batch_size):
        indices = np.arange(start, min(start + batch_size, len(source)))
        batch = _unit_rows(source.read(indices), value_range)
        found = np.square(rows).sum(1)[:, None] + np.square(batch).sum(1) - 2.0 * rows @ batch.T
        distances = np.concatenate([best, found], axis=1)
        candidates = np.concatenate([where, np.broadcast_to(indices, found.shape)], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(distances, order, axis=1)
        where = np.take_along_axis(candidates, order, axis=1)
    return where, np.sqrt(np.maximum(best, 0.0) / rows.shape[1])


def _unit_rows(images: Any, value_range: tuple[float, float]) -> npt.NDArray[np.float64]:
    low, high = value_range
    unit = (np.asarray(images, np.float64) - low) / (high - low)
    return unit.reshape(len(unit), -1) - 0.5


def _batches(images: Any, batch_size: int) -> Iterator[Any]:
    is_data = hasattr(images, "__array__") or isinstance(images, str | tuple | ImageSource)
    if isinstance(images, Iterable) and not is_data and not hasattr(images, "__fspath__"):
        yield from images
        return
    batches = ImageBatches(load_images(images), batch_size)
    for step in range(len(batches)):
        yield batches[step]
