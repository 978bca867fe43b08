"""What "nearest" means."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE, Choice, get_choice

__all__ = ["Cosine", "Distance", "Euclidean", "get_distance"]


class Distance(Choice):
    """A distance is a map into the space in which the nearest code is the Euclidean one."""

    def normalize(self, vectors: Any) -> Any:
        """Maps vectors or codes `(..., D)` into that space; applied to both."""
        return vectors


@keras.saving.register_keras_serializable(PACKAGE)
class Euclidean(Distance):
    """`‖x − e‖²`, the paper's."""


@keras.saving.register_keras_serializable(PACKAGE)
class Cosine(Distance):
    """The angle: vectors and codes are scaled to unit length, and losses are taken there.

    References:
        - [Vector-quantized Image Modeling with Improved VQGAN](https://arxiv.org/abs/2110.04627)
    """

    def normalize(self, vectors: Any) -> Any:
        # Scaled by the largest number first, so that squares neither overflow nor vanish.
        largest = ops.stop_gradient(ops.max(ops.abs(vectors), axis=-1, keepdims=True, initial=0.0))
        scaled = vectors / ops.where(largest > 0, largest, 1.0)
        square = ops.sum(ops.square(scaled), axis=-1, keepdims=True)
        return scaled * ops.rsqrt(ops.where(square > 0, square, 1.0))


def get_distance(identifier: Any) -> Distance:
    """The distance of that name (`"euclidean"`, `"cosine"`), config or instance."""
    names: dict[str, type[Distance]] = {"euclidean": Euclidean, "cosine": Cosine}
    return get_choice(identifier, Distance, names, "distance")
