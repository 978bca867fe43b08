"""p(x | z): what the decoder's output means."""

from typing import Any

import numpy as np
from keras import ops

from keras_vqvae.choices import Choice
from keras_vqvae.ops import draw_uniforms
from keras_vqvae.seeds import sampling_seed

__all__ = ["Likelihood", "mean_over_dimensions"]


class Likelihood(Choice):
    """How probable an image is, given what the decoder put out for it.

    Images come on the unit scale: `(batch, height, width, channels)`, float32 in [0, 1]. The
    decoder's outputs are the parameters of the distribution, on the last axis: `num_parameters` of
    them for the channels of an image.

    It has two faces. `loss` is what is trained, and may leave a constant out or measure something
    else (a squared error). `log_prob` is the probability of the image as 8 bits a channel, one of
    256 values, whatever the loss is: so likelihoods can be compared with one another.

    A subclass gives `level_log_probs`, `mean` and `draw`, and its own `loss` where that is another
    than the log-probability.
    """

    parameters_per_channel = 1
    #: Whether the parameters may be any numbers, and 0 is in their middle. Then a decoder that
    #: cannot give negative ones is warned about.
    takes_any_numbers = False

    def num_parameters(self, channels: int) -> int:
        """How many numbers a pixel of so many channels takes of the decoder."""
        return channels * self.parameters_per_channel

    def num_channels(self, parameters: int) -> int:
        """How many channels a pixel has of which the decoder gives so many numbers.

        Raises:
            ValueError: if no number of channels has so many.
        """
        for channels in range(1, parameters + 1):
            if self.num_parameters(channels) == parameters:
                return channels
        counts = ", ".join(str(self.num_parameters(channels)) for channels in (1, 2, 3))
        raise ValueError(
            f"The decoder should give {counts}, … numbers a pixel for images of 1, 2, 3, … "
            f"channels under the likelihood {self!r}. Received: {parameters}"
        )

    def level_log_probs(self, levels: Any, parameters: Any) -> Any:
        """The log-probabilities of grey levels.

        Args:
            levels: float32 `(..., channels)` in [0, 255]. Between two levels it is that of a bin
                around the value, so that images which were scaled or resized can be trained on.
            parameters: float32 `(..., num_parameters(channels))`.

        Returns:
            float32 `(..., channels)` in nats; `(..., 1)` if those of a pixel are not independent.
        """
        raise NotImplementedError

    def loss(self, images: Any, parameters: Any) -> Any:
        """What training minimises: nats per dimension, up to a constant, float32 `(batch,)`."""
        images, parameters = self.checked(images, parameters)
        log_probs = self.level_log_probs(255.0 * images, parameters)
        # Of images from files their number may be unknown when traced.
        channels = images.shape[-1] or self.num_channels(parameters.shape[-1])
        scored = log_probs.shape[-1] or ops.cast(ops.shape(log_probs)[-1], "float32")
        return -mean_over_dimensions(log_probs) * (scored / channels)

    def log_prob(self, images: Any, parameters: Any) -> Any:
        """The log-probability of the whole 8-bit image, in nats.

        Args:
            images: `(batch, height, width, channels)` on the unit scale; rounded to multiples of
                1/255.
            parameters: what the decoder put out.

        Returns:
            float32 `(batch,)`: a sum over all dimensions. The probabilities of all images sum to 1.
        """
        images, parameters = self.checked(images, parameters)
        log_probs = self.level_log_probs(ops.round(255.0 * images), parameters)
        return ops.sum(log_probs, axis=tuple(range(1, len(log_probs.shape))))

    def checked(self, images: Any, parameters: Any) -> tuple[Any, Any]:
        """Images and parameters as float32.

        Raises:
            ValueError: if the parameters are those of images of other channels, which might
                broadcast.
        """
        images, parameters = ops.cast(images, "float32"), ops.cast(parameters, "float32")
        channels, given = images.shape[-1], parameters.shape[-1]
        if None not in (channels, given) and given != self.num_parameters(channels):
            raise ValueError(
                f"`parameters` should hold {self.num_parameters(channels)} numbers a pixel for "
                f"images of {channels} channels under the likelihood {self!r}. Received: images "
                f"of shape {tuple(images.shape)} and parameters of shape {tuple(parameters.shape)}"
            )
        return images, parameters

    def check_scores(self, images: np.ndarray) -> None:
        """Raises a ValueError for images (unit scale) that `log_prob` cannot score."""

    def mean(self, parameters: Any) -> Any:
        """The expected image on the unit scale; it may lie a little outside [0, 1]."""
        raise NotImplementedError

    def num_uniforms(self, channels: int) -> int:
        """How many random numbers `draw` takes for a pixel."""
        return channels

    def draw(self, parameters: Any, uniforms: Any) -> Any:
        """The image of given random numbers; it can be compiled.

        Args:
            parameters: `(..., num_parameters(channels))`.
            uniforms: float32 in [0, 1), `(..., num_uniforms(channels))`.

        Returns:
            float32 `(..., channels)` on the unit scale, multiples of 1/255.
        """
        raise NotImplementedError

    def sample(self, parameters: Any, seed: int | None = None, first: int = 0) -> Any:
        """Draws an 8-bit image for each row of parameters.

        An image depends on the seed, its index and its parameters, and on nothing else.

        Args:
            parameters: `(batch, height, width, num_parameters(channels))`.
            seed: an integer ≥ 0. By default drawn from NumPy's global generator, which
                `keras.utils.set_random_seed` sets.
            first: index of the first image, for work that is split. Defaults to `0`.

        Returns:
            float32 `(batch, height, width, channels)` on the unit scale, multiples of 1/255.
        """
        parameters = ops.convert_to_tensor(parameters)
        count, *shape = parameters.shape
        shape[-1] = self.num_uniforms(self.num_channels(shape[-1]))
        uniforms = draw_uniforms(sampling_seed(seed), first, count, tuple(shape), stream=1)
        return self.draw(parameters, uniforms)


def mean_over_dimensions(values: Any) -> Any:
    """The mean over all axes but the first."""
    return ops.mean(values, axis=tuple(range(1, len(values.shape))))
