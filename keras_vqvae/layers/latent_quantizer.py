"""A learned grid: a few values for each number of a vector."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.channel_split import ChannelSplit
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.layers.scalar_quantizer import check_levels
from keras_vqvae.layers.vector_quantizer import VectorQuantizer

__all__ = ["LatentQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class LatentQuantizer(ChannelSplit):
    """Replaces each number of a vector by the nearest of a few values, which are learned (QLAE).

    Number i has a table of `levels[i]` scalars of its own, `v_i`, and an index of its own: a
    position has D indices, `(..., D)`.

    ```
    k_i = argmin_j |z_i − v_ij|,   q_i = v_i,k_i
    codebook_loss   = w · mean (sg(z) − q)²          moves the values
    commitment_loss = β · mean (z − sg(q))²          keeps the numbers at the values
    ```

    The values start evenly spaced in [−½, ½]. An index is that of the nearest value as learned, not
    of a place on the grid where the values began. Since every combination of values is a code, and
    the values are few, single numbers come to stand for single factors of the data; the paper adds
    heavy weight decay on encoder and decoder (`keras.optimizers.AdamW`), without which they do not.
    The gradient passes straight through. Masked positions get indices −1 and zeros.

    Args:
        levels: how many values each number of a vector may take, integers ≥ 2. The input's last
            axis has as many numbers.
        codebook_weight: w, weight of the codebook loss. Defaults to `0.1`, the paper's.
        beta: β, weight of the commitment loss. Defaults to `0.1`, the paper's.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)` with D = `len(levels)`.
        training: whether the values are counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(..., D)`.

    Raises:
        ValueError: for levels that are no integers ≥ 2, or a negative weight; from `build`, for a
            last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = LatentQuantizer((3, 2))
    >>> z_q, indices = layer(np.array([[0.1, 0.4]]), return_indices=True)
    >>> np.asarray(z_q).tolist(), np.asarray(indices).tolist(), layer.num_embeddings
    ([[0.0, 0.5]], [[1, 1]], (3, 2))

    References:
        - [Disentanglement via Latent Quantization](https://arxiv.org/abs/2305.18378), §3
    """

    def __init__(
        self,
        levels: Sequence[int],
        codebook_weight: float = 0.1,
        beta: Any = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.levels = check_levels(levels)
        self.num_groups = len(self.levels)
        self.codebook_weight = check_number("codebook_weight", codebook_weight)
        self.quantizers = [
            VectorQuantizer(
                size,
                1,
                beta=beta,
                embeddings_initializer=keras.initializers.Constant(
                    np.linspace(-0.5, 0.5, size, dtype="float32")[:, None]
                ),
                dtype="float32",
                name=f"group_{i}",
            )
            for i, size in enumerate(self.levels)
        ]

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        output = super().discretize(z_e, training=training, mask=mask)
        losses = dict(output.losses)
        losses["codebook_loss"] = self.codebook_weight * losses["codebook_loss"]
        return output._replace(losses=losses)

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(D, L)`, or `(ΣL,)` if the numbers differ in it."""
        same = len(set(self.levels)) == 1
        return (len(self.levels), self.levels[0]) if same else (sum(self.levels),)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": list(self.levels),
            "codebook_weight": self.codebook_weight,
            "beta": self.quantizers[0].get_config()["beta"],
        }
