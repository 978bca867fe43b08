"""What a prior may be conditioned on: a class, a vector, or a grid."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.ops import random_uniform
from keras_vqvae.saved_generator import SavedGenerator

__all__ = ["CodeConditions"]


class CodeConditions(SavedGenerator, keras.layers.Layer):
    """Labels, vectors or grids to one map that the trunk of a prior takes in.

    Args:
        dim: channels of the map.
        grid_shape: `(height, width)` of the codes.
        num_classes: number of classes, or `None`.
        condition_shape: `(d,)` for vectors, `(height, width, channels)` for grids, whose sides
            divide those of the codes; `None` for neither.
        label_dropout: share of labels that training replaces by "no label".
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        labels: int `(batch,)`; −1 is "no label", if `label_dropout` is positive.
        condition: float `(batch, *condition_shape)`.
        training: whether labels are dropped.

    Returns:
        `(batch, 1, 1, dim)`, or `(batch, height, width, dim)` with a grid.
    """

    def __init__(
        self,
        dim: int,
        grid_shape: tuple[int, ...],
        num_classes: int | None,
        condition_shape: tuple[int, ...] | None,
        label_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.num_classes, self.condition_shape = num_classes, condition_shape
        self.grid_shape, self.label_dropout, self.dim = grid_shape, label_dropout, dim
        self.seed_generator = keras.random.SeedGenerator() if label_dropout else None
        self.class_embedding = self.project = self.look_around = None
        if num_classes is not None:
            # The last row stands for "no label".
            self.class_embedding = keras.layers.Embedding(
                num_classes + bool(label_dropout), dim, dtype=policy, name="class_embedding"
            )
        if condition_shape is not None:
            self.project = keras.layers.Dense(dim, dtype=policy, name="project")
            if len(condition_shape) == 3:
                self.look_around = keras.layers.Conv2D(
                    dim,
                    3,
                    padding="same",
                    data_format="channels_last",
                    activation="relu",
                    dtype=policy,
                    name="look_around",
                )

    def build(self, input_shape: Any = None) -> None:
        if self.class_embedding is not None:
            self.class_embedding.build(None)
        channels = self.condition_shape[-1] if self.condition_shape else None
        if self.look_around is not None:
            self.look_around.build((None, *self.grid_shape, channels))
            channels = self.dim
        if self.project is not None:
            self.project.build((None, channels))
        self.built = True

    def call(self, labels: Any = None, condition: Any = None, training: bool | None = None) -> Any:
        parts = []
        if self.class_embedding is not None:
            if len(labels.shape) != 1:
                raise ValueError(
                    f"`labels` should have shape (batch,). Received: {tuple(labels.shape)}"
                )
            labels = ops.cast(labels, "int32")  # "no label" may be more than a uint8 holds
            if self.label_dropout:
                labels = ops.where(labels < 0, self.num_classes, labels)
            if self.label_dropout and training:
                u = random_uniform(ops.shape(labels), self.seed_generator)
                labels = ops.where(u < self.label_dropout, self.num_classes, labels)
            parts.append(self.class_embedding(labels)[:, None, None])
        if self.project is not None:
            condition = ops.cast(condition, self.compute_dtype)
            if self.look_around is None:
                condition = condition[:, None, None]
            else:
                for axis in (1, 2):
                    times = self.grid_shape[axis - 1] // condition.shape[axis]
                    condition = ops.repeat(condition, times, axis=axis)
                condition = self.look_around(condition)
            parts.append(self.project(condition))
        return sum(parts[1:], start=parts[0])
