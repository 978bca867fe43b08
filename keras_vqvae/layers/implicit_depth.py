"""A depth of a residual quantizer whose codes depend on those of the depths before."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.codebook_quantizer import CodebookQuantizer
from keras_vqvae.layers.parts import spread_initializers
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import (
    all_finite,
    default_chunk_size,
    highest_score,
    map_chunks,
    straight_through,
    take_rows,
)
from keras_vqvae.seeds import derived_seed

__all__ = ["ImplicitDepth"]


class ImplicitDepth(CodebookQuantizer):
    """One depth of `ImplicitResidualVectorQuantizer`, whose docstring has the formulas.

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D. By default taken from the input.
        num_blocks: how many blocks its network has; `None` for no network.
        hidden_dim: numbers within a block.
        beta: β of the commitment loss.
        embeddings_initializer: where the codes of the table start.
        chunk_size: how many vectors are compared at one time.
        seed: seed of the draws.
        **kwargs: as for `keras.layers.Layer`.
    """

    loss_names = ("codebook_loss", "commitment_loss")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int | None,
        num_blocks: int | None,
        hidden_dim: int,
        beta: Any,
        embeddings_initializer: Any,
        chunk_size: int | None,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.set_numbers(beta=beta)
        self.network = None
        if num_blocks is not None:
            options = {"dtype": "float32", "name": "codebook_network"}
            self.network = _Network(
                num_blocks, hidden_dim, derived_seed(seed, "network"), **options
            )
        self.codebook = Codebook(
            num_embeddings,
            embedding_dim,
            embeddings_initializer=embeddings_initializer,
            chunk_size=chunk_size,
            seed=seed,
            dtype="float32",
            name="codebook",
        )

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        if self.network is not None:
            self.check_input_shape(input_shape)
            self.network.build((None, input_shape[-1]))
        super().build(input_shape)

    def codes_given(self, codes: Any, context: Any) -> Any:
        """The codes that these of the table become behind the sum of those before: `(M, D)`."""
        return codes if self.network is None else self.network.bend(codes, context)

    def nearest_given(self, vectors: Any, context: Any) -> Any:
        """The index of the nearest code of each vector, int32 `(N,)`; without a gradient.

        All K codes of a vector are computed, for a chunk of vectors at a time.
        """
        table = self.codebook.table()
        network = self.network
        if network is None:
            return self.codebook.search(vectors, table)
        count, dim = table.shape
        base = ops.stop_gradient(table + network.from_code(table))
        shifts = ops.stop_gradient(network.from_context(context))

        def nearest(rows: Any) -> Any:
            x, shift = rows[:, :dim], rows[:, dim:]
            values = ops.expand_dims(base, 0) + ops.expand_dims(shift, 1)
            values = network.through_blocks(ops.reshape(values, (-1, dim)))
            values = ops.reshape(values, (-1, count, dim))
            # From the vector, and not as products: codes of a late depth differ by little.
            squares = ops.sum(ops.square(values - ops.expand_dims(x, 1)), axis=-1)
            return highest_score(-squares)

        chunk_size = self.codebook.chunk_size
        if chunk_size is None:
            chunk_size = default_chunk_size(int(count) * max(int(dim), network.hidden_dim))
        rows = ops.concatenate([ops.stop_gradient(vectors), shifts], axis=-1)
        return map_chunks(nearest, rows, chunk_size)

    def discretize(
        self, z_e: Any, training: bool = False, mask: Any = None, context: Any = None
    ) -> QuantizerOutput:
        """As of any quantizer of `(N, D)`; `context` is the sum of the codes before each."""
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        context = ops.zeros_like(x) if context is None else ops.stop_gradient(context)
        if training:
            self.codebook.initialize(x, valid)
        indices = self.nearest_given(x, context)
        codes = self.codes_given(take_rows(self.codebook.table(), indices), context)
        if training:
            # A batch that is not finite would make table and network so.
            codes = ops.where(all_finite(x), codes, ops.stop_gradient(codes))
        losses, commitment = self.table_losses(x, codes, valid)
        if training:
            self.learn_from(x, indices, valid, commitment)
            self.advance(valid)
        return self.restore(z_e, valid, straight_through(x, codes), indices, losses, codes)

    def codes_at(self, indices: Any, context: Any) -> Any:
        """As `codes_of`, for indices `(...)` behind a sum of codes `(..., D)`."""
        flat = ops.reshape(ops.maximum(indices, 0), (-1,))
        dim = self.codebook.embedding_dim
        codes = ops.take(self.codebook.table(), flat, axis=0)
        codes = self.codes_given(codes, ops.reshape(context, (-1, dim)))
        codes = ops.reshape(codes, (*ops.shape(indices), dim))
        return ops.where(ops.expand_dims(indices >= 0, -1), codes, 0.0)

    def codes_of(self, indices: Any) -> Any:
        shape = (*ops.shape(indices), self.codebook.embedding_dim)
        return self.codes_at(indices, ops.zeros(shape, "float32"))


class _Network(keras.layers.Layer):
    """The network of a depth. All that it adds to a code starts at 0."""

    def __init__(self, num_blocks: int, hidden_dim: int, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_blocks, self.hidden_dim, self.seed = num_blocks, hidden_dim, seed

    def build(self, input_shape: Any) -> None:
        dim, hidden, blocks = int(input_shape[-1]), self.hidden_dim, range(self.num_blocks)
        starts = spread_initializers(keras.initializers.HeUniform(self.seed), self.num_blocks)
        self.from_code = _dense("from_code", dim, dim, "zeros", use_bias=False)
        self.from_context = _dense("from_context", dim, dim, "zeros")
        self.widen = [_dense(f"widen_{i}", dim, hidden, starts[i]) for i in blocks]
        self.narrow = [_dense(f"narrow_{i}", hidden, dim, "zeros") for i in blocks]
        self.built = True

    def bend(self, codes: Any, context: Any) -> Any:
        """f(e, s) of codes and sums `(M, D)`."""
        return self.through_blocks(codes + self.from_code(codes) + self.from_context(context))

    def through_blocks(self, values: Any) -> Any:
        for widen, narrow in zip(self.widen, self.narrow, strict=True):
            values = values + narrow(ops.relu(widen(values)))
        return values


def _dense(name: str, dim: int, units: int, start: Any, use_bias: bool = True) -> Any:
    layer = keras.layers.Dense(
        units, use_bias=use_bias, kernel_initializer=start, dtype="float32", name=name
    )
    layer.build((None, dim))
    return layer
