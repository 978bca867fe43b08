"""The gated PixelCNN."""

from typing import Any

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.models.code_prior import CodePrior
from keras_vqvae.models.two_stack_trunk import TwoStackTrunk, gated_layers

__all__ = ["GatedPixelCNN"]


@keras.saving.register_keras_serializable(PACKAGE)
class GatedPixelCNN(CodePrior):
    """A gated PixelCNN over grids of codes: two stacks, and no blind spot.

    The prior of the VQ-VAE paper. Codes are embedded, pass a `layers.GatedMaskedConv2D` of mask A,
    and then such layers of mask B with residual connections. Labels and conditions enter every
    layer. A sample computes nothing twice: the vertical stacks run by rows, the
    horizontal ones by positions.

    Args:
        code_shape: `(height, width)` of the grid, or `(height, width, depth)`.
        num_embeddings: K, the number of codes; or one number for each depth.
        num_classes: number of classes, for a prior that is conditioned on labels.
        filters: channels of each stack. Defaults to `64`.
        blocks: how many layers of mask B. Defaults to `6`.
        embedding_dim: length of a code's embedding. Defaults to `64`.
        kernel_size: of the layers of mask B, odd and at least 3. Defaults to `3`.
        first_kernel_size: of the layer of mask A. Defaults to `7`.
        hidden_dim: width of the head. Defaults to `128`.
        dropout: rate in each layer of mask B. Defaults to `0`.
        **kwargs: as for `CodePrior`: `condition_shape`, `label_dropout`, `label_smoothing`,
            `codes_fingerprint`.

    Call arguments:
        codes: integer tensor `(batch, height, width)` or `(batch, height, width, depth)`, below K.
        labels: integer tensor `(batch,)`, for a prior conditioned on classes.
        condition: float tensor `(batch, *condition_shape)`, for a prior conditioned on such.
        training: whether dropout is on.

    Returns:
        Logits, float32 `(batch, height, width, K)`, or `(batch, height, width, depth, K)`; those of
        a code depend on the codes before it only.

    Raises:
        ValueError: for what `layers.GatedMaskedConv2D` and `CodePrior` refuse.

    Example:
    >>> import numpy as np
    >>> prior = GatedPixelCNN(
    ...     code_shape=(4, 4), num_embeddings=8, num_classes=2, filters=8, blocks=1
    ... )
    >>> prior.compile("adam")
    >>> codes, labels = np.random.randint(0, 8, (16, 4, 4)), np.random.randint(0, 2, 16)
    >>> history = prior.fit(codes, labels, verbose=0)
    >>> prior.log_prob(codes, labels).shape, prior.sample(3, labels=1, seed=0).shape
    ((16,), (3, 4, 4))

    References:
        - [Conditional Image Generation with PixelCNN Decoders](https://arxiv.org/abs/1606.05328)
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §3.3
    """

    def __init__(
        self,
        code_shape: tuple[int, ...],
        num_embeddings: int | tuple[int, ...],
        num_classes: int | None = None,
        filters: int = 64,
        blocks: int = 6,
        embedding_dim: int = 64,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
        hidden_dim: int = 128,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(code_shape, num_embeddings, num_classes, **kwargs)
        self.set_sizes(
            filters=filters,
            blocks=blocks,
            embedding_dim=embedding_dim,
            kernel_size=kernel_size,
            first_kernel_size=first_kernel_size,
            hidden_dim=hidden_dim,
            dropout=dropout,
        )
        trunk = TwoStackTrunk(
            gated_layers(
                self.filters,
                self.blocks,
                self.kernel_size,
                self.first_kernel_size,
                self.dropout,
                self.dtype_policy,
            ),
            dtype=self.dtype_policy,
            name="trunk",
        )
        self.assemble(trunk, self.embedding_dim, self.hidden_dim)
