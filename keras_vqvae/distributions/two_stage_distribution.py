"""VQ-VAE and prior together as a distribution over images."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_vqvae.distributions.code_distribution import CodeDistribution
from keras_vqvae.distributions.images_given_latents import ImagesGivenLatents
from keras_vqvae.distributions.model_distribution import ModelDistribution, as_rows, like_rows

__all__ = ["TwoStageDistribution"]


class TwoStageDistribution(ModelDistribution):
    """The images that a VQ-VAE and its prior generate.

    `sample` draws codes from the prior and pixels from the likelihood, so that samples are 8-bit
    images with the likelihood's noise; `TwoStage.sample` gives the decoder's means instead.
    `log_prob` is the bound of `TwoStage.log_prob`, `log p(x | z_q) + log p(z_q)`.

    Args:
        model: a `models.TwoStage`.
        labels: for a prior conditioned on classes: an integer, or an integer tensor whose shape is
            then the `batch_shape`.
        name: the distribution's name.

    Raises:
        RuntimeError: on another backend than TensorFlow.
        ValueError: for labels missing, or given to a prior without classes.

    Example:
    >>> from keras_vqvae import models
    >>> vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=5, widths=(4,))
    >>> prior = models.PixelCNN(vqvae.code_shape, 5, filters=4, residual_blocks=1)
    >>> images = TwoStageDistribution(models.TwoStage(vqvae, prior))
    >>> images.event_shape, tuple(images.log_prob(images.sample(2, seed=1)).shape)
    (TensorShape([8, 8, 1]), (2,))
    """

    def __init__(self, model: Any, labels: Any = None, name: str = "TwoStageDistribution") -> None:
        parameters = dict(locals())
        self.model = model
        self.codes = CodeDistribution(model.prior, labels)
        super().__init__(
            tf.float32, model.vqvae.image_shape, self.codes.batch_shape, parameters, name
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {"labels": tfp.util.ParameterProperties(event_ndims=0)}

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        of_codes, of_pixels = tfp.random.split_seed(seed, 2, salt="two_stage")
        codes = self.codes.sample(self._count(n), seed=of_codes)
        return ImagesGivenLatents(self.model.vqvae, codes).sample(seed=of_pixels)

    def _log_prob(self, value: Any) -> Any:
        value, vqvae = self._with_batch(value), self.model.vqvae
        unit = vqvae.to_unit_scale(as_rows(value, 3))
        codes = vqvae.quantizer.indices_of(vqvae.encoder(unit - 0.5, training=False))
        # Not by `ImagesGivenLatents`, for which a batch of images would have to be of known size.
        output = vqvae.decoder(vqvae.decoder_input(codes), training=False)
        of_pixels = like_rows(vqvae.likelihood.log_prob(unit, output), value, 3)
        return self.codes.log_prob(like_rows(codes, value, 3)) + of_pixels
