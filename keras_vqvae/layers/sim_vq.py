"""A table that is a linear map of a frozen one."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.nearest_code_quantizer import NearestCodeQuantizer
from keras_vqvae.layers.quantizer import QuantizerOutput

__all__ = ["SimVQ"]


class _MappedCodebook(Codebook):
    """A frozen table C and a trained matrix W; the codes are the rows of C·W."""

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        super().build(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.embedding_dim, self.embedding_dim),
            initializer=keras.initializers.GlorotUniform(self.seed),
            dtype="float32",
            autocast=False,
        )

    def table(self) -> Any:
        return ops.matmul(self.embeddings, self.kernel)


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

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D. By default taken from the input.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        estimator: how the gradient passes: `"straight_through"`, `"rotation"` or another one of
            `VectorQuantizer`. Defaults to `"straight_through"`.
        chunk_size: how many vectors the search compares at one time. By default as many as fit into
            32 MiB.
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
        ValueError: for arguments out of range; from `build`, for a last axis that is not D.

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
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.set_numbers(beta=beta)
        self.set_estimator(estimator)
        self.codebook = _MappedCodebook(
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

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        quantized, codes, indices = self.choose(x, training, valid)
        losses = self.table_losses(x, codes, valid)
        if training:
            self.codebook.learn(x, indices, valid)
            self.advance(valid)
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    @property
    def learns_by_gradient(self) -> bool:
        return True

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.table_config("num_embeddings", "embedding_dim", "chunk_size", "seed"),
        }
