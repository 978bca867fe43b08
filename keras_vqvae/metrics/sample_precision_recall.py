"""Whether samples are like the data, and whether all of the data is among them."""

from typing import Any

import keras
import numpy as np

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.metrics.features import FeatureMetric, Features

__all__ = ["SamplePrecisionRecall"]


@keras.saving.register_keras_serializable(PACKAGE)
class SamplePrecisionRecall(FeatureMetric):
    """Precision and recall of generated images, by the neighbours of their features.

    A set's manifold is a ball around each of its members that reaches to the member's k-th
    nearest neighbour in the set. `result()` gives

    - `precision`: the share of generated images within the manifold of the real ones (are they
      like the data?),
    - `recall`: the share of real images within the manifold of the generated ones (is all of the
      data among them?).

    Features are kept, D float32 numbers an image; distances are computed `chunk_size` rows at a
    time, in float64. Updates are eager, and so it is no metric for `compile`. Use as many generated
    images as real ones, and the same number for all models that are compared.

    Args:
        feature_extractor: a Keras model, images to D features; a map of features is averaged over
            its positions. `None` if features are passed in place of images. Defaults to `None`.
        neighbors: k. Defaults to `3`, as in the paper.
        chunk_size: rows of the matrix of distances at one time. Defaults to `1024`.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Raises:
        ValueError: by `result()` for fewer than k + 1 images of either kind; by `update_state` for
            images that the extractor does not take.

    Example:
    >>> import numpy as np
    >>> real, generated = np.arange(4.0)[:, None], np.array([[0.5], [1.5], [9.0]])
    >>> metric = SamplePrecisionRecall(neighbors=1)
    >>> metric.update_state(real, generated)
    >>> {key: round(value, 4) for key, value in metric.result().items()}
    {'precision': 0.6667, 'recall': 1.0}

    References:
        - [Improved Precision and Recall Metric for Assessing Generative
          Models](https://arxiv.org/abs/1904.06991), equations 1 and 2
    """

    def __init__(
        self,
        feature_extractor: Any = None,
        neighbors: int = 3,
        chunk_size: int = 1024,
        name: str = "sample_precision_recall",
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_extractor, name, **kwargs)
        self.neighbors = check_count("neighbors", neighbors)
        self.chunk_size = check_count("chunk_size", chunk_size)
        self.reset_state()

    def take(self, real: Features | None, generated: Features | None) -> None:
        for features, kept in ((real, self._real), (generated, self._generated)):
            if features is not None:
                kept.append(features.astype(np.float32))

    def result(self) -> dict[str, float]:
        counts = [sum(map(len, kept)) for kept in (self._real, self._generated)]
        if min(counts) <= self.neighbors:
            raise ValueError(
                f"too few samples for precision and recall: with neighbors={self.neighbors} it "
                f"needs at least {self.neighbors + 1} images of each kind. "
                f"Received: {counts[0]} real and {counts[1]} generated"
            )
        real, generated = np.concatenate(self._real), np.concatenate(self._generated)
        return {
            "precision": self._share_within(generated, real),
            "recall": self._share_within(real, generated),
        }

    def reset_state(self) -> None:
        super().reset_state()
        self._real: list[Any] = []
        self._generated: list[Any] = []

    def get_config(self) -> dict[str, Any]:
        config = {"neighbors": self.neighbors, "chunk_size": self.chunk_size}
        return {**super().get_config(), **config}

    def _share_within(self, points: Any, members: Any) -> float:
        """The share of `points` that lie in the ball of at least one of `members`."""
        radii = np.empty(len(members))
        for start, distances in self._distances(members, members):
            rows = np.arange(len(distances))
            distances[rows, start + rows] = -1.0  # itself, before all others
            near = np.partition(distances, self.neighbors, axis=1)[:, self.neighbors]
            radii[start : start + len(rows)] = near
        within = sum(
            int((distances <= radii).any(axis=1).sum())
            for _, distances in self._distances(points, members)
        )
        return within / len(points)

    def _distances(self, points: Any, members: Any) -> Any:
        """Squared distances, some rows of `points` at a time: `(first row, (rows, members))`."""
        members = members.astype(np.float64)
        squares = np.einsum("nd,nd->n", members, members)
        for start in range(0, len(points), self.chunk_size):
            rows = points[start : start + self.chunk_size].astype(np.float64)
            sizes = np.einsum("nd,nd->n", rows, rows)[:, None] + squares
            distances = sizes - 2.0 * rows @ members.T
            # What rounding leaves of the distance of a point to its twin.
            distances[distances < 1e-12 * sizes] = 0.0
            yield start, distances
