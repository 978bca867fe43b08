"""Sources and batches as `tf.data`: the only file of this folder that uses TensorFlow."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_vqvae.data.batches import Batch, ImageBatches
from keras_vqvae.data.source import ImageSource


def as_tf_dataset(data: ImageBatches | ImageSource, batch_size: int = 128) -> Any:
    """A `tf.data.Dataset` of batches, prefetched.

    Each pass over the data set is the next epoch of an `ImageBatches`; a pass that is broken off
    is not counted, unless its last batch was prefetched already. `fit` takes the batches as they
    come and does not shuffle them again; that of this package's models begins at `initial_epoch`.

    Args:
        data: An `ImageBatches`; or an `ImageSource`, whose images come in order, without labels.
        batch_size: Images in a batch, for an `ImageSource`. Defaults to `128`.

    Returns:
        A `tf.data.Dataset` of `images`, shape `(None, height, width, channels)`, `uint8` or
        `float32`; or of `(images, labels)`, labels `int32` of shape `(None,)`. Its attribute
        `image_batches` is the `ImageBatches`, for a look at the images that is no pass.

    Raises:
        ImportError: If TensorFlow is not installed.

    Example:
    >>> from keras_vqvae.data import ArraySource
    >>> dataset = as_tf_dataset(ArraySource(np.zeros((5, 8, 8), "uint8")), batch_size=2)
    >>> dataset.element_spec
    TensorSpec(shape=(None, 8, 8, 1), dtype=tf.uint8, name=None)
    """
    import tensorflow as tf

    batches = data if isinstance(data, ImageBatches) else ImageBatches(data, batch_size)

    def one_epoch() -> Iterator[Batch]:
        batches.on_epoch_begin()
        try:
            yield from batches
        finally:
            batches.on_epoch_end()

    # A new data set may follow the rest of an epoch, as a new `fit` may.
    batches.on_epoch_end()
    signature = tf.TensorSpec((None, *batches.source.image_shape), batches.source.dtype)
    if batches.with_labels:
        signature = (signature, tf.TensorSpec((None,), np.int32))
    dataset = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
    if not batches.first_step:
        # Keras then shows the number of steps from the first epoch on.
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    dataset.image_batches = batches
    return dataset
