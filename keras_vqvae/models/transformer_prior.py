"""A decoder-only transformer over codes in raster order."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers import CausalAttention
from keras_vqvae.layers.causal_layer import at_position
from keras_vqvae.models.code_prior import CodePrior
from keras_vqvae.models.grid_positions import GridPositions

__all__ = ["TransformerPrior"]


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerPrior(CodePrior):
    """A decoder-only transformer over grids of codes in raster order.

    Each position takes in the embedding of the code before it (a learned vector at the first), a
    vector for its row and its column, and what the prior is conditioned on. Then come blocks of
    attention and of two dense layers, each normalised first and added to what came before. A
    sample keeps keys and values of the positions so far.

    Attention compares all positions with each other: time grows with the square of the number of
    positions, for a sample as for a training step.

    Args:
        code_shape: `(height, width)` of the grid, or `(height, width, depth)`.
        num_embeddings: K, the number of codes; or one number for each depth.
        num_classes: number of classes, for a prior that is conditioned on labels.
        hidden_dim: channels of all layers. Defaults to `128`.
        blocks: how many. Defaults to `4`.
        num_heads: heads of attention, a divisor of `hidden_dim`. Defaults to `4`.
        dropout: rate on what attention and dense layers add. Defaults to `0`.
        **kwargs: as for `CodePrior`: `condition_shape`, `label_dropout`, `label_smoothing`,
            `codes_fingerprint`.

    Call arguments:
        codes: integer tensor `(batch, height, width)` or `(batch, height, width, depth)`, below K.
        labels: integer tensor `(batch,)`, for a prior conditioned on classes.
        condition: float tensor `(batch, *condition_shape)`, for a prior conditioned on such.
        training: whether dropout is on.

    Returns:
        Logits, float32 `(batch, height, width, K)`, or `(batch, height, width, depth, K)`; those of
        a code depend on the codes before it only.

    Raises:
        ValueError: for `num_heads` that do not divide `hidden_dim`, and what `CodePrior` refuses.

    Example:
    >>> prior = TransformerPrior((4, 4), 8, hidden_dim=8, blocks=1, num_heads=2)
    >>> prior.sample(3, seed=0).shape
    (3, 4, 4)

    References:
        - [Attention Is All You Need](https://arxiv.org/abs/1706.03762)
        - [On Layer Normalization in the Transformer Architecture](https://arxiv.org/abs/2002.04745)
    """

    def __init__(
        self,
        code_shape: tuple[int, ...],
        num_embeddings: int | tuple[int, ...],
        num_classes: int | None = None,
        hidden_dim: int = 128,
        blocks: int = 4,
        num_heads: int = 4,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(code_shape, num_embeddings, num_classes, **kwargs)
        self.set_sizes(hidden_dim=hidden_dim, blocks=blocks, num_heads=num_heads, dropout=dropout)
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                "`num_heads` should be a divisor of `hidden_dim`. "
                f"Received: num_heads={num_heads}, hidden_dim={hidden_dim}"
            )
        trunk = _Trunk(
            self.hidden_dim,
            self.blocks,
            self.num_heads,
            self.dropout,
            self.conditional,
            dtype=self.dtype_policy,
            name="trunk",
        )
        self.assemble(trunk, self.hidden_dim, self.hidden_dim, "gelu")


class _Trunk(keras.layers.Layer):
    """Embedded codes to features, each position from those before it."""

    def __init__(
        self,
        dim: int,
        blocks: int,
        num_heads: int,
        dropout: float,
        conditional: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.positions = GridPositions(dtype=policy, name="positions")
        # Made in any case, as it draws a seed: those of the layers after it are the same.
        layer = keras.layers.Dense(dim, dtype=policy, name="condition")
        self.condition = layer if conditional else None
        self.blocks = [
            _Block(num_heads, dim // num_heads, dropout, dtype=policy, name=f"block_{i}")
            for i in range(blocks)
        ]
        self.norm = keras.layers.LayerNormalization(dtype=policy, name="norm")

    def build(self, x_shape: Any, condition_shape: Any = None) -> None:
        self.start = self.add_weight(
            name="start", shape=(x_shape[-1],), initializer=keras.initializers.RandomNormal(0, 0.02)
        )
        if self.condition is not None:
            self.condition.build(condition_shape)
        for layer in (self.positions, *self.blocks, self.norm):
            layer.build(x_shape)
        self.built = True

    def call(self, x: Any, condition: Any = None, training: bool | None = None) -> Any:
        shape = ops.shape(x)
        start = ops.broadcast_to(self.start, (shape[0], 1, shape[-1]))
        before = ops.reshape(x, (shape[0], -1, shape[-1]))[:, :-1]
        x = ops.reshape(ops.concatenate([start, before], axis=1), shape)
        x = self.positions(x)
        if self.condition is not None:
            x = x + self.condition(condition)
        for block in self.blocks:
            x = block(x, training=training)
        return self.norm(x)

    def compute_output_shape(self, x_shape: Any, condition_shape: Any = None) -> Any:
        return tuple(x_shape)

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, grid: tuple[int, int], condition: Any) -> Any:
        start = ops.cast(ops.convert_to_tensor(self.start), self.compute_dtype)
        return {
            "before": ops.broadcast_to(start, (batch_size, start.shape[0])),
            "condition": {} if self.condition is None else {"map": self.condition(condition)},
            "blocks": [block.attention.initial_state(batch_size, grid) for block in self.blocks],
        }

    def start_row(self, state: Any, row: Any) -> Any:
        return state

    def read(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        x = self.positions.step(state["before"], row, column)
        if state["condition"]:
            x = x + at_position(state["condition"]["map"], row, column)
        states = []
        for block, old in zip(self.blocks, state["blocks"], strict=True):
            x, new = block.step(x, old, row, column)
            states.append(new)
        return self.norm(x), {**state, "blocks": states}

    def write(self, x: Any, state: Any, row: Any, column: Any) -> Any:
        return {**state, "before": x}


class _Block(keras.layers.Layer):
    """Attention, and two dense layers of four times the width; each normalised, and added."""

    def __init__(self, num_heads: int, key_dim: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy, dim = self.dtype_policy, num_heads * key_dim
        self.attention_norm = keras.layers.LayerNormalization(dtype=policy, name="attention_norm")
        self.attention = CausalAttention(
            num_heads, key_dim, dropout=dropout, dtype=policy, name="attention"
        )
        self.dense_norm = keras.layers.LayerNormalization(dtype=policy, name="dense_norm")
        self.widen = keras.layers.Dense(4 * dim, activation="gelu", dtype=policy, name="widen")
        self.narrow = keras.layers.Dense(dim, dtype=policy, name="narrow")
        self.dropout = keras.layers.Dropout(dropout, dtype=policy, name="dropout")

    def build(self, input_shape: Any) -> None:
        for layer in (self.attention_norm, self.attention, self.dense_norm, self.widen):
            layer.build(input_shape)
        self.narrow.build((*input_shape[:-1], self.widen.units))
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = x + self.attention(self.attention_norm(x), training=training)
        return x + self.dropout(self._dense(x), training=training)

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        y, state = self.attention.step(self.attention_norm(x), state, row, column)
        x = x + y
        return x + self._dense(x), state

    def _dense(self, x: Any) -> Any:
        return self.narrow(self.widen(self.dense_norm(x)))
