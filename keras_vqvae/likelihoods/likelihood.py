"""p(x | z): what the decoder's output means."""

from typing import Any

from keras import ops

from keras_vqvae.choices import Choice

__all__ = ["Likelihood", "mean_over_dimensions"]


class Likelihood(Choice):
    """How probable an image is, given what the decoder put out for it.

    Images come on the unit scale: `(batch, height, width, channels)`, float32 in [0, 1]. The
    decoder's outputs are the parameters of the distribution, `parameters_per_channel` of them for
    each channel of the image.
    """

    parameters_per_channel = 1

    def loss(self, images: Any, parameters: Any) -> Any:
        """What training minimises: nats per dimension, up to a constant, float32 `(batch,)`."""
        raise NotImplementedError

    def mean(self, parameters: Any) -> Any:
        """The expected image on the unit scale; it may lie a little outside [0, 1]."""
        raise NotImplementedError


def mean_over_dimensions(values: Any) -> Any:
    """The mean over all axes but the first."""
    return ops.mean(values, axis=tuple(range(1, len(values.shape))))
