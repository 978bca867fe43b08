"""Codes as inputs and outputs of functional models."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.parts import is_position_wise, serialized
from keras_vqvae.layers.quantizer import Quantizer

__all__ = ["CodeIndices", "CodeLookup"]


class _OfQuantizer(keras.layers.Layer):
    def __init__(self, quantizer: Any, **kwargs: Any) -> None:
        if isinstance(quantizer, dict):
            quantizer = keras.saving.deserialize_keras_object(quantizer)
        if not isinstance(quantizer, Quantizer):
            raise ValueError(
                "`quantizer` should be a quantizer such as `VectorQuantizer(512)`. "
                f"Received: quantizer={quantizer!r}"
            )
        # The quantizer's policy, as of a part of it.
        super().__init__(**{"dtype": quantizer.dtype_policy, **kwargs})
        self.quantizer = quantizer

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "quantizer": serialized(self.quantizer)}


@keras.saving.register_keras_serializable(PACKAGE)
class CodeIndices(_OfQuantizer):
    """Vectors to the indices of their codes, as in evaluation; a layer with one output.

    In a functional model `quantizer(z_e, return_indices=True)` has two outputs. Where the layer's
    first call had one, as in `Sequential`, Keras does not connect the second output of a later one.

    Args:
        quantizer: a quantizer, whose weights this layer shares.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        z_e: float tensor `(..., D)`.
        mask: boolean tensor `(...)`, `False` where a position is padding and gets −1.

    Returns:
        int32 `(...)`, or `(..., Q)` for Q codes a position. Nothing is added to the losses.

    Example:
    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 4, 4)])
    >>> from keras_vqvae.layers import VectorQuantizer
    >>> autoencoder = keras.Sequential([encoder, VectorQuantizer(16), keras.layers.Dense(1)])
    >>> codes = CodeIndices(autoencoder.layers[1])(encoder.output)
    >>> keras.Model(encoder.input, codes).output_shape
    (None, 2, 2)
    """

    def __init__(self, quantizer: Any, **kwargs: Any) -> None:
        # As quantizers, it compares vectors as they come.
        super().__init__(quantizer, **{"autocast": False, **kwargs})
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if not self.quantizer.built:
            self.quantizer.build(input_shape)
        self.built = True

    def call(self, z_e: Any, mask: Any = None) -> Any:
        if mask is None:
            return self.quantizer.indices_of(ops.convert_to_tensor(z_e))
        return self.quantizer.discretize(z_e, training=False, mask=mask).indices

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.quantizer.indices_shape(input_shape)

    def compute_output_spec(self, z_e: Any, mask: Any = None) -> Any:
        return keras.KerasTensor(self.compute_output_shape(z_e.shape), "int32")

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask


@keras.saving.register_keras_serializable(PACKAGE)
class CodeLookup(_OfQuantizer):
    """Indices to codes: the lookup in a quantizer's table, as `Quantizer.decode`, as a layer.

    Args:
        quantizer: a quantizer, whose weights this layer shares.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        indices: integer tensor `(...)`, or `(..., Q)` for Q codes a position. −1 gives zeros;
            indices beyond the table are not noticed.

    Returns:
        float32 `(..., D)`.

    Raises:
        TypeError: for indices that are no integers (`keras.Input` gives floats by default).
        ValueError: for another number of indices a position, or a quantizer that does not know its
            `embedding_dim` yet.

    Example:
    >>> from keras_vqvae.layers import VectorQuantizer
    >>> codes = keras.Input((2, 2), dtype="int32")
    >>> keras.Model(codes, CodeLookup(VectorQuantizer(16, 4))(codes)).output_shape
    (None, 2, 2, 4)
    """

    def __init__(self, quantizer: Any, **kwargs: Any) -> None:
        super().__init__(quantizer, **kwargs)
        # But for quantizers of whole grids, whose indices have other positions.
        self.supports_masking = is_position_wise(self.quantizer)

    def build(self, input_shape: Any) -> None:
        if not self.quantizer.built:
            if self.quantizer.embedding_dim is None:
                raise ValueError(
                    f"Layer '{self.quantizer.name}' does not know yet how long its codes are. Pass "
                    "it an `embedding_dim`, or `build` it, before `CodeLookup`. "
                    f"Received: quantizer={self.quantizer!r}"
                )
            self.quantizer.build(self.quantizer.vectors_shape(input_shape))
        self.built = True

    def call(self, indices: Any) -> Any:
        self.quantizer.check_indices(indices.dtype, indices.shape)
        return self.quantizer.codes_of(ops.cast(indices, "int32"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.quantizer.vectors_shape(input_shape)

    def compute_output_spec(self, indices: Any) -> Any:
        self.quantizer.check_indices(indices.dtype, indices.shape)
        return keras.KerasTensor(self.compute_output_shape(indices.shape), "float32")

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask
