"""What all quantizers share: the wiring to Keras around one method with the arithmetic."""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vqvae.compilation import is_concrete

__all__ = ["Quantizer", "QuantizerOutput"]


class QuantizerOutput(NamedTuple):
    """What `Quantizer.discretize` gives.

    Attributes:
        quantized: `(..., D)`, the codes, with the gradient estimator applied.
        indices: int32 `(...)`, or `(..., Q)` for Q codes a position; −1 where masked.
        losses: the loss terms by name, scalars, weighted as they enter the loss: their sum is the
            quantizer's loss. Each is a mean over valid elements.
    """

    quantized: Any
    indices: Any
    losses: dict[str, Any]


class Quantizer(keras.layers.Layer):
    """Base of all quantizers: `(..., D)` in, the same shape out, made of few different values.

    A subclass gives `discretize` (all of the arithmetic), `indices_of` and `codes_of`,
    `num_embeddings`, `codebook_shape`, `loss_names` and `get_config`. This class makes a Keras
    layer of it: losses by `add_loss`, masks, symbolic shapes, checks of what comes from the host.
    """

    built: bool

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    # -- for subclasses ---------------------------------------------------------------------------

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        """Vectors to codes, indices and named losses. Adds no losses to the layer."""
        raise NotImplementedError

    def indices_of(self, z_e: Any) -> Any:
        """int32 indices of the codes of `z_e`, as in evaluation."""
        return self.discretize(z_e, training=False).indices

    def codes_of(self, indices: Any) -> Any:
        """The codes of indices; zeros for −1."""
        raise NotImplementedError

    @property
    def num_embeddings(self) -> int:
        """K: an index is in [0, K)."""
        raise NotImplementedError

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the terms in `QuantizerOutput.losses`, known before the first call."""
        raise NotImplementedError

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """Shape of the table (or of the tables, stacked)."""
        raise NotImplementedError

    @property
    def code_counts(self) -> Any:
        """float32 `(K,)`: how often each code was chosen in training since the last reset."""
        raise NotImplementedError

    # -- for users --------------------------------------------------------------------------------

    @property
    def uniform_bits_per_code(self) -> float:
        """Bits that an index costs when all codes are equally likely: log2 of the table's size."""
        return math.log2(self.num_embeddings)

    def call(
        self, z_e: Any, training: bool | None = None, mask: Any = None, return_indices: bool = False
    ) -> Any:
        output = self.discretize(z_e, training=bool(training), mask=mask)
        for loss in output.losses.values():
            self.add_loss(loss)
        return (output.quantized, output.indices) if return_indices else output.quantized

    def encode(self, z_e: Any) -> Any:
        """The indices of the nearest codes.

        Args:
            z_e: float array or tensor `(..., D)`. The layer is built on it if it is not yet.

        Returns:
            int32 tensor `(...)`, or `(..., Q)` for Q codes a position.

        Raises:
            TypeError: for a symbolic tensor, on which no weights would be tracked.
        """
        self._refuse_symbolic("encode", z_e, "`quantizer(z_e, return_indices=True)`")
        z_e = ops.convert_to_tensor(z_e)
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
        self._refuse_symbolic("decode", indices, "`model.decoder_model()`")
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' has no table yet. Call it, or `build` it, before `decode`."
            )
        if is_concrete(indices):
            self._check_indices(ops.convert_to_numpy(indices))
        return self.codes_of(ops.cast(indices, "int32"))

    def _check_indices(self, indices: np.ndarray) -> None:
        if indices.dtype.kind not in "iu":
            raise TypeError(
                f"`indices` of layer '{self.name}' should be integers. "
                f"Received: dtype {indices.dtype}"
            )
        if indices.size and (indices.min() < -1 or indices.max() >= self.num_embeddings):
            raise ValueError(
                f"`indices` of layer '{self.name}' should be in [0, {self.num_embeddings}), or −1 "
                f"for masked positions. Received: values in [{indices.min()}, {indices.max()}]"
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

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def compute_output_spec(
        self, z_e: Any, training: bool | None = None, mask: Any = None, return_indices: bool = False
    ) -> Any:
        quantized = keras.KerasTensor(self.compute_output_shape(z_e.shape), self.compute_dtype)
        if not return_indices:
            return quantized
        return quantized, keras.KerasTensor(self.indices_shape(z_e.shape), "int32")

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask
