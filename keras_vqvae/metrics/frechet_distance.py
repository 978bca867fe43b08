"""How far generated images are from real ones, as Gaussians of features."""

from typing import Any

import keras
import numpy as np

from keras_vqvae.choices import PACKAGE
from keras_vqvae.metrics.features import FeatureMetric, Features

__all__ = ["FrechetDistance"]


@keras.saving.register_keras_serializable(PACKAGE)
class FrechetDistance(FeatureMetric):
    """Fréchet distance of the features of real and of generated images, each seen as a Gaussian.

    ```
    d² = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½)
    ```

    With the features of an Inception network it is the FID; its figures compare only with those
    of the same feature extractor and the same number of images, since few images raise it. Means
    and covariances are kept in float64, D + D² numbers for each of the two sets, whatever the
    number of images. Updates are eager, and so it is no metric for `compile`.

    Args:
        feature_extractor: a Keras model, images to D features; a map of features is averaged over
            its positions. `None` if features are passed in place of images. Defaults to `None`.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Raises:
        ValueError: by `result()` for fewer than D + 1 images of either kind: their covariance has
            not its full rank; by `update_state` for images that the extractor does not take.

    Example:
    >>> import numpy as np
    >>> metric = FrechetDistance()
    >>> metric.update_state(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    >>> round(float(metric.result()), 4)  # means 1 and 4, variances alike
    9.0

    References:
        - [GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
          Equilibrium](https://arxiv.org/abs/1706.08500), equation 6
    """

    def __init__(
        self, feature_extractor: Any = None, name: str = "frechet_distance", **kwargs: Any
    ) -> None:
        super().__init__(feature_extractor, name, **kwargs)
        self._moments = {"real": _Moments(), "generated": _Moments()}

    def take(self, real: Features | None, generated: Features | None) -> None:
        for kind, features in (("real", real), ("generated", generated)):
            if features is not None:
                self._moments[kind].take(features)

    def result(self) -> float:
        real, generated = self._moments["real"], self._moments["generated"]
        check_counts(real.count, generated.count, max(real.width, generated.width, 1))
        distance = np.sum(np.square(real.mean - generated.mean))
        traces = np.trace(real.covariance) + np.trace(generated.covariance)
        return max(float(distance + traces - 2.0 * _trace_of_root(real, generated)), 0.0)

    def reset_state(self) -> None:
        super().reset_state()
        for moments in self._moments.values():
            moments.clear()


def check_counts(real: int, generated: int, features: int) -> None:
    """Refuses fewer images than a covariance of so many features needs for its full rank."""
    least = features + 1
    if min(real, generated) < least:
        raise ValueError(
            f"too few samples for a Fréchet distance: it needs at least {least} real and as "
            f"many generated images for features of {features} numbers, and better ten times "
            f"as many. Received: {real} real and {generated} generated"
        )


class _Moments:
    """Mean and covariance of all rows seen, in float64."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.count, self.width = 0, 0
        self.mean, self._scatter = np.zeros(0), np.zeros((0, 0))

    def take(self, rows: Features) -> None:
        # Chan, Golub, LeVeque: the scatter of two sets is that of each, and that of their means.
        if not self.count:
            self.width = rows.shape[1]
            self.mean, self._scatter = np.zeros(self.width), np.zeros((self.width, self.width))
        count = self.count + len(rows)
        mean = rows.mean(axis=0)
        step = mean - self.mean
        centred = rows - mean
        self._scatter += centred.T @ centred
        self._scatter += np.outer(step, step) * (self.count * len(rows) / count)
        self.mean = self.mean + step * (len(rows) / count)
        self.count = count

    @property
    def covariance(self) -> Features:
        return self._scatter / (self.count - 1)

    def root(self) -> Features:
        """A matrix A with A Aᵀ = Σ."""
        values, vectors = np.linalg.eigh(self.covariance)
        return vectors * np.sqrt(np.maximum(values, 0.0))


def _trace_of_root(first: _Moments, second: _Moments) -> float:
    """tr((Σ₁ Σ₂)^½): the singular values of A₁ᵀ A₂, added up; real for every pair of covariances.

    A root of the product itself is complex, or not to be had, where one of the two is singular.
    """
    return float(np.linalg.norm(first.root().T @ second.root(), ord="nuc"))
