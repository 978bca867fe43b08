"""How good a model is, in figures, in pictures and on a page."""

from keras_vqvae.evaluation.feature_extractors import classifier_features as classifier_features
from keras_vqvae.evaluation.feature_extractors import encoder_features as encoder_features
from keras_vqvae.evaluation.feature_extractors import train_classifier as train_classifier
from keras_vqvae.evaluation.figures import evaluate_autoencoder as evaluate_autoencoder
from keras_vqvae.evaluation.figures import evaluate_prior as evaluate_prior
from keras_vqvae.evaluation.figures import evaluate_vqvae as evaluate_vqvae
from keras_vqvae.evaluation.image_codecs import lossless_rates as lossless_rates
from keras_vqvae.evaluation.image_codecs import webp_rates as webp_rates
from keras_vqvae.evaluation.latent_pictures import codes_picture as codes_picture
from keras_vqvae.evaluation.latent_pictures import latent_picture as latent_picture
from keras_vqvae.evaluation.latent_space import interpolate as interpolate
from keras_vqvae.evaluation.latent_space import mix_codes as mix_codes
from keras_vqvae.evaluation.latent_space import random_codes as random_codes
from keras_vqvae.evaluation.latent_space import random_latents as random_latents
from keras_vqvae.evaluation.latent_space import swap_region as swap_region
from keras_vqvae.evaluation.latent_space import traverse_code as traverse_code
from keras_vqvae.evaluation.pages import Page as Page
from keras_vqvae.evaluation.pictures import image_grid as image_grid
from keras_vqvae.evaluation.pictures import reconstruction_grid as reconstruction_grid
from keras_vqvae.evaluation.pictures import save_image as save_image
from keras_vqvae.evaluation.pictures import to_bytes as to_bytes
from keras_vqvae.evaluation.plots import loss_plot as loss_plot
from keras_vqvae.evaluation.plots import rate_plot as rate_plot
from keras_vqvae.evaluation.plots import svg_plot as svg_plot
from keras_vqvae.evaluation.plots import usage_plot as usage_plot
from keras_vqvae.evaluation.samples import evaluate_samples as evaluate_samples
from keras_vqvae.evaluation.samples import image_features as image_features
from keras_vqvae.evaluation.samples import nearest_images as nearest_images

__all__ = [
    "Page",
    "classifier_features",
    "codes_picture",
    "encoder_features",
    "evaluate_autoencoder",
    "evaluate_prior",
    "evaluate_samples",
    "evaluate_vqvae",
    "image_features",
    "image_grid",
    "interpolate",
    "latent_picture",
    "loss_plot",
    "lossless_rates",
    "mix_codes",
    "nearest_images",
    "random_codes",
    "random_latents",
    "rate_plot",
    "reconstruction_grid",
    "save_image",
    "svg_plot",
    "swap_region",
    "to_bytes",
    "train_classifier",
    "traverse_code",
    "usage_plot",
    "webp_rates",
]
