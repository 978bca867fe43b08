"""A gated PixelCNN with attention."""

from typing import Any

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers import CausalAttention
from keras_vqvae.models.code_prior import CodePrior
from keras_vqvae.models.grid_positions import GridPositions
from keras_vqvae.models.two_stack_trunk import TwoStackTrunk, gated_layers

__all__ = ["PixelSNAIL"]


@keras.saving.register_keras_serializable(PACKAGE)
class PixelSNAIL(CodePrior):
    """A prior in the manner of PixelSNAIL: gated causal convolutions, and causal attention.

    After the layer of mask A and after every `attention_every` gated layers, each position attends
    to all before it: convolutions see what is near, attention what is far. On grids of some
    hundred positions and more it reaches what many more convolutions would be needed for. (It sees
    a code in the features of a later position. The last code of the row above has none before the
    next row, and is seen by convolutions alone.)

    It differs from the paper's network in its parts, not in its plan: the convolutions are those of
    `GatedPixelCNN`, and attention is a residual branch on the horizontal stack, normalised, with a
    learned vector for each row and column, whose queries, keys and values come from that stack.

    Args:
        code_shape: `(height, width)` of the grid, or `(height, width, depth)`.
        num_embeddings: K, the number of codes; or one number for each depth.
        num_classes: number of classes, for a prior that is conditioned on labels.
        filters: channels of each stack. Defaults to `64`.
        blocks: how many gated layers of mask B. Defaults to `6`.
        attention_every: after how many of them attention comes. Defaults to `3`.
        num_heads: heads of attention, a divisor of `filters`. Defaults to `4`.
        embedding_dim: length of a code's embedding. Defaults to `64`.
        kernel_size: of the layers of mask B, odd and at least 3. Defaults to `3`.
        first_kernel_size: of the layer of mask A. Defaults to `7`.
        hidden_dim: width of the head. Defaults to `128`.
        dropout: rate in each layer of mask B and in attention. Defaults to `0`.
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
        ValueError: for `num_heads` that do not divide `filters`, and for what
            `layers.GatedMaskedConv2D` and `CodePrior` refuse.

    Example:
    >>> prior = PixelSNAIL((4, 4), 8, filters=8, blocks=1, attention_every=1, num_heads=2)
    >>> prior.sample(3, seed=0).shape
    (3, 4, 4)

    References:
        - [PixelSNAIL: An Improved Autoregressive Generative
          Model](https://arxiv.org/abs/1712.09763)
    """

    def __init__(
        self,
        code_shape: tuple[int, ...],
        num_embeddings: int | tuple[int, ...],
        num_classes: int | None = None,
        filters: int = 64,
        blocks: int = 6,
        attention_every: int = 3,
        num_heads: int = 4,
        embedding_dim: int = 64,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
        hidden_dim: int = 128,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(code_shape, num_embeddings, num_classes, **kwargs)
        self.set_sizes(
            filters=filters,
            blocks=blocks,
            attention_every=attention_every,
            num_heads=num_heads,
            embedding_dim=embedding_dim,
            kernel_size=kernel_size,
            first_kernel_size=first_kernel_size,
            hidden_dim=hidden_dim,
            dropout=dropout,
        )
        if self.filters % self.num_heads:
            raise ValueError(
                "`num_heads` should be a divisor of `filters`. "
                f"Received: num_heads={num_heads}, filters={filters}"
            )
        policy, step = self.dtype_policy, self.attention_every
        first, *gated = gated_layers(
            self.filters,
            self.blocks,
            self.kernel_size,
            self.first_kernel_size,
            self.dropout,
            policy,
        )
        chain: list[Any] = [first]
        for i in range(0, self.blocks, step):
            attention = _HorizontalAttention(
                self.num_heads,
                self.filters // self.num_heads,
                self.dropout,
                dtype=policy,
                name=f"attention_{i}",
            )
            chain += [attention, *gated[i : i + step]]
        trunk = TwoStackTrunk(chain, dtype=policy, name="trunk")
        self.assemble(trunk, self.embedding_dim, self.hidden_dim)


class _HorizontalAttention(keras.layers.Layer):
    """A layer of two stacks: attention as a residual branch on the horizontal one."""

    def __init__(self, num_heads: int, key_dim: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.norm = keras.layers.LayerNormalization(dtype=policy, name="norm")
        self.positions = GridPositions(dtype=policy, name="positions")
        self.attention = CausalAttention(
            num_heads, key_dim, dropout=dropout, dtype=policy, name="attention"
        )

    def build(self, inputs_shape: Any, condition_shape: Any = None) -> None:
        for layer in (self.norm, self.positions, self.attention):
            layer.build(inputs_shape[1])
        self.built = True

    def call(self, inputs: Any, condition: Any = None, training: bool | None = None) -> Any:
        vertical, horizontal = inputs
        x = self.positions(self.norm(horizontal))
        return vertical, horizontal + self.attention(x, training=training)

    def compute_output_shape(self, inputs_shape: Any, condition_shape: Any = None) -> Any:
        return inputs_shape

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, grid_shape: tuple[int, int]) -> dict[str, Any]:
        channels = self.attention.num_heads * self.attention.key_dim
        return {
            "attention": self.attention.initial_state(batch_size, grid_shape),
            "vertical": keras.ops.zeros((batch_size, grid_shape[1], channels), self.compute_dtype),
        }

    def start_row(self, state: Any, row: Any, vertical: Any, condition: Any = None) -> Any:
        return {**state, "vertical": vertical}

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        here = self.positions.step(self.norm(x), row, column)
        y, attention = self.attention.step(here, state["attention"], row, column)
        return x + y, {**state, "attention": attention}
