"""How good a model is, in figures and in pictures."""

from keras_vqvae.evaluation.feature_extractors import classifier_features as classifier_features
from keras_vqvae.evaluation.feature_extractors import encoder_features as encoder_features
from keras_vqvae.evaluation.feature_extractors import train_classifier as train_classifier
from keras_vqvae.evaluation.figures import evaluate_prior as evaluate_prior
from keras_vqvae.evaluation.figures import evaluate_vqvae as evaluate_vqvae
from keras_vqvae.evaluation.pictures import image_grid as image_grid
from keras_vqvae.evaluation.pictures import reconstruction_grid as reconstruction_grid
from keras_vqvae.evaluation.pictures import save_image as save_image
from keras_vqvae.evaluation.pictures import to_bytes as to_bytes

__all__ = [
    "classifier_features",
    "encoder_features",
    "evaluate_prior",
    "evaluate_vqvae",
    "image_grid",
    "reconstruction_grid",
    "save_image",
    "to_bytes",
    "train_classifier",
]
