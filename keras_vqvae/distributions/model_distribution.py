"""What the distributions of this package share: shapes, and rows of whatever batch."""

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["ModelDistribution", "as_rows", "like_rows"]


class ModelDistribution(tfp.distributions.Distribution):
    """Base: a distribution over what a Keras model works on, with shapes that are known.

    It reads the model's weights at each use, and so follows its training; gradients reach them.
    """

    def __init__(
        self, dtype: Any, event_shape: Any, batch_shape: Any, parameters: Any, name: str
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                "`keras_vqvae.distributions` needs Keras on TensorFlow: set KERAS_BACKEND to "
                f"'tensorflow'. Received: {keras.backend.backend()!r}"
            )
        if not tf.TensorShape(batch_shape).is_fully_defined():
            raise ValueError(
                f"{name} needs a batch whose shape is known when a function is traced. "
                f"Received: {tf.TensorShape(batch_shape)}"
            )
        self._shape_of_event = tf.TensorShape(event_shape)
        self._shape_of_batch = tf.TensorShape(batch_shape)
        super().__init__(
            dtype=dtype,
            reparameterization_type=tfp.distributions.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _event_shape(self) -> Any:
        return self._shape_of_event

    def _event_shape_tensor(self) -> Any:
        return tf.constant(self._shape_of_event.as_list(), tf.int32)

    def _batch_shape(self) -> Any:
        return self._shape_of_batch

    def _batch_shape_tensor(self) -> Any:
        return tf.constant(self._shape_of_batch.as_list(), tf.int32)

    def _count(self, n: Any) -> int:
        """How many samples, as an integer: the loops are compiled for a known number."""
        count = tf.get_static_value(n)
        if count is None:
            raise ValueError(
                f"`sample_shape` of {self.name} should be known when a function is traced. "
                "Received: a shape that depends on data"
            )
        return int(count)

    def _with_batch(self, value: Any) -> Any:
        """A value `(..., *event_shape)`, repeated for each member of the batch.

        Raises:
            ValueError: for a value of another shape, which might broadcast.
        """
        rank = len(self._shape_of_event)
        if len(value.shape) < rank or not value.shape[-rank:].is_compatible_with(
            self._shape_of_event
        ):
            raise ValueError(
                f"`value` of {self.name} should have shape (..., "
                f"{', '.join(map(str, self._shape_of_event))}). "
                f"Received: shape {tuple(value.shape)}"
            )
        leading = tf.shape(value)[: len(value.shape) - rank]
        leading = tf.broadcast_dynamic_shape(leading, self._batch_shape_tensor())
        return tf.broadcast_to(value, tf.concat([leading, self._event_shape_tensor()], 0))


def as_rows(value: Any, rank: int) -> Any:
    """`(..., *shape)` of a shape of this rank as `(N, *shape)`."""
    shape = tf.shape(value)
    rows = tf.reshape(value, tf.concat([[-1], shape[len(value.shape) - rank :]], 0))
    return tf.ensure_shape(rows, [None, *value.shape[len(value.shape) - rank :]])


def like_rows(rows: Any, value: Any, rank: int) -> Any:
    """`(N, *other)` of rows that `as_rows(value, rank)` gave as `(..., *other)`."""
    leading = tf.shape(value)[: len(value.shape) - rank]
    found = tf.reshape(rows, tf.concat([leading, tf.shape(rows)[1:]], 0))
    return tf.ensure_shape(found, [*value.shape[: len(value.shape) - rank], *rows.shape[1:]])
