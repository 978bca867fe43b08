"""Checks of images on the host, where an error can say what is wrong."""

import itertools
from typing import Any

import numpy as np

__all__ = ["check_image_data", "check_images"]


def check_images(
    images: np.ndarray, value_range: tuple[float, float], image_shape: Any, argument: str = "x"
) -> None:
    """Checks a batch of images `(N, H, W, C)`.

    Args:
        images: the batch.
        value_range: what black and white are.
        image_shape: `(H, W, C)` with `None` for what may vary, or `None` if it is not known yet.
        argument: the name of the argument, for the message.

    Raises:
        ValueError: for another shape, for values that are not finite or not in `value_range`, and
            for floats in [0, 1] where `value_range` is (0, 255).
    """
    expected = tuple(image_shape) if image_shape is not None else (None, None, None)
    fits = images.ndim == 4 and all(
        want is None or want == got for want, got in zip(expected, images.shape[1:], strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in expected)
        hint = ""
        if images.ndim == 3:
            hint = f" Add the missing axis: `{argument}[..., None]` for grey images."
        raise ValueError(
            f"`{argument}` should be images of shape (batch, {wanted}). "
            f"Received: shape {images.shape}.{hint}"
        )
    if images.size == 0:
        return
    low, high = value_range
    least, most = float(images.min()), float(images.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        bad = np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))
        raise ValueError(
            f"`{argument}` should hold finite numbers. Received: NaN or infinity in "
            f"{len(bad)} image(s), the first at index {bad[0]}."
        )
    if least < low or most > high:
        raise ValueError(
            f"`{argument}` should be within value_range=({low:g}, {high:g}). Received: values in "
            f"[{least:g}, {most:g}]. Pass the `value_range` that your images have to the model."
        )
    if images.dtype.kind == "f" and (low, high) == (0.0, 255.0) and 0.0 < most <= 1.0:
        raise ValueError(
            f"`{argument}` holds floats in [{least:g}, {most:g}], but value_range=(0, 255). Pass "
            "`value_range=(0, 1)` to the model if your images are already scaled."
        )


def check_image_data(
    data: Any, value_range: tuple[float, float], image_shape: Any, argument: str = "x"
) -> None:
    """Checks arrays as a whole, and the first batch of a data set; generators are left alone."""
    if data is None:
        return
    if isinstance(data, np.ndarray):
        batch: Any = data
    elif hasattr(data, "take") and hasattr(data, "element_spec"):  # tf.data
        batch = next(iter(data.take(1)), None)
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and hasattr(data, "workers"):
        batch = data[0] if len(data) else None  # a PyDataset
    elif hasattr(data, "__array__"):
        batch = data
    else:
        return
    batch = next(itertools.islice(batch, 1)) if isinstance(batch, tuple | list) else batch
    if batch is not None:
        check_images(np.asarray(batch), value_range, image_shape, argument)
