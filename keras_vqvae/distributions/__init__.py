"""Trained models as distributions of `tensorflow_probability`, on the TensorFlow backend.

Importing this loads that library, which takes seconds; `import keras_vqvae` does not.
"""

from keras_vqvae.distributions.code_distribution import CodeDistribution as CodeDistribution
from keras_vqvae.distributions.images_given_latents import ImagesGivenLatents as ImagesGivenLatents
from keras_vqvae.distributions.two_stage_distribution import (
    TwoStageDistribution as TwoStageDistribution,
)
from keras_vqvae.distributions.vae_distribution import VAEDistribution as VAEDistribution

__all__ = ["CodeDistribution", "ImagesGivenLatents", "TwoStageDistribution", "VAEDistribution"]
