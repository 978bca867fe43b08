"""The PixelCNN."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers import MaskedConv2D
from keras_vqvae.models.code_prior import CodePrior

__all__ = ["PixelCNN"]


@keras.saving.register_keras_serializable(PACKAGE)
class PixelCNN(CodePrior):
    """A PixelCNN over grids of codes: masked convolutions and residual blocks.

    Codes are embedded (the same function as a convolution over one-hot codes, at a fraction of the
    cost), pass a convolution of mask A, and then residual blocks of 1×1, 3×3 of mask B and 1×1
    convolutions, half as wide inside. Two 1×1 convolutions give the logits. A class label adds a
    learned vector after the first convolution.

    Args:
        code_shape: `(height, width)` of the grid.
        num_embeddings: K, the number of codes.
        num_classes: number of classes, for a prior that is conditioned on labels.
        filters: channels between the blocks, even. Defaults to `128`.
        residual_blocks: how many. Defaults to `5`.
        embedding_dim: length of a code's embedding. Defaults to `64`.
        kernel_size: of the first convolution, odd. Defaults to `7`.
        dropout: rate in each block. Defaults to `0`.
        **kwargs: as for `CodePrior`.

    Call arguments:
        codes: integer tensor `(batch, height, width)` in [0, K).
        labels: integer tensor `(batch,)`, for a conditional prior.
        training: whether dropout is on.

    Returns:
        Logits, float `(batch, height, width, K)`; those of a position depend on the codes before
        it in raster order only.

    Example:
    >>> import numpy as np
    >>> prior = PixelCNN(code_shape=(4, 4), num_embeddings=8, filters=8, residual_blocks=1)
    >>> prior.compile("adam")
    >>> codes = np.random.randint(0, 8, (16, 4, 4))
    >>> history = prior.fit(codes, verbose=0)
    >>> prior.log_prob(codes).shape, prior.sample(3, seed=0).shape
    ((16,), (3, 4, 4))

    References:
        - [Pixel Recurrent Neural Networks](https://arxiv.org/abs/1601.06759)
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §3.3
    """

    def __init__(
        self,
        code_shape: tuple[int, int],
        num_embeddings: int,
        num_classes: int | None = None,
        filters: int = 128,
        residual_blocks: int = 5,
        embedding_dim: int = 64,
        kernel_size: int = 7,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(code_shape, num_embeddings, num_classes, **kwargs)
        if filters < 2 or filters % 2:
            raise ValueError(f"`filters` should be positive and even. Received: filters={filters}")
        self.filters = filters
        self.residual_blocks = residual_blocks
        self.embedding_dim = embedding_dim
        self.kernel_size = kernel_size
        self.dropout = dropout
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            self.num_embeddings, embedding_dim, dtype=policy, name="embedding"
        )
        self.first = MaskedConv2D(filters, kernel_size, "A", dtype=policy, name="first")
        self.class_embedding = (
            None
            if num_classes is None
            else keras.layers.Embedding(num_classes, filters, dtype=policy, name="class_embedding")
        )
        self.blocks = [
            _ResidualBlock(filters, dropout, dtype=policy, name=f"block_{i}")
            for i in range(residual_blocks)
        ]
        self.head = MaskedConv2D(filters, 1, "B", activation="relu", dtype=policy, name="head")
        self.to_logits = MaskedConv2D(self.num_embeddings, 1, "B", dtype=policy, name="to_logits")
        self.build((None, *self.code_shape))

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        grid = (None, *self.code_shape)
        self.embedding.build(grid)
        self.first.build((*grid, self.embedding_dim))
        if self.class_embedding is not None:
            self.class_embedding.build((None,))
        for layer in (*self.blocks, self.head, self.to_logits):
            layer.build((*grid, self.filters))
        self.built = True

    def call(self, codes: Any, labels: Any = None, training: bool | None = None) -> Any:
        x = self.first(self.embedding(codes))
        labels = self._only_if_conditional(labels)
        if labels is not None:
            x = x + self.class_embedding(labels)[:, None, None]
        for block in self.blocks:
            x = block(x, training=training)
        return self.to_logits(self.head(ops.relu(x)))

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, labels: Any = None) -> dict[str, Any]:
        grid = self.code_shape
        labels = self._only_if_conditional(labels)
        return {
            "first": self.first.initial_state(batch_size, grid),
            "class": {} if labels is None else {"bias": self.class_embedding(labels)},
            "blocks": [block.initial_state(batch_size, grid) for block in self.blocks],
            "head": self.head.initial_state(batch_size, grid),
            "to_logits": self.to_logits.initial_state(batch_size, grid),
        }

    def start_row(self, state: Any, row: Any) -> Any:
        blocks = [
            block.start_row(s, row) for block, s in zip(self.blocks, state["blocks"], strict=True)
        ]
        return {**state, "first": self.first.start_row(state["first"], row), "blocks": blocks}

    def step(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        x = self.first.read(state["first"], row, column)
        if state["class"]:
            x = x + state["class"]["bias"]
        blocks = []
        for block, block_state in zip(self.blocks, state["blocks"], strict=True):
            x, block_state = block.step(x, block_state, row, column)
            blocks.append(block_state)
        x, head = self.head.step(ops.relu(x), state["head"], row, column)
        logits, to_logits = self.to_logits.step(x, state["to_logits"], row, column)
        return logits, {**state, "blocks": blocks, "head": head, "to_logits": to_logits}

    def write(self, codes: Any, state: Any, row: Any, column: Any) -> Any:
        first = self.first.write(self.embedding(codes), state["first"], row, column)
        return {**state, "first": first}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "residual_blocks": self.residual_blocks,
            "embedding_dim": self.embedding_dim,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }


class _ResidualBlock(keras.layers.Layer):
    """relu, 1×1, relu, 3×3 of mask B, relu, 1×1, added to the input."""

    def __init__(self, filters: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.reduce = MaskedConv2D(filters // 2, 1, "B", activation="relu", dtype=policy)
        self.conv = MaskedConv2D(filters // 2, 3, "B", activation="relu", dtype=policy)
        self.expand = MaskedConv2D(filters, 1, "B", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout, dtype=policy)

    def build(self, input_shape: Any) -> None:
        inner = (*input_shape[:-1], self.reduce.filters)
        self.reduce.build(input_shape)
        self.conv.build(inner)
        self.expand.build(inner)
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        h = self.conv(self.reduce(ops.relu(x)))
        return x + self.expand(self.dropout(h, training=training))

    def initial_state(self, batch_size: int, grid: tuple[int, int]) -> dict[str, Any]:
        layers = {"reduce": self.reduce, "conv": self.conv, "expand": self.expand}
        return {key: layer.initial_state(batch_size, grid) for key, layer in layers.items()}

    def start_row(self, state: Any, row: Any) -> Any:
        return {**state, "conv": self.conv.start_row(state["conv"], row)}

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        h, reduce = self.reduce.step(ops.relu(x), state["reduce"], row, column)
        h, conv = self.conv.step(h, state["conv"], row, column)
        h, expand = self.expand.step(h, state["expand"], row, column)
        return x + h, {"reduce": reduce, "conv": conv, "expand": expand}
