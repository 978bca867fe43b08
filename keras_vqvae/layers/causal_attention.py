"""Self-attention over the positions of a grid in raster order."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_count, check_share
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.causal_layer import CausalLayer
from keras_vqvae.layers.freezing import hand_on_frozen
from keras_vqvae.layers.parts import spread_initializers

__all__ = ["CausalAttention"]


@keras.saving.register_keras_serializable(PACKAGE)
class CausalAttention(CausalLayer):
    """Multi-head attention of each position to itself and to those before it in raster order.

    It knows of no places but the order: what tells a position where it is, such as an embedding of
    row and column, is to be added to its input.

    `call` compares all positions at once. Step by step, keys and values of the positions so far are
    kept in a cache of fixed size, and a step compares one query with it.

    Args:
        num_heads: number of heads.
        key_dim: length of queries, keys and values of a head.
        filters: channels of the output; by default those of the input.
        dropout: rate, on the output. Defaults to `0`.
        kernel_initializer: of the projections. Defaults to `"glorot_uniform"`.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, of known height and width.
        training: whether dropout is on.

    Returns:
        `(batch, height, width, filters)`. A position depends on itself and on all before it.

    Raises:
        ValueError: for sizes that are not positive, or a dropout rate outside [0, 1).

    Example:
    >>> import numpy as np
    >>> layer = CausalAttention(num_heads=2, key_dim=4)
    >>> tuple(layer(np.zeros((1, 7, 7, 6))).shape)
    (1, 7, 7, 6)

    References:
        - [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.2
        - [PixelSNAIL](https://arxiv.org/abs/1712.09763), §2
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        filters: int | None = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = check_count("num_heads", num_heads)
        self.key_dim = check_count("key_dim", key_dim)
        self.filters = None if filters is None else check_count("filters", filters)
        dropout = check_share("dropout", dropout)
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        first, self._second_initializer = spread_initializers(self.kernel_initializer, 2)
        # Three projections in one product.
        self._projection = keras.layers.Dense(
            3 * self.num_heads * self.key_dim,
            kernel_initializer=first,
            dtype=self.dtype_policy,
            name="projection",
        )
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects grids (batch, height, width, channels) of a known "
                f"size. Received: input_shape={tuple(input_shape)}"
            )
        self._projection.build((None, input_shape[-1]))
        self._to_output = keras.layers.Dense(
            self.filters or input_shape[-1],
            kernel_initializer=self._second_initializer,
            dtype=self.dtype_policy,
            name="output",
        )
        self._to_output.build((None, self.num_heads * self.key_dim))
        hand_on_frozen(self)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        _, height, width, _ = inputs.shape
        positions = height * width
        heads = ops.reshape(
            self._projection(inputs), (-1, positions, 3, self.num_heads, self.key_dim)
        )
        order = np.tril(np.ones((positions, positions), bool))
        y = self._attend(heads[:, :, 0], heads[:, :, 1], heads[:, :, 2], order)
        y = ops.reshape(y, (-1, height, width, self.num_heads * self.key_dim))
        return self._dropout(self._to_output(y), training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.filters or input_shape[-1])

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, grid_shape: tuple[int, int]) -> dict[str, Any]:
        """Room for the keys and values of all positions."""
        height, width = grid_shape
        cache = ops.zeros(
            (batch_size, height, width, self.num_heads, self.key_dim), self.compute_dtype
        )
        return {"keys": cache, "values": cache}

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """One position: its input `(batch, channels)` to its output `(batch, filters)`."""
        heads = ops.reshape(self._projection(x), (-1, 3, 1, 1, self.num_heads, self.key_dim))
        start = (0, row, column, 0, 0)
        state = {
            "keys": ops.slice_update(state["keys"], start, heads[:, 1]),
            "values": ops.slice_update(state["values"], start, heads[:, 2]),
        }
        batch, height, width, *shape = state["keys"].shape
        keys, values = (
            ops.reshape(state[name], (batch, height * width, *shape)) for name in ("keys", "values")
        )
        so_far = ops.arange(height * width, dtype="int32") <= row * width + column
        y = self._attend(heads[:, 0, 0], keys, values, so_far[None])
        return self._to_output(ops.reshape(y, (batch, -1))), state

    def _attend(self, queries: Any, keys: Any, values: Any, allowed: Any) -> Any:
        """`(batch, q, heads, d)` and twice `(batch, k, heads, d)` to `(batch, q, heads, d)`.

        Scores, which may be larger than float16 holds, and their softmax are float32 under any
        dtype policy.
        """
        queries, keys = ops.cast(queries, "float32"), ops.cast(keys, "float32")
        scores = ops.einsum("bqnd,bknd->bnqk", queries / math.sqrt(self.key_dim), keys)
        scores = ops.where(allowed, scores, -1e30)
        weights = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        return ops.einsum("bnqk,bknd->bqnd", weights, values)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "filters": self.filters,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
