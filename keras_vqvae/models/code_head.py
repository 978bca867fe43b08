"""Codes into a prior, and logits out of it, with one or several codes a position."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.sampling.strategies import EXCLUDED

__all__ = ["CodeEmbedding", "CodeHead"]


class CodeEmbedding(keras.layers.Layer):
    """A learned vector for each code; those of the codes at one position are added up.

    The same function as a 1×1 convolution over one-hot codes, at a fraction of the cost.

    Args:
        sizes: how many codes there are, for each depth.
        dim: length of the vectors.
        several: whether codes have a depth axis, even of length 1.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        codes: int `(...)`, or `(..., Q)` for several codes a position.

    Returns:
        `(..., dim)`.
    """

    def __init__(self, sizes: tuple[int, ...], dim: int, several: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim, self.several = dim, several
        self.tables = [
            keras.layers.Embedding(size, dim, dtype=self.dtype_policy, name=f"depth_{depth}")
            for depth, size in enumerate(sizes)
        ]

    def build(self, input_shape: Any) -> None:
        for table in self.tables:
            table.build(None)
        self.built = True

    def call(self, codes: Any) -> Any:
        if not self.several:
            return self.tables[0](codes)
        return sum(table(codes[..., depth]) for depth, table in enumerate(self.tables))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*(input_shape[:-1] if self.several else input_shape), self.dim)


class CodeHead(keras.layers.Layer):
    """Features of a position to the logits of its codes, each given those of lesser depth.

    Each depth has a hidden layer of its own, which sees the features and the sum of the embeddings
    of the codes before it at the same position: `p(c_1) p(c_2 | c_1) …` exactly, at the cost of Q
    small networks a position, whatever the trunk costs.

    Args:
        sizes: how many codes there are, for each depth.
        hidden_dim: width of the hidden layers, and length of the embeddings.
        several: whether codes have a depth axis, even of length 1.
        activation: before and after the hidden layers. Defaults to `"relu"`.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        x: `(..., features)`.
        codes: int `(...)` or `(..., Q)`, the codes to predict; a depth looks at lesser ones only.

    Returns:
        float32 `(..., K)` or `(..., Q, K)`, K the largest of the sizes.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        hidden_dim: int,
        several: bool,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.sizes, self.hidden_dim, self.several = sizes, hidden_dim, several
        self.activation = keras.activations.get(activation)
        depths = range(len(sizes))
        self.hidden = [
            keras.layers.Dense(hidden_dim, dtype=policy, name=f"hidden_{d}") for d in depths
        ]
        self.to_logits = [
            keras.layers.Dense(sizes[d], dtype=policy, name=f"to_logits_{d}") for d in depths
        ]
        self.tables = [
            keras.layers.Embedding(sizes[d], hidden_dim, dtype=policy, name=f"before_{d}")
            for d in depths[:-1]
        ]

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        for depth, hidden in enumerate(self.hidden):
            hidden.build((None, features + (self.hidden_dim if depth else 0)))
        for layer in self.to_logits:
            layer.build((None, self.hidden_dim))
        for table in self.tables:
            table.build(None)
        self.built = True

    def call(self, x: Any, codes: Any) -> Any:
        if not self.several:
            return self.logits(x, None, 0)
        logits, context = [], None
        for depth in range(len(self.sizes)):
            if depth:
                context = self.extended(context, codes[..., depth - 1], depth)
            logits.append(self.logits(x, context, depth))
        return ops.stack(logits, axis=-2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        depths = (len(self.sizes),) if self.several else ()
        return (*input_shape[:-1], *depths, max(self.sizes))

    def compute_output_spec(self, x: Any, codes: Any) -> Any:
        # float32 under every dtype policy
        return keras.KerasTensor(self.compute_output_shape(x.shape), "float32")

    def logits(self, x: Any, context: Any, depth: int) -> Any:
        """float32 `(..., K)`: the logits of one depth."""
        x = self.activation(x)
        if depth:
            x = ops.concatenate([x, context], axis=-1)
        y = self.to_logits[depth](self.activation(self.hidden[depth](x)))
        y = ops.cast(y, "float32")
        missing = max(self.sizes) - self.sizes[depth]
        if not missing:
            return y
        padding = [(0, 0)] * (len(y.shape) - 1) + [(0, missing)]
        return ops.pad(y, padding, constant_values=EXCLUDED)

    def extended(self, context: Any, codes: Any, depth: int) -> Any:
        """The context of `depth`: that of the depth before, and the codes `(...)` drawn there."""
        vector = self.tables[depth - 1](codes)
        return vector if context is None else context + vector

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, features: int) -> dict[str, Any]:
        """What the depths of a position share; nothing for one code a position."""
        if len(self.sizes) == 1:
            return {}
        return {
            "features": ops.zeros((batch_size, features), self.compute_dtype),
            "context": ops.zeros((batch_size, self.hidden_dim), self.compute_dtype),
        }

    def step(self, x: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Logits of the first code of a position with features `(batch, features)`."""
        if state:
            state = {"features": x, "context": ops.zeros_like(state["context"])}
        return self.logits(x, None, 0), state

    def next_depth(self, codes: Any, state: dict[str, Any], depth: int) -> tuple[Any, Any]:
        """Logits of the code of `depth`, given `codes` `(batch,)` of the depth before."""
        context = self.extended(state["context"], codes, depth)
        return self.logits(state["features"], context, depth), {**state, "context": context}
