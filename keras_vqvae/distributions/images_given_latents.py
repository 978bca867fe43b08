"""The decoder and its likelihood as a distribution over images."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vqvae.compilation import is_concrete
from keras_vqvae.distributions.model_distribution import ModelDistribution, as_rows, like_rows

__all__ = ["ImagesGivenLatents"]


class ImagesGivenLatents(ModelDistribution):
    """`p(x | z)`: 8-bit images that a decoder means by its output, given latents.

    Samples are float32 images in the model's `value_range`, each pixel on one of 256 levels;
    `mean()` is the reconstruction. With `CodeDistribution` it makes the generative model whose
    codes are known:

    ```
    tfd.JointDistributionNamed(
        {
            "codes": CodeDistribution(prior),
            "images": lambda codes: ImagesGivenLatents(vqvae, codes),
        }
    )
    ```

    Args:
        model: a built `models.VQVAE`, `models.VAE` or `models.Autoencoder`.
        latents: a tensor of what its `encode` gives, codes or vectors: `(..., h, w)` or
            `(..., h, w, D)`. What stands before that is the `batch_shape`.
        name: the distribution's name.

    Raises:
        RuntimeError: on another backend than TensorFlow.
        TypeError: for codes that are no integers.
        ValueError: for latents of another shape, codes beyond the table, or a model of images of
            any size.

    Example:
    >>> import tensorflow as tf
    >>> from keras_vqvae import models
    >>> vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    >>> images = ImagesGivenLatents(vqvae, tf.zeros((3, 4, 4), tf.int32))
    >>> tuple(images.sample(seed=1).shape), images.event_shape
    ((3, 8, 8, 1), TensorShape([8, 8, 1]))
    """

    def __init__(self, model: Any, latents: Any, name: str = "ImagesGivenLatents") -> None:
        parameters = dict(locals())
        self.model = model
        self.latents = tf.convert_to_tensor(latents)
        expected = model.latent_shape
        if None in expected:
            raise ValueError(
                f"`model` should be for images of one size. Received: '{model.name}', whose "
                f"latents have the shape {tuple(expected)}"
            )
        rank = len(expected)
        shape = self.latents.shape
        if len(shape) < rank or tuple(shape[len(shape) - rank :]) != expected:
            raise ValueError(
                f"`latents` should have shape (..., {', '.join(map(str, expected))}). "
                f"Received: shape {tuple(shape)}"
            )
        if is_concrete(self.latents):  # compiled code cannot raise
            model.check_latents(self.latents.numpy().reshape((-1, *expected)), "latents")
        super().__init__(
            tf.float32, model.image_shape, shape[: len(shape) - rank], parameters, name
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        def rank(self: Any) -> int:
            return len(self.model.latent_shape)

        return {"latents": tfp.util.ParameterProperties(event_ndims=rank)}

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        output = self._decoder_output()
        height, width, channels = self.event_shape
        numbers = self.model.likelihood.num_uniforms(channels)
        shape = (self._count(n), *self.batch_shape, height, width, numbers)
        seed = tfp.random.sanitize_seed(seed, salt="images")
        uniforms = tf.random.stateless_uniform(shape, seed)
        repeated = tf.broadcast_to(output, (*shape[:-1], output.shape[-1]))
        unit = self.model.likelihood.draw(as_rows(repeated, 3), as_rows(uniforms, 3))
        low, high = self.model.value_range
        return low + (high - low) * like_rows(unit, uniforms, 3)

    def _log_prob(self, value: Any) -> Any:
        value, output = self._with_batch(value), self._decoder_output()
        unit = self.model.to_unit_scale(value)
        shape = tf.concat([tf.shape(value)[:-1], tf.shape(output)[-1:]], 0)
        output = tf.ensure_shape(
            tf.broadcast_to(output, shape), [*value.shape[:-1], output.shape[-1]]
        )
        log_prob = self.model.likelihood.log_prob(as_rows(unit, 3), as_rows(output, 3))
        return like_rows(log_prob, value, 3)

    def _mean(self) -> Any:
        return self.model.from_unit_scale(self._decoder_output())

    def _decoder_output(self) -> Any:
        rank = len(self.model.latent_shape)
        rows = self.model.decoder_input(as_rows(self.latents, rank))
        return like_rows(self.model.decoder(rows, training=False), self.latents, rank)
