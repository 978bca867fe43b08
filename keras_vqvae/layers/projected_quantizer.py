"""A quantizer that works in a space of fewer dimensions."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.parts import check_part, number_of, serialized, spread_initializers
from keras_vqvae.layers.quantizer import Quantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse

__all__ = ["ProjectedQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class ProjectedQuantizer(Quantizer):
    """Projects vectors to c dimensions, quantizes them there, and projects the codes back.

    ```
    y = W_in z_e + b_in        (..., D) → (..., c)
    q = quantizer(y)           indices, losses and statistics are the quantizer's
    z_q = W_out q + b_out      (..., c) → (..., D)
    ```

    A large table is used more evenly when its codes are short (`codebook_dim` of 8 to 32). Losses
    are taken in the c dimensions. It goes around any quantizer: around
    `ProductQuantizer(heads, K, shared_codebook=...)` it is the quantizer with several heads, and
    around `FiniteScalarQuantizer` it brings vectors of any length to its few numbers. Both
    projections learn by gradient, from what follows and from the quantizer's losses. Masked
    positions get indices −1 and zeros.

    Args:
        quantizer: the `Quantizer` in the middle.
        codebook_dim: c. By default the quantizer's `embedding_dim`, where it is known.
        kernel_initializer: where both projections start. Defaults to `"glorot_uniform"`.
        use_bias: whether they have biases. Defaults to `True`.
        embedding_dim: D. By default taken from the input.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy, the projections are float32,
            as distances are: rounding would change which code is nearest.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the tables learn from this call.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also the quantizer's int32 indices.

    Raises:
        ValueError: for something that is no quantizer, or a `codebook_dim` that is unknown or
            another than the quantizer's.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae.layers import ProductQuantizer, VectorQuantizer
    >>> layer = ProjectedQuantizer(VectorQuantizer(512), codebook_dim=8)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 64)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), layer.codebook_shape
    ((1, 7, 7, 64), (1, 7, 7), (512, 8))
    >>> heads = ProjectedQuantizer(ProductQuantizer(4, 512, shared_codebook=True), codebook_dim=32)
    >>> tuple(heads(np.ones((1, 7, 64)), return_indices=True)[1].shape), heads.codebook_shape
    ((1, 7, 4), (512, 8))

    References:
        - [Vector-quantized Image Modeling with Improved VQGAN](https://arxiv.org/abs/2110.04627),
          §3.2, factorized codes
        - [Improved RVQGAN](https://arxiv.org/abs/2306.06546)
    """

    def __init__(
        self,
        quantizer: Any,
        codebook_dim: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        use_bias: bool = True,
        embedding_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        quantizer = check_part(quantizer, "quantizer")
        dim = quantizer.embedding_dim if codebook_dim is None else codebook_dim
        hint = "; it can be left out for a quantizer with a known `embedding_dim`"
        dim = check_count("codebook_dim", dim, hint=hint)
        if quantizer.embedding_dim not in (None, dim):
            raise ValueError(
                f"`codebook_dim` should be the length of the quantizer's vectors, "
                f"{quantizer.embedding_dim}; leave it out. Received: codebook_dim={codebook_dim}"
            )
        self.quantizer = quantizer
        self.codebook_dim = dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.use_bias = bool(use_bias)
        self._dim = None if embedding_dim is None else check_count("embedding_dim", embedding_dim)

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_input_shape(input_shape)
        self._dim = int(input_shape[-1])
        self.project_in, self.project_out = (
            keras.layers.Dense(
                units, use_bias=self.use_bias, kernel_initializer=start, dtype="float32", name=name
            )
            for units, start, name in zip(
                (self.codebook_dim, self._dim),
                spread_initializers(self.kernel_initializer, 2),
                ("project_in", "project_out"),
                strict=True,
            )
        )
        self.project_in.build((None, self._dim))
        self.quantizer.build((None, self.codebook_dim))
        self.project_out.build((None, self.codebook_dim))
        self.hand_on_frozen()
        self.built = True

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        # With its axes, as some quantizers draw per sample; masked, as biases fill the padding.
        y = ops.reshape(self.project_in(x), (*ops.shape(z_e)[:-1], self.codebook_dim))
        output = self.quantizer.discretize(y, training=training, mask=mask)
        quantized, codes = (
            self.project_out(ops.reshape(q, (-1, self.codebook_dim)))
            for q in (output.quantized, output.codes)
        )
        several = (len(self.table_sizes),) if self.has_index_axis else ()
        indices = ops.reshape(output.indices, (-1, *several))
        return self.restore(z_e, valid, quantized, indices, output.losses, codes)

    def indices_of(self, z_e: Any) -> Any:
        x = ops.reshape(ops.cast(z_e, "float32"), (-1, z_e.shape[-1]))
        y = ops.reshape(self.project_in(x), (*ops.shape(z_e)[:-1], self.codebook_dim))
        return self.quantizer.indices_of(y)

    def codes_of(self, indices: Any) -> Any:
        codes = self.quantizer.codes_of(indices)
        flat = self.project_out(ops.reshape(codes, (-1, self.codebook_dim)))
        vectors = ops.reshape(flat, (*ops.shape(codes)[:-1], self._dim))
        # The bias is no code: where no index is left, zeros.
        present = ops.expand_dims(indices >= 0, -1)
        if self.has_index_axis:
            present = ops.any(present, axis=-2)
        return ops.where(present, vectors, 0.0)

    @property
    def num_embeddings(self) -> Any:
        """K of the quantizer."""
        return self.quantizer.num_embeddings

    @property
    def table_sizes(self) -> tuple[int, ...]:
        return self.quantizer.table_sizes

    def tables(self) -> tuple[TableUse, ...]:
        return self.quantizer.tables()

    @property
    def embedding_dim(self) -> int | None:
        """D, the length of a vector outside; `None` until it is known."""
        return self._dim

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """That of the quantizer: codes have the length c."""
        return self.quantizer.codebook_shape

    def number(self, name: str) -> Any:
        """What the quantizer's number of this name is now."""
        return number_of(self.quantizer, name, self.name)

    def given_number(self, name: str) -> Any:
        """The number or schedule of this name that the quantizer was given."""
        return self.quantizer.given_number(name)

    @property
    def loss_names(self) -> tuple[str, ...]:
        return self.quantizer.loss_names

    @property
    def learns_by_gradient(self) -> bool:
        return self.quantizer.learns_by_gradient

    @property
    def code_counts(self) -> Any:
        self.check_made("code_counts")
        return self.quantizer.code_counts

    def indices_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return self.quantizer.indices_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "quantizer": serialized(self.quantizer),
            "codebook_dim": self.codebook_dim,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "use_bias": self.use_bias,
            "embedding_dim": self._dim,
        }
