"""What all quantizers share: the wiring to Keras around one method with the arithmetic."""

import math
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import not_built, refuse_quantized
from keras_vqvae.compilation import is_concrete
from keras_vqvae.layers.freezing import freeze_parts, frozen_parts, hand_on_frozen
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse
from keras_vqvae.ops import all_finite, all_reduce_sum, code_counts

__all__ = ["Quantizer"]

# Usage of larger implicit tables is not counted: no data set would show it.
_MAX_COUNTED = 2**20


class Quantizer(keras.layers.Layer):
    """Base of all quantizers: `(..., D)` in, the same shape out, made of few different values.

    A subclass gives `discretize` (all of the arithmetic), `codes_of`, `num_embeddings`,
    `embedding_dim`, `codebook_shape`, `loss_names`, `code_counts` and `get_config`; one with Q
    indices a position also `table_sizes`, `tables` and `indices_shape`. This class makes a
    Keras layer of it: losses by `add_loss`, masks, symbolic shapes, checks of what comes from the
    host.
    """

    built: bool
    trainable: bool

    def __init__(self, **kwargs: Any) -> None:
        # The arithmetic is float32 with any policy: rounded first, vectors near a border between
        # two codes would get another one than in `encode`.
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        # Of a config, and made by `build`.
        self._parts_to_freeze: tuple[str, ...] = ()

    # -- for subclasses ---------------------------------------------------------------------------

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        """Vectors to codes, indices and named losses. Adds no losses to the layer.

        Raises:
            ValueError: before the layer is built, if weights are needed: none can be made in
                compiled code.
        """
        raise self._missing("discretize")

    def indices_of(self, z_e: Any) -> Any:
        """int32 indices of the codes of `z_e`, as in evaluation."""
        return self.discretize(z_e, training=False).indices

    def codes_of(self, indices: Any) -> Any:
        """The codes of indices; zeros for −1."""
        raise self._missing("codes_of")

    @property
    def num_embeddings(self) -> Any:
        """K: an index is in [0, K). A tuple if the Q indices of a position have different sizes."""
        raise self._missing("num_embeddings")

    @property
    def table_sizes(self) -> tuple[int, ...]:
        """K of each of the Q indices of a position."""
        return (self.num_embeddings,)

    def tables(self) -> tuple[TableUse, ...]:
        """The tables in it, and which of a position's indices each one answers."""
        # No property: Keras walks those when it saves, and would come back here for ever.
        return (TableUse("", self, (0,)),)

    @property
    def has_index_axis(self) -> bool:
        """Whether the indices of a position have an axis, `(..., Q)`, even if Q is 1."""
        return len(self.indices_shape((1, 2, 3, 4))) > 3

    @property
    def is_counted(self) -> bool:
        """Whether usage is counted: not of tables so large that no data set would show it."""
        return max(self.table_sizes) <= _MAX_COUNTED

    @property
    def embedding_dim(self) -> int | None:
        """D, the length of the vectors; `None` until it is known."""
        raise self._missing("embedding_dim")

    @property
    def learns_by_gradient(self) -> bool:
        """Whether there is a table with a trainable weight."""
        return "codebook_loss" in self.loss_names

    @property
    def passes_straight_through(self) -> bool:
        """Whether vectors get the gradient of `quantized` as it is, and nothing else gets any.

        All that learns then learns from `losses`, so that quantizers made of others may put
        another estimator in its place.
        """
        return False

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the terms in `QuantizerOutput.losses`, known before the first call."""
        raise self._missing("loss_names")

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """Shape of the table (or of the tables, stacked)."""
        raise self._missing("codebook_shape")

    @property
    def code_counts(self) -> Any:
        """float32 `(K,)`: how often each code was chosen in training since the last reset.

        `None` where K is too large to count. Of a quantizer made of others, the counts of all its
        tables, one after another. A subclass first calls `self.check_made("code_counts")`.
        """
        raise self._missing("code_counts")

    def given_number(self, name: str) -> Any:
        """The number or schedule that was given under this name; `None` for an unknown name."""
        return None

    def _missing(self, name: str) -> NotImplementedError:
        return NotImplementedError(
            f"`{type(self).__name__}` should give `{name}`, as `layers.Quantizer` says of its "
            "subclasses (a property may be a class attribute)."
        )

    def hand_on_frozen(self) -> None:
        """Last in `build`: freezes the layers in a frozen quantizer, and those of its config."""
        hand_on_frozen(self)
        # Of what a subclass makes behind this, and freezes by another call.
        self._parts_to_freeze = tuple(freeze_parts(self, self._parts_to_freeze))

    def flatten(self, z_e: Any, mask: Any = None) -> tuple[Any, Any]:
        """Vectors as a flat list, and which of them are valid.

        Args:
            z_e: float tensor `(..., D)`.
            mask: boolean tensor `(...)` or `None`.

        Returns:
            float32 `(N, D)` with zeros where masked, and float32 `(N,)` of 0 and 1, or `None`.

        Raises:
            ValueError: for a mask of another shape than `(...)`, or vectors of another length than
                D.
        """
        self.check_input_shape(z_e.shape)
        x = ops.reshape(ops.cast(z_e, "float32"), (-1, z_e.shape[-1]))
        if mask is None:
            return x, None
        mask = self.checked_mask(z_e, mask)
        valid = ops.reshape(ops.cast(mask, "float32"), (-1,))
        # What padding holds must not matter, not even if it is NaN.
        return ops.where(ops.expand_dims(valid > 0, -1), x, 0.0), valid

    def checked_mask(self, z_e: Any, mask: Any) -> Any:
        """The mask as a boolean tensor, which has to have the shape of the positions."""
        mask = ops.cast(ops.convert_to_tensor(mask), "bool")
        expected = tuple(z_e.shape[:-1])
        pairs = zip(mask.shape, expected, strict=False)
        if len(mask.shape) != len(expected) or any(
            a != b for a, b in pairs if a is not None and b is not None
        ):
            raise ValueError(
                f"The mask of layer '{self.name}' should have a value for each position, shape "
                f"{expected}. Received: a mask of shape {tuple(mask.shape)}"
            )
        return mask

    def like_input(self, z_e: Any, quantized: Any) -> Any:
        """Values in the dtype of the vectors; of integers, in the layer's `compute_dtype`."""
        floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(z_e.dtype))
        return ops.cast(quantized, z_e.dtype if floating else self.compute_dtype)

    def restore(
        self, z_e: Any, valid: Any, quantized: Any, indices: Any, losses: dict[str, Any], codes: Any
    ) -> QuantizerOutput:
        """The inverse of `flatten` for results `(N, D)` and `(N,)` or `(N, Q)`, masks applied."""
        shape = ops.shape(z_e)
        if valid is not None:
            row = ops.expand_dims(valid, -1)
            quantized, codes = quantized * row, codes * row
            per_index = valid if len(indices.shape) == 1 else row
            indices = ops.where(per_index > 0, indices, -1)
        return QuantizerOutput(
            ops.reshape(self.like_input(z_e, quantized), shape),
            ops.reshape(indices, (*shape[:-1], *indices.shape[1:])),
            losses,
            ops.reshape(codes, shape),
        )

    def check_built(self, method: str) -> None:
        """Refuses a method that needs weights, before there are any."""
        if not self.built:
            raise ValueError(not_built(self.name, method))

    def check_made(self, weight: str) -> None:
        """Refuses to read a weight before there are any.

        Raises:
            AttributeError: as Keras and `hasattr` expect it of a property without a value.
        """
        if not self.built:
            raise AttributeError(not_built(self.name, weight))

    def check_input_shape(self, input_shape: Any) -> None:
        """Refuses vectors of another length than `embedding_dim`."""
        dim = self.embedding_dim
        input_shape = tuple(input_shape)  # TensorFlow's of no axis is true
        if not input_shape or input_shape[-1] is None or dim not in (None, input_shape[-1]):
            length = "a known length" if dim is None else f"length {dim}"
            raise ValueError(
                f"Layer '{self.name}' expects vectors of {length} on the last axis of its input. "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def make_counter(self) -> Any:
        """The weight behind `code_counts` for a quantizer without a `Codebook`, or `None`.

        Beside it a weight `refused_batches`, as codebooks have it, in any case.
        """
        kind = {"initializer": "zeros", "dtype": "float32", "trainable": False, "autocast": False}
        self.refused_batches = self.add_weight(name="refused_batches", shape=(), **kind)
        if not self.is_counted:
            return None
        return self.add_weight(name="code_counts", shape=(self.num_embeddings,), **kind)

    def count(self, indices: Any, valid: Any = None, vectors: Any = None) -> None:
        """Adds a training step's indices to `code_counts`, if there is such a weight.

        Args:
            indices: int32 `(N,)`.
            valid: float32 `(N,)`, 0 for rows to be left out, or `None`.
            vectors: what the indices were chosen for, `(N, D)`: where it is not finite, the batch
                counts as a refused one, on all replicas. By default nothing is refused.

        A frozen layer (`trainable = False`) counts nothing.
        """
        self.check_built("discretize")
        if not self.trainable:
            return
        finite = None if vectors is None else all_finite(vectors)
        if finite is not None:
            self.refused_batches.assign_add(1.0 - ops.cast(finite, "float32"))
        if self.code_counts is None:
            return
        counts = all_reduce_sum(code_counts(indices, self.num_embeddings, valid))
        self.code_counts.assign_add(counts if finite is None else ops.where(finite, counts, 0.0))

    # -- for users --------------------------------------------------------------------------------

    @property
    def uniform_bits_per_code(self) -> float:
        """Bits that an index costs when all codes are equally likely: log2 of the table's size.

        Of several indices of different sizes, the mean.
        """
        return self.uniform_bits_per_position / len(self.table_sizes)

    @property
    def uniform_bits_per_position(self) -> float:
        """Bits that all Q indices of a position cost when all codes are equally likely."""
        return sum(math.log2(size) for size in self.table_sizes)

    def call(
        self, z_e: Any, training: bool | None = None, mask: Any = None, return_indices: bool = False
    ) -> Any:
        z_e = ops.cast(z_e, "float32")  # so that the result is rounded once, at the end
        output = self.discretize(z_e, training=bool(training), mask=mask)
        for loss in output.losses.values():
            self.add_loss(loss)
        quantized = ops.cast(output.quantized, self.compute_dtype)
        return (quantized, output.indices) if return_indices else quantized

    def encode(self, z_e: Any) -> Any:
        """The indices of the nearest codes.

        Args:
            z_e: float array or tensor `(..., D)`. The layer is built on it if it is not yet.

        Returns:
            int32 tensor `(...)`, or `(..., Q)` for Q codes a position.

        Raises:
            TypeError: for a symbolic tensor, on which no weights would be tracked.
        """
        self._refuse_symbolic("encode", z_e, "`layers.CodeIndices(quantizer)(z_e)`")
        z_e = ops.convert_to_tensor(z_e)
        self.check_input_shape(z_e.shape)
        if not self.built:
            self.build(tuple(z_e.shape))
        return self.indices_of(z_e)

    def decode(self, indices: Any) -> Any:
        """The codes of indices: the lookup in the table.

        Args:
            indices: integer array or tensor `(...)`, or `(..., Q)` for Q codes a position. −1
                (masked) gives zeros. In compiled code an index beyond the table is not noticed, and
                what it gives depends on the backend.

        Returns:
            float32 tensor `(..., D)`.

        Raises:
            TypeError: for a symbolic tensor, or indices that are no integers.
            ValueError: for indices below −1 or beyond the table, or before the layer is built.
        """
        self._refuse_symbolic("decode", indices, "`layers.CodeLookup(quantizer)(indices)`")
        self.check_built("decode")
        if is_concrete(indices):
            # On the host: on JAX a tensor of large integers holds other ones.
            given = ops.convert_to_numpy(indices)
            self.check_indices(given.dtype, given.shape)
            self._check_range(given)
        else:
            self.check_indices(indices.dtype, indices.shape)
        return self.codes_of(ops.cast(indices, "int32"))

    def check_indices(self, dtype: Any, shape: Any) -> None:
        """Refuses what no indices can be: other dtypes, or another number of indices a position.

        Raises:
            TypeError: for a dtype that is not of integers.
            ValueError: for another length of the last axis, where a position has an axis of
                indices.
        """
        name = getattr(dtype, "name", str(dtype))
        if not name.startswith(("int", "uint")):
            raise TypeError(
                f"`indices` of layer '{self.name}' should be integers. Received: dtype {name}"
            )
        count, shape = len(self.table_sizes), tuple(shape)
        if self.has_index_axis and (not shape or shape[-1] not in (None, count)):
            raise ValueError(
                f"`indices` of layer '{self.name}' should have {count} indices a position on "
                f"the last axis. Received: shape {shape}"
            )

    def _check_range(self, indices: np.ndarray) -> None:
        sizes = self.table_sizes
        columns = np.moveaxis(indices, -1, 0) if self.has_index_axis else [indices]
        for i, (column, size) in enumerate(zip(columns, sizes, strict=True)):
            if column.size and (column.min() < -1 or column.max() >= size):
                which = f"`indices[..., {i}]`" if self.has_index_axis else "`indices`"
                raise ValueError(
                    f"{which} of layer '{self.name}' should be in [0, {size}), or −1 for masked "
                    f"positions. Received: values in [{column.min()}, {column.max()}]"
                )

    def _refuse_symbolic(self, method: str, x: Any, instead: str) -> None:
        if isinstance(x, keras.KerasTensor):
            raise TypeError(
                f"`{method}` of layer '{self.name}' takes arrays and tensors; on a symbolic tensor "
                f"it would track no weights. Use {instead} in a functional model."
            )

    # -- for Keras --------------------------------------------------------------------------------

    def indices_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the indices for this shape of vectors."""
        return tuple(input_shape[:-1])

    def vectors_shape(self, indices_shape: Any) -> tuple[int | None, ...]:
        """The shape of the vectors that indices of this shape stand for."""
        positions = indices_shape[:-1] if self.has_index_axis else indices_shape
        return (*positions, self.embedding_dim)

    def get_config(self) -> dict[str, Any]:
        """The settings.

        Raises:
            ValueError: after `quantize` of a model, where layers in this one are made by it.
        """
        refuse_quantized(self)
        frozen = [*frozen_parts(self), *self._parts_to_freeze]
        return {**super().get_config(), **({"frozen_parts": frozen} if frozen else {})}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The layer of a config; parts that were frozen alone are frozen again."""
        config = dict(config)
        frozen = config.pop("frozen_parts", ())
        layer: Self = super().from_config(config)
        layer._parts_to_freeze = tuple(freeze_parts(layer, frozen))  # `build` makes them
        return layer

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def compute_output_spec(
        self, z_e: Any, training: bool | None = None, mask: Any = None, return_indices: bool = False
    ) -> Any:
        self.check_input_shape(z_e.shape)
        quantized = keras.KerasTensor(self.compute_output_shape(z_e.shape), self.compute_dtype)
        if not return_indices:
            return quantized
        return quantized, keras.KerasTensor(self.indices_shape(z_e.shape), "int32")

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask
