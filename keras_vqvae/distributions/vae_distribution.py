"""A VAE as a distribution over images."""

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vqvae.checks import check_count
from keras_vqvae.distributions.images_given_latents import ImagesGivenLatents
from keras_vqvae.distributions.model_distribution import ModelDistribution, as_rows, like_rows
from keras_vqvae.ops import draw_normals

__all__ = ["VAEDistribution"]


class VAEDistribution(ModelDistribution):
    """The images that a VAE generates: latents from N(0, 1), and pixels from the likelihood.

    `log_prob` is the importance-weighted bound of `VAE.log_prob_bound` with the same noise for all
    images, so that it is a function of the image.

    Args:
        model: a built `models.VAE`.
        samples: how many latents `log_prob` takes; more are tighter. Defaults to `1`.
        name: the distribution's name.

    Raises:
        RuntimeError: on another backend than TensorFlow.
        ValueError: for `samples` below 1.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vae((8, 8, 1), embedding_dim=3, widths=(4,))
    >>> images = VAEDistribution(model, samples=3)
    >>> images.event_shape, tuple(images.log_prob(images.sample(2, seed=1)).shape)
    (TensorShape([8, 8, 1]), (2,))
    """

    def __init__(self, model: Any, samples: int = 1, name: str = "VAEDistribution") -> None:
        parameters = dict(locals())
        self.model = model
        self.samples = check_count("samples", samples)
        super().__init__(tf.float32, model.image_shape, (), parameters, name)

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {}

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        of_latents, of_pixels = tfp.random.split_seed(seed, 2, salt="vae")
        shape = (self._count(n), *self.model.latent_shape)
        latents = tf.random.stateless_normal(shape, of_latents)
        return ImagesGivenLatents(self.model, latents).sample(seed=of_pixels)

    def _log_prob(self, value: Any) -> Any:
        value = self._with_batch(value)
        unit = self.model.to_unit_scale(as_rows(value, 3))
        z_e = self.model.encoder(unit - 0.5, training=False)
        noise = draw_normals(0, 0, self.samples, self.model.latent_shape)
        weights = [self.model.log_weights(unit, z_e, one[None]) for one in noise]
        bound = tf.reduce_logsumexp(tf.stack(weights), axis=0) - math.log(self.samples)
        return like_rows(bound, value, 3)
