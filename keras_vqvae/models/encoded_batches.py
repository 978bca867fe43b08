"""Batches of images, encoded when they are asked for."""

from typing import Any

import keras
import numpy as np

from keras_vqvae.models.vqvae import VQVAE

__all__ = ["EncodedBatches"]


class EncodedBatches(keras.utils.PyDataset):
    """Codes for a prior, made on the fly by a VQ-VAE that is not trained any more.

    For data sets whose codes are not to be stored, and for augmentation: an image that is flipped
    or shifted anew in each epoch has other codes in each. Each step pays for the encoder; without
    augmentation it is cheaper to encode once.

    Args:
        vqvae: the model that encodes. It is left as it is.
        batches: a `keras.utils.PyDataset` of batches `images` or `(images, labels)`, such as
            `data.ImageBatches`.

    Returns:
        A batch is int32 codes, or `(codes, labels)`.

    Raises:
        TypeError: for batches that are no `PyDataset`.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae import data, models
    >>> vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, widths=(4,))
    >>> images = data.ArraySource(np.zeros((6, 8, 8), "uint8"))
    >>> batches = models.EncodedBatches(vqvae, data.ImageBatches(images, batch_size=4))
    >>> [codes.shape for codes in batches]
    [(4, 4, 4), (2, 4, 4)]
    """

    def __init__(self, vqvae: VQVAE, batches: keras.utils.PyDataset) -> None:
        if not isinstance(batches, keras.utils.PyDataset):
            raise TypeError(
                "`batches` should be a `keras.utils.PyDataset` of images, such as "
                f"`data.ImageBatches(source)`. Received: {type(batches).__name__}"
            )
        # Its own threads, if it has any, prepare images ahead; one at a time is encoded.
        super().__init__(workers=1, use_multiprocessing=False)
        self.vqvae = vqvae
        self.batches = batches

    @property
    def fingerprint(self) -> str:
        """Of the model as it is now, so that a prior is fitted on the codes of one model only."""
        return self.vqvae.fingerprint()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> np.ndarray | tuple[Any, ...]:
        batch = self.batches[index]
        images, *others = batch if isinstance(batch, tuple | list) else (batch,)
        if index < getattr(self.batches, "passed_over", 0):
            codes = np.zeros((len(images), *self.vqvae.code_shape), "int32")
        else:
            codes = self.vqvae.encode(np.asarray(images), batch_size=len(images))
        return (codes, *others) if others else codes

    def on_epoch_begin(self) -> None:
        """Called by Keras; handed on."""
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Called by Keras; handed on."""
        self.batches.on_epoch_end()

    @property
    def failure(self) -> Exception | None:
        """What the images' batches could not be made for, if they note it."""
        return getattr(self.batches, "failure", None)

    @failure.setter
    def failure(self, error: Exception | None) -> None:
        if hasattr(self.batches, "failure"):
            self.batches.failure = error

    def epoch_callback(self) -> Any:
        """What tells the images the epoch that `fit` counts, so that a prior's `fit` does it.

        `None` where `batches` has no such callback.
        """
        make = getattr(self.batches, "epoch_callback", None)
        return None if make is None else make()

    def pass_over(self, steps: int) -> None:
        """As `data.ImageBatches.pass_over`; nothing is encoded, and the codes are 0.

        Where `batches` cannot do it, nothing happens, and all of them are encoded.
        """
        if hasattr(self.batches, "pass_over"):
            self.batches.pass_over(steps)
