"""The objective: what held-out images cost in all."""

from typing import Any

import keras

from keras_vqvae.data import ImageBatches
from keras_vqvae.evaluation import evaluate_vqvae

__all__ = ["CodeLength"]


class CodeLength(keras.callbacks.Callback):
    """Adds to the logs of each epoch what held-out images cost, in bits per dimension.

    ```
    val_bits_per_dimension = reconstruction + codes · entropy of the codes' histogram / dimensions
    ```

    The first is that of 8-bit images given their codes, by the model's likelihood. The second is
    what codes cost if each is coded alone by how often it occurs: a larger table has to pay for
    itself, while reconstruction alone would always prefer it. What it leaves out is what a prior
    would learn about codes side by side, so that the true cost is below it.

    The second alone is added as `val_code_bits_per_dimension`, and `val_codebook_usage` and
    `val_mse` of the same images.

    Args:
        images: held-out images: what `data.load_images` takes, or `data.ImageBatches`.
        batch_size: images at one time. Defaults to `128`.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae(
    ...     (8, 8, 1), 4, 2, widths=(4,), likelihood="discretized_logistic"
    ... )
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> logs = model.fit(images, verbose=0, callbacks=[CodeLength(images)]).history
    >>> 7.0 < logs["val_bits_per_dimension"][0] < 12.0  # noise, and an untrained model
    True
    """

    #: What it adds to the logs.
    names = (
        "val_bits_per_dimension",
        "val_code_bits_per_dimension",
        "val_codebook_usage",
        "val_mse",
    )

    def __init__(self, images: Any, batch_size: int = 128) -> None:
        super().__init__()
        self.images = images.source if isinstance(images, ImageBatches) else images
        self.batch_size = batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        figures = evaluate_vqvae(self.model, self.images, self.batch_size)
        if "reconstruction_bits_per_dimension" not in figures:
            raise ValueError(
                "the likelihood should give the images a probability. Received: "
                f"{self.model.likelihood!r}, which scores binary images only. Choose a likelihood "
                "of grey levels such as 'discretized_logistic'"
            )
        codes = figures["code_entropy_bits_per_dimension"]
        total = figures["reconstruction_bits_per_dimension"] + codes
        values = (total, codes, figures["codebook_usage"], figures["mse"])
        logs.update(zip(self.names, values, strict=True))
