"""A table that is a learned map of a frozen one."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.nearest_code_quantizer import NearestCodeQuantizer
from keras_vqvae.layers.parts import serialized
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import full_product
from keras_vqvae.seeds import check_seed

__all__ = ["SimVQ"]


class _MappedCodebook(Codebook):
    """A frozen table C and a trained map of its rows: by a matrix W, or a layer."""

    def __init__(self, transform: keras.layers.Layer | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transform = transform

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        super().build(input_shape)
        if self.transform is not None:
            self._build_transform(self.transform)
            return
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.embedding_dim, self.embedding_dim),
            initializer=keras.initializers.GlorotUniform(self.seed),
            dtype="float32",
            autocast=False,
        )

    def _build_transform(self, transform: keras.layers.Layer) -> None:
        shape = tuple(self.embeddings.shape)
        if not transform.built:
            transform.build(shape)
        _refuse_half_precision(transform)  # once more, with the layers that came by `build`
        found = tuple(transform.compute_output_shape(shape))
        if found != shape:
            raise ValueError(
                "`codebook_transform` should give a table of the same shape, (num_embeddings, "
                f"embedding_dim). Received: a layer that gives {found} for {shape}"
            )

    def table(self) -> Any:
        if self.transform is None:
            return full_product(*map(ops.convert_to_tensor, (self.embeddings, self.kernel)))
        return ops.cast(self.transform(ops.convert_to_tensor(self.embeddings)), "float32")


def _refuse_half_precision(transform: keras.layers.Layer) -> None:
    """Refuses layers that would round the codes to half precision."""
    for layer in transform._flatten_layers():
        # Sequential and functional models hand their input to their layers as it is.
        passes_on = isinstance(layer, (keras.layers.InputLayer, keras.Sequential))
        in_half = layer.compute_dtype in ("float16", "bfloat16")
        if passes_on or hasattr(layer, "inputs") or not in_half:
            continue
        raise ValueError(
            "`codebook_transform` should compute in float32, as all that codes are made of. Pass "
            f"`dtype='float32'` to its layers. Received: layer '{layer.name}', which computes in "
            f"{layer.compute_dtype}"
        )


@keras.saving.register_keras_serializable(PACKAGE)
class SimVQ(NearestCodeQuantizer):
    """A vector quantizer whose codes `e = W·c` are one learned linear map of frozen random vectors.

    ```
    E               = C W           C: (K, D), frozen, from N(0, 1/D);  W: (D, D), learned
    z_q             = e_k           k = argmin_j ‖z_e − e_j‖²
    codebook_loss   = ‖sg(z_e) − z_q‖²           moves W
    commitment_loss = β ‖z_e − sg(z_q)‖²         keeps the vectors at the codes
    ```

    A code that is chosen moves all others with it, since W is common to them: no code is left
    behind and dies. β stands before the commitment loss, as in `VectorQuantizer`; the authors' code
    has it before the other one. Masked positions get index −1 and zeros and count in no mean.

    Any layer can stand in for W: `keras.Sequential` of dense layers, or attention among the codes,
    as the bridges of [FVQ](https://arxiv.org/abs/2509.10140) have it. It sees all of C as one array
    `(K, D)` and is run once a step, whatever the number of vectors. The same table is compared,
    looked up and learned, so it should give the same in training and evaluation: no `Dropout`, no
    `BatchNormalization`.

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D. By default taken from the input.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        estimator: how the gradient passes: `"straight_through"`, `"rotation"` or another one of
            `VectorQuantizer`. Defaults to `"straight_through"`.
        codebook_transform: a Keras layer or model, `(K, D)` to `(K, D)`, in place of C·W. Its
            weights learn as the table does. Under a mixed policy its layers need
            `dtype="float32"`. Defaults to `None`.
        chunk_size: how many vectors the search compares at one time. By default as many as fit into
            16 MiB on a CPU, 32 MiB on an accelerator.
        seed: seed of C and of the start of W.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the codes are counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for arguments out of range, or a transform that computes in half precision;
            from `build`, for a last axis that is not D, or a transform that gives another shape.

    Example:
    >>> import numpy as np
    >>> layer = SimVQ(num_embeddings=512)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 4)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape), [tuple(w.shape) for w in layer.trainable_weights]
    ((1, 7, 7, 4), (1, 7, 7), [(4, 4)])

    References:
        - [Addressing Representation Collapse in Vector Quantized Models with One Linear
          Layer](https://arxiv.org/abs/2411.02038)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int | None = None,
        beta: Any = 0.25,
        estimator: Any = "straight_through",
        codebook_transform: Any = None,
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        seed = check_seed(seed)
        self.set_numbers(beta=beta)
        self.set_estimator(estimator)
        if isinstance(codebook_transform, dict):
            codebook_transform = keras.saving.deserialize_keras_object(codebook_transform)
        if not isinstance(codebook_transform, keras.layers.Layer | None):
            raise ValueError(
                "`codebook_transform` should be a Keras layer or model, or None. "
                f"Received: codebook_transform={codebook_transform!r}"
            )
        if codebook_transform is not None:
            _refuse_half_precision(codebook_transform)
        self.codebook = _MappedCodebook(
            codebook_transform,
            num_embeddings,
            embedding_dim,
            update="frozen",
            # Variance 1/D: the fan out of a (K, D) matrix is D.
            embeddings_initializer=keras.initializers.VarianceScaling(
                1.0, "fan_out", "untruncated_normal", None if seed is None else seed + 1
            ),
            chunk_size=chunk_size,
            seed=seed,
            dtype="float32",
            name="codebook",
        )
        self.check_codes_to_join()

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        quantized, codes, indices = self.choose(x, training, valid)
        losses, commitment = self.table_losses(x, codes, valid)
        if training:
            self.learn_from(x, indices, valid, commitment)
            self.advance(valid)
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    @property
    def learns_by_gradient(self) -> bool:
        return True

    def get_config(self) -> dict[str, Any]:
        transform = self.codebook.transform
        if transform is not None:
            transform = serialized(transform)
        return {
            **super().get_config(),
            "codebook_transform": transform,
            **self.table_config("num_embeddings", "embedding_dim", "chunk_size", "seed"),
        }
