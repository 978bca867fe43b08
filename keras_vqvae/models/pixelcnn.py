"""The PixelCNN."""

from typing import Any

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers import MaskedConv2D
from keras_vqvae.layers.causal_layer import at_position
from keras_vqvae.models.code_prior import CodePrior

__all__ = ["PixelCNN"]


@keras.saving.register_keras_serializable(PACKAGE)
class PixelCNN(CodePrior):
    """A PixelCNN over grids of codes: masked convolutions and residual blocks.

    Codes are embedded, a map of the rank that `embedding_dim` bounds where the paper's network sees
    all of a one-hot code. They pass a convolution of mask A, and then residual blocks of 1×1, 3×3
    of mask B and 1×1 convolutions, half as wide inside. Two 1×1 convolutions give the logits.
    Labels and conditions are added after the first convolution.

    Masked convolutions on top of each other have a blind spot: codes above and to the right that no
    path reaches. `GatedPixelCNN` has none.

    Args:
        code_shape: `(height, width)` of the grid, or `(height, width, depth)`.
        num_embeddings: K, the number of codes; or one number for each depth.
        num_classes: number of classes, for a prior that is conditioned on labels.
        filters: channels between the blocks, even. Defaults to `128`.
        residual_blocks: how many. Defaults to `5`.
        embedding_dim: length of a code's embedding. Defaults to `64`.
        kernel_size: of the first convolution, odd. Defaults to `7`.
        dropout: rate in each block. Defaults to `0`.
        activation: between the convolutions. Defaults to `"relu"`.
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
        ValueError: for odd or no `filters`, and what `CodePrior` refuses.

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
        code_shape: tuple[int, ...],
        num_embeddings: int | tuple[int, ...],
        num_classes: int | None = None,
        filters: int = 128,
        residual_blocks: int = 5,
        embedding_dim: int = 64,
        kernel_size: int = 7,
        dropout: float = 0.0,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(code_shape, num_embeddings, num_classes, **kwargs)
        self.set_sizes(
            filters=filters,
            residual_blocks=residual_blocks,
            embedding_dim=embedding_dim,
            kernel_size=kernel_size,
            dropout=dropout,
        )
        if self.filters % 2:
            raise ValueError(f"`filters` should be positive and even. Received: filters={filters}")
        activation = keras.activations.get(activation)
        self.activation = keras.activations.serialize(activation)
        trunk = _Trunk(
            self.filters,
            self.residual_blocks,
            self.kernel_size,
            self.dropout,
            activation,
            self.conditional,
            dtype=self.dtype_policy,
            name="trunk",
        )
        self.assemble(trunk, self.embedding_dim, self.filters, activation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


class _Trunk(keras.layers.Layer):
    """Embedded codes to features: mask A, the condition, residual blocks."""

    def __init__(
        self,
        filters: int,
        blocks: int,
        kernel_size: int,
        dropout: float,
        activation: Any,
        conditional: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.filters = filters
        self.first = MaskedConv2D(
            filters, kernel_size, "A", data_format="channels_last", dtype=policy, name="first"
        )
        # Made in any case, as it draws a seed: those of the layers after it are the same.
        layer = keras.layers.Dense(filters, dtype=policy, name="condition")
        self.condition = layer if conditional else None
        self.blocks = [
            _ResidualBlock(filters, dropout, activation, dtype=policy, name=f"block_{i}")
            for i in range(blocks)
        ]

    def build(self, x_shape: Any, condition_shape: Any = None) -> None:
        self.first.build(x_shape)
        if self.condition is not None:
            self.condition.build(condition_shape)
        for block in self.blocks:
            block.build((*x_shape[:-1], self.filters))
        self.built = True

    def call(self, x: Any, condition: Any = None, training: bool | None = None) -> Any:
        x = self.first(x)
        if self.condition is not None:
            x = x + self.condition(condition)
        for block in self.blocks:
            x = block(x, training=training)
        return x

    def compute_output_shape(self, x_shape: Any, condition_shape: Any = None) -> Any:
        return (*x_shape[:-1], self.filters)

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, grid: tuple[int, int], condition: Any) -> Any:
        return {
            "first": self.first.initial_state(batch_size, grid),
            "condition": {} if self.condition is None else {"map": self.condition(condition)},
            "blocks": [block.initial_state(batch_size, grid) for block in self.blocks],
        }

    def start_row(self, state: Any, row: Any) -> Any:
        blocks = [
            block.start_row(s, row) for block, s in zip(self.blocks, state["blocks"], strict=True)
        ]
        return {**state, "first": self.first.start_row(state["first"], row), "blocks": blocks}

    def read(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        x = self.first.read(state["first"], row, column)
        if state["condition"]:
            x = x + at_position(state["condition"]["map"], row, column)
        blocks = []
        for block, block_state in zip(self.blocks, state["blocks"], strict=True):
            x, block_state = block.step(x, block_state, row, column)
            blocks.append(block_state)
        return x, {**state, "blocks": blocks}

    def write(self, x: Any, state: Any, row: Any, column: Any) -> Any:
        return {**state, "first": self.first.write(x, state["first"], row, column)}


class _ResidualBlock(keras.layers.Layer):
    """relu, 1×1, relu, 3×3 of mask B, relu, 1×1, added to the input."""

    def __init__(self, filters: int, dropout: float, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.activation = activation
        common = {"data_format": "channels_last", "dtype": policy}
        inner = {"activation": activation, **common}
        self.reduce = MaskedConv2D(filters // 2, 1, "B", name="reduce", **inner)
        self.conv = MaskedConv2D(filters // 2, 3, "B", name="conv", **inner)
        self.expand = MaskedConv2D(filters, 1, "B", name="expand", **common)
        self.dropout = keras.layers.Dropout(dropout, dtype=policy)

    def build(self, input_shape: Any) -> None:
        inner = (*input_shape[:-1], self.reduce.filters)
        self.reduce.build(input_shape)
        self.conv.build(inner)
        self.expand.build(inner)
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        h = self.conv(self.reduce(self.activation(x)))
        return x + self.expand(self.dropout(h, training=training))

    def initial_state(self, batch_size: int, grid: tuple[int, int]) -> dict[str, Any]:
        layers = {"reduce": self.reduce, "conv": self.conv, "expand": self.expand}
        return {key: layer.initial_state(batch_size, grid) for key, layer in layers.items()}

    def start_row(self, state: Any, row: Any) -> Any:
        return {**state, "conv": self.conv.start_row(state["conv"], row)}

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        h, reduce = self.reduce.step(self.activation(x), state["reduce"], row, column)
        h, conv = self.conv.step(h, state["conv"], row, column)
        h, expand = self.expand.step(h, state["expand"], row, column)
        return x + h, {"reduce": reduce, "conv": conv, "expand": expand}
