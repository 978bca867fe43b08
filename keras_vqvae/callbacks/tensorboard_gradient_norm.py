"""What reaches the encoder, in TensorBoard."""

import numpy as np

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.tensorboard_base import ImagesCallback

__all__ = ["TensorBoardGradientNorm"]


class TensorBoardGradientNorm(ImagesCallback):
    """Writes the norm of the gradient at the quantizer, as a number `bottleneck_gradient_norm`.

    It is ‖∂ loss / ∂ z_e‖ with z_e the encoder's output of all the images, and the loss that of
    evaluation with its commitment term: what is left for the encoder of the gradient at z_q after
    the gradient estimator. It is computed on these images only when it is written, and not in every
    step. (`gradient_norm` in the logs of `fit` is that of all weights.)

    For `models.VQVAE`, `VAE` and `Autoencoder`.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard.
        images: array `(N, H, W, C)` with 1 or 3 channels in the model's `value_range`: the same
            each time, in one batch. 16 to 64 will do.
        every: epochs from one number to the next; the first and the last epoch have one too.
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
    >>> norm = TensorBoardGradientNorm(tempfile.mkdtemp(), images[:4], every=1)
    >>> history = model.fit(images, callbacks=[norm], verbose=0)
    """

    needs = ("bottleneck_gradient",)

    def write(self, events: EventFile, epoch: int) -> None:
        gradient = self.model.bottleneck_gradient(self.images)
        norm = float(np.sqrt(np.sum(np.square(gradient, dtype="float64"))))
        events.scalar("bottleneck_gradient_norm", norm, epoch)
