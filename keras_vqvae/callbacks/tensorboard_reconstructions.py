"""Reconstructions in TensorBoard."""

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.tensorboard_base import ImagesCallback
from keras_vqvae.evaluation import reconstruction_grid

__all__ = ["TensorBoardReconstructions"]


class TensorBoardReconstructions(ImagesCallback):
    """Writes images with their reconstructions below, as one picture `reconstructions`.

    For `models.Autoencoder`, `VAE` and `VQVAE`.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard.
        images: array `(N, H, W, C)` with 1 or 3 channels in the model's `value_range`: the same
            each time. 8 or 16 will do.
        every: epochs from one picture to the next; the first and the last epoch have one too.
            Defaults to `5`.

    Raises:
        ValueError: for `every` below 1 and images of another shape; when training begins, for
            images that the model does not take.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import numpy as np, tempfile
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> pictures = TensorBoardReconstructions(tempfile.mkdtemp(), images[:4])
    >>> history = model.fit(images, callbacks=[pictures], verbose=0)
    """

    needs = ("reconstruct", "value_range")

    def write(self, events: EventFile, epoch: int) -> None:
        model = self.model
        below = model.reconstruct(self.images)
        pairs = reconstruction_grid(self.images, below, value_range=model.value_range)
        events.image("reconstructions", pairs, epoch)
