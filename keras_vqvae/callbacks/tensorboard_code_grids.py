"""Grids of codes in TensorBoard."""

import numpy as np

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.tensorboard_base import ImagesCallback
from keras_vqvae.evaluation import codes_picture, reconstruction_grid, to_bytes

__all__ = ["TensorBoardCodeGrids"]


class TensorBoardCodeGrids(ImagesCallback):
    """Writes images with the grids of their codes below, as one picture `codes`.

    A square is a position, coloured by its code's vector: alike where vectors are alike (see
    `evaluation.codes_picture`). Colours compare within a picture, and not from epoch to epoch.

    For `models.VQVAE`.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard.
        images: array `(N, H, W, C)` with 1 or 3 channels in the model's `value_range`: the same
            each time. 8 or 16 will do.
        every: epochs from one picture to the next; the first and the last epoch have one too.
            Defaults to `5`.

    Raises:
        ValueError: for `every` below 1 and images of another shape; when training begins, for
            images that the model does not take, or a model without codes.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import numpy as np, tempfile
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> grids = TensorBoardCodeGrids(tempfile.mkdtemp(), images[:4])
    >>> history = model.fit(images, callbacks=[grids], verbose=0)
    """

    needs = ("quantizer", "encode", "value_range")

    def write(self, events: EventFile, epoch: int) -> None:
        model = self.model
        grids = codes_picture(model, model.encode(self.images))
        grey = to_bytes(self.images, model.value_range)
        images = np.broadcast_to(grey, (*grey.shape[:-1], 3))
        events.image("codes", reconstruction_grid(images, grids), epoch)
