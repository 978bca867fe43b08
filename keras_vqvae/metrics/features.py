"""What the metrics share that compare real and generated images by their features."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.compilation import is_concrete

Features = npt.NDArray[np.float64]


class FeatureMetric(keras.metrics.Metric):
    """A metric of two sets of images, seen through a feature extractor.

    Its state is in NumPy, on the host: so it is updated eagerly, and no metric for `compile`.
    """

    def __init__(self, feature_extractor: Any, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if feature_extractor is not None and not hasattr(feature_extractor, "predict_on_batch"):
            raise ValueError(
                f"`feature_extractor` of '{name}' should be a Keras model, or None if features are "
                f"passed. Received: feature_extractor={feature_extractor!r}"
            )
        self.feature_extractor = feature_extractor
        self._width: int | None = None

    def take(self, real: Features | None, generated: Features | None) -> None:
        """Takes in features `(batch, D)` of either kind, one or more of the same D as before."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Forgets all images; to be called by a subclass that forgets its own."""
        self._width = None

    def update_state(self, y_true: Any = None, y_pred: Any = None) -> None:
        """Takes in real images, generated images, or both, however many of each.

        Args:
            y_true: real images, as the feature extractor takes them, or features `(batch, D)`
                if there is none.
            y_pred: generated ones.

        Raises:
            ValueError: for images of another size than the feature extractor's, and for features
                that are not finite or of another number than before.
            NotImplementedError: in compiled code.
        """
        both = [self.features(y_true, "y_true"), self.features(y_pred, "y_pred")]
        both = [None if x is None or not len(x) else x for x in both]
        # Before any is taken in: an error changes nothing.
        widths = [self._width] if self._width is not None else []
        widths += [x.shape[1] for x in both if x is not None]
        if len(set(widths)) > 1:
            raise ValueError(
                f"all features of '{self.name}' should have one length. "
                f"Received: lengths {', '.join(map(str, widths))}, one after another"
            )
        self._width = widths[0] if widths else None
        self.take(*both)

    def features(self, images: Any, argument: str) -> Features | None:
        """The features of images, checked: float64 `(batch, D)`; `None` for `None`."""
        if images is None:
            return None
        if not is_concrete(images):
            raise NotImplementedError(self._on_the_host())
        found = np.asarray(images)
        if self.feature_extractor is not None:
            self._check_size(found.shape, argument)
            found = np.asarray(self.feature_extractor.predict_on_batch(found))
        if found.ndim < 2:
            raise ValueError(
                f"the features of '{self.name}' should have the shape (batch, D). "
                f"Received: shape {found.shape}"
            )
        # Of a map of features, their means over the map.
        features = found.astype(np.float64).mean(axis=tuple(range(1, found.ndim - 1)))
        if not np.isfinite(features).all():
            raise ValueError(
                f"the features of `{argument}` should be finite. Received: NaN or infinity in "
                f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} images"
            )
        return features

    def stateless_update_state(self, metric_variables: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(self._on_the_host())

    def stateless_result(self, metric_variables: Any) -> Any:
        raise NotImplementedError(self._on_the_host())

    def get_config(self) -> dict[str, Any]:
        if self.feature_extractor is None:
            return {**super().get_config(), "feature_extractor": None}
        if self.feature_extractor.weights:
            raise NotImplementedError(
                f"Metric '{self.name}' has no config: that of its feature extractor would lose the "
                "weights. Save the feature extractor, and make the metric anew with it."
            )
        extractor = keras.saving.serialize_keras_object(self.feature_extractor)
        return {**super().get_config(), "feature_extractor": extractor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        extractor = keras.saving.deserialize_keras_object(config["feature_extractor"])
        return cls(**{**config, "feature_extractor": extractor})

    def _check_size(self, shape: tuple[int, ...], argument: str) -> None:
        wanted = getattr(self.feature_extractor, "input_shape", None)
        if isinstance(wanted, list) and len(wanted) == 1:
            wanted = wanted[0]  # `keras.Model(other.inputs, ...)`
        if not isinstance(wanted, tuple):
            return  # a model that says nothing before it is called
        fits = len(shape) == len(wanted) and all(
            w is None or w == s for w, s in zip(wanted[1:], shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"the feature extractor of '{self.name}' takes inputs of shape {wanted[1:]}. "
                f"Received: `{argument}` of shape {shape[1:]} each. Put layers that convert them "
                "(`keras.layers.Resizing`, and a concatenation of grey to RGB) before it"
            )

    def _on_the_host(self) -> str:
        return (
            f"Metric '{self.name}' keeps its state in NumPy: update it eagerly, outside of "
            "`compile` and of compiled functions"
        )
