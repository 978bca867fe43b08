"""Checks of images on the host, where an error can say what is wrong."""

import os
from typing import Any, NoReturn

import keras
import numpy as np

__all__ = [
    "check_image_data",
    "check_images",
    "check_training_data",
    "first_batch",
    "refuse_list",
    "refuse_none",
]


def check_images(
    images: np.ndarray,
    value_range: tuple[float, float],
    image_shape: Any,
    argument: str = "x",
    by_scale: bool = True,
) -> None:
    """Checks a batch of images `(N, H, W, C)`.

    Args:
        images: the batch.
        value_range: what black and white are.
        image_shape: `(H, W, C)` with `None` for what may vary, or `None` if it is not known yet.
        argument: the name of the argument, for the message.
        by_scale: whether images that seem to have another scale are refused.

    Raises:
        ValueError: for another shape, for values that are not finite or not in `value_range`; and
            where `value_range` is not (0, 1) for booleans, where it is (0, 255) for floats in
            [0, 1] and for integers 0 and 1, unless they are all but black.
    """
    expected = tuple(image_shape) if image_shape is not None else (None, None, None)
    if not _fits(images.shape, expected):
        wanted = ", ".join("any" if n is None else str(n) for n in expected)
        raise ValueError(
            f"`{argument}` should be images of shape (batch, {wanted}). "
            f"Received: shape {images.shape}.{_missing_axis(images.shape, expected, argument)}"
        )
    if images.size == 0:
        return
    low, high = value_range
    if images.dtype == bool and (low, high) != (0.0, 1.0):
        raise ValueError(
            f"`{argument}` holds booleans, which are 0 and 1, but value_range=({low:g}, {high:g}). "
            "Pass `value_range=(0, 1)` to the model."
        )
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
    if not by_scale:
        return
    if (low, high) == (0.0, 255.0) and 0.0 < most <= 1.0 and not _may_be_dark(images):
        kind = "floats" if images.dtype.kind == "f" else "integers"
        raise ValueError(
            f"`{argument}` holds {kind} in [{least:g}, {most:g}], but value_range=(0, 255). Pass "
            "`value_range=(0, 1)` to the model if your images are already scaled."
        )


def _may_be_dark(images: np.ndarray) -> bool:
    """Whether integers 0 and 1 may be grey levels: of one image, or of images mostly all black."""
    if images.dtype.kind == "f":
        return False
    with_ones = images.reshape(len(images), -1).max(axis=1) > 0
    return len(images) == 1 or float(with_ones.mean()) <= 0.5


def _fits(shape: tuple[int, ...], expected: tuple[Any, ...]) -> bool:
    return len(shape) == 4 and all(
        want is None or want == got for want, got in zip(expected, shape[1:], strict=True)
    )


def _missing_axis(shape: tuple[int, ...], expected: tuple[Any, ...], argument: str) -> str:
    """What to add to images of this shape that lack an axis, if that is what is wrong."""
    one_image = ("[None]", (1, *shape), "one image")
    grey = ("[..., None]", (*shape, 1), "grey images")
    one_grey = ("[None, ..., None]", (1, *shape, 1), "one grey image")
    # Where the model has no size yet, both may do: the last axis looks like channels or does not.
    first = [one_image, grey] if shape and shape[-1] <= 4 else [grey, one_image]
    for index, with_axis, kind in [*first, one_grey]:
        if _fits(with_axis, expected):
            return f" Add the missing axis: `{argument}{index}` for {kind}."
    return ""


def check_image_data(
    data: Any,
    value_range: tuple[float, float],
    image_shape: Any,
    argument: str = "x",
    by_scale: bool = True,
) -> None:
    """Checks arrays as a whole, and the first batch of a data set; generators are left alone.

    Raises:
        TypeError: for a path, an `ImageSource` that is in no batches, or a list of images.
        ValueError: as `check_images`.
    """
    if isinstance(data, list | tuple):
        # A list of batches, or of tuples that begin with them, is as good as a data set.
        first = data[0] if len(data) else None
        first = first[0] if isinstance(first, list | tuple) and len(first) else first
        if first is None or np.ndim(first) < 4:
            refuse_list(data, argument, "images")
        data = first
    images, _ = _first_look(data, argument, image_shape)
    if images is not None:
        check_images(np.asarray(images), value_range, image_shape, argument, by_scale)


def check_training_data(
    data: Any,
    targets: Any,
    value_range: tuple[float, float],
    image_shape: Any,
    argument: str = "x",
) -> None:
    """As `check_image_data`; and refuses images as targets, for the model learns its own input.

    Labels of any kind pass, and the images themselves, as in `fit(x, x)`.

    Args:
        data: array or data set of images.
        targets: what was given beside an array, or `None`. Of a data set of pairs, the first batch
            says.
        value_range: what black and white are.
        image_shape: `(H, W, C)` with `None` for what may vary, or `None` if it is not known yet.
        argument: the name of the argument, for the message.

    Raises:
        TypeError: for a path, an `ImageSource` that is in no batches, or a list: Keras would take
            each of its items for an input of its own.
        ValueError: as `check_images`, for no images, and for targets of the images' shape that are
            other images.
    """
    if isinstance(data, list | tuple):
        refuse_list(data, argument, "images")
    images, of_data_set = _first_look(data, argument, image_shape)
    if images is None:
        return
    targets = of_data_set if targets is None else targets
    is_same = targets is images
    images = np.asarray(images)
    check_images(images, value_range, image_shape, argument)
    refuse_none(len(images), argument, "image")
    shape = tuple(getattr(targets, "shape", ()))
    if is_same or len(shape) != 4 or shape[1:] != images.shape[1:]:
        return
    if shape != images.shape or not _are_equal(images, targets):
        raise ValueError(
            f"The targets beside `{argument}` are images, of shape {shape}, and are not those of "
            f"`{argument}`. The model learns to reconstruct its own input, so they would be left "
            "out without a word. Pass the images alone, `fit(images)`; labels may stand beside "
            "them. To learn one image from another takes a `keras.Model` of your own."
        )


def refuse_list(data: Any, argument: str, kind: str) -> NoReturn:
    """Refuses a list of `kind`, each item an array."""
    raise TypeError(
        f"`{argument}` should be an array of {kind}, or a data set of batches of them. Received: a "
        f"{type(data).__name__} of {len(data)} item(s). Pass `np.stack({argument})` of {kind} of "
        f"one shape, or `np.concatenate({argument})` of batches."
    )


def refuse_none(count: int | None, argument: str, kind: str) -> None:
    """Refuses to train on nothing: what Keras does then depends on the backend."""
    if count == 0:
        raise ValueError(f"`{argument}` should hold at least one {kind}. Received: none")


def first_batch(data: Any, argument: str, item_shape: Any, kind: str) -> Any:
    """The first batch of a `PyDataset` or a `tf.data` pipeline; `None` of what else there is.

    A generator is left alone: a look would use the batch up.

    Args:
        data: a data set.
        argument: the name of the argument, for the message.
        item_shape: that of one item, as far as it is known; a pipeline of such is not batched.
        kind: what an item is called.

    Raises:
        TypeError: for a dict, or batches that are dicts.
        ValueError: for a data set without batches, or a pipeline of single items.
    """
    _refuse_dict(data, argument, kind)
    if hasattr(data, "take") and hasattr(data, "element_spec"):  # tf.data
        batch = next(iter(data.take(1)), None)
        refuse_none(0 if batch is None else 1, argument, "batch")
        _refuse_dict(batch, argument, kind)
        shape = getattr(keras.utils.unpack_x_y_sample_weight(batch)[0], "shape", None)
        if item_shape is not None and shape is not None and tuple(shape) == tuple(item_shape):
            raise ValueError(
                f"`{argument}` should give batches. Received: a pipeline of single {kind}s, of "
                f"shape {tuple(shape)}. Pass `{argument}.batch(128)`."
            )
        return batch
    if isinstance(data, keras.utils.PyDataset):
        refuse_none(data.num_batches, argument, "batch")
        batch = data[0]
        _refuse_dict(batch, argument, kind)
        return batch
    return None


def _refuse_dict(data: Any, argument: str, kind: str) -> None:
    """Refuses named arrays, as pipelines of other libraries give them: which is which is unsaid."""
    if isinstance(data, dict):
        names = list(map(repr, data))
        pair = f"({', '.join(f'one[{name}]' for name in names[:2])})"
        raise TypeError(
            f"`{argument}` should give {kind}s, or pairs of {kind}s and labels. Received: a dict "
            f"of {', '.join(names)}. Of a pipeline pass such as "
            f"`{argument}.map(lambda one: {pair})`."
        )


def _are_equal(images: np.ndarray, targets: Any) -> bool:
    # In parts: either may be a memory-mapped file.
    return all(
        np.array_equal(images[i : i + 256], np.asarray(targets[i : i + 256]))
        for i in range(0, len(images), 256)
    )


def _first_look(data: Any, argument: str, image_shape: Any) -> tuple[Any, Any]:
    """An array and `None`; images and targets of a data set's first batch; else `None` twice."""
    is_path = isinstance(data, str | os.PathLike)
    if is_path or hasattr(data, "as_array"):  # an `ImageSource`
        load = f"`source = data.load_images({str(data)!r})` loads it; pass" if is_path else "Pass"
        raise TypeError(
            f"`{argument}` should be an array of images or batches of them. Received: {data!r}. "
            f"{load} `data.ImageBatches(source, batch_size)` or `source.as_array()`."
        )
    # What `data.as_tf_dataset` made counts each pass, and reads ahead: a look might be a whole one.
    data = getattr(data, "image_batches", data)
    if hasattr(data, "__array__"):
        return data, None
    batch = first_batch(data, argument, image_shape, "image")
    images, targets, _ = keras.utils.unpack_x_y_sample_weight(batch)
    return images, targets
