"""Images and their reconstructions, as metrics get them."""

from typing import Any

from keras import ops

from keras_vqvae.checks import check_value_range
from keras_vqvae.metrics.running_mean import RunningMean


class ImagePairMetric(RunningMean):
    """A mean over images of one number for each image and its reconstruction.

    Args:
        value_range: what black and white are.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.
    """

    def __init__(self, value_range: tuple[float, float], name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.value_range = check_value_range(value_range)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value_range": list(self.value_range)}


def unit_scale(y_true: Any, y_pred: Any, value_range: tuple[float, float]) -> tuple[Any, Any]:
    """Two batches of images as float32, black 0 and white 1.

    Raises:
        ValueError: if they are no images `(batch, H, W, C)` of one shape.
    """
    low, high = value_range
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    shapes = tuple(y_true.shape), tuple(y_pred.shape)
    differ = any(None not in (a, b) and a != b for a, b in zip(*shapes, strict=False))
    if len(shapes[0]) != 4 or len(shapes[1]) != 4 or differ:
        raise ValueError(
            "`y_true` and `y_pred` should be images of one shape, (batch, height, width, "
            f"channels). Received: shapes {shapes[0]} and {shapes[1]}"
        )
    # Cast first: in bytes, 3 − 5 is 254.
    unit = [(ops.cast(x, "float32") - low) / (high - low) for x in (y_true, y_pred)]
    return unit[0], unit[1]


def check_sides(shape: Any, least: int, name: str, remedy: str) -> None:
    """Raises a ValueError if a side of images of this shape is not known, or below `least`."""
    sides = tuple(shape[1:3])
    if any(side is None or side < least for side in sides):
        raise ValueError(
            f"`{name}` needs images of at least {least}×{least} pixels, of known size. {remedy}. "
            f"Received: shape {tuple(shape)}"
        )
