"""A vector cut into pieces, each for a quantizer of its own."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.channel_split import ChannelSplit
from keras_vqvae.layers.parts import check_parts, serialized

__all__ = ["GroupedQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class GroupedQuantizer(ChannelSplit):
    """Cuts vectors into G equal pieces and quantizes each by any quantizer.

    ```
    z_e = [z_1, …, z_G],   z_q = [quantizer_1(z_1), …, quantizer_G(z_G)]
    ```

    So `LookupFreeQuantizer`, `FiniteScalarQuantizer` and `ResidualFiniteScalarQuantizer` get past
    what fits into one index, and the pieces may be quantized in different ways. With tables of
    vectors alone, `ProductQuantizer` and `GroupedResidualVectorQuantizer` are shorter to write. A
    position has the indices of all pieces, one after another. Losses are means over the pieces; a
    piece without one of them counts as 0 in it. Gradients are the pieces'. Masked positions get
    indices −1 and zeros.

    Args:
        quantizers: a list of G quantizers of vectors of one length, D/G.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the tables learn from this call.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(..., indices of all pieces)`.

    Raises:
        ValueError: for a list that is empty, or with something in it that is no quantizer of
            vectors; from `build`, for a last axis that G does not divide.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae.layers import LookupFreeQuantizer
    >>> layer = GroupedQuantizer([LookupFreeQuantizer(18) for _ in range(2)])  # 36 bits
    >>> tuple(layer(np.ones((1, 7, 7, 36)), return_indices=True)[1].shape)
    (1, 7, 7, 2)
    >>> layer.uniform_bits_per_position
    36.0

    References:
        - [Product Quantization for Nearest Neighbor Search](https://doi.org/10.1109/TPAMI.2010.57)
        - [HiFi-Codec](https://arxiv.org/abs/2305.02765), §3.2
    """

    def __init__(self, quantizers: Sequence[Any], **kwargs: Any) -> None:
        parts = check_parts(quantizers)
        super().__init__(**kwargs)
        self.quantizers = parts
        self.num_groups = len(parts)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "quantizers": [serialized(part) for part in self.quantizers],
        }
