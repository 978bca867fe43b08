"""Models: autoencoders, and priors over their codes."""

from keras_vqvae.models.architectures import (
    convolutional_autoencoder as convolutional_autoencoder,
)
from keras_vqvae.models.architectures import convolutional_vae as convolutional_vae
from keras_vqvae.models.architectures import convolutional_vqvae as convolutional_vqvae
from keras_vqvae.models.architectures import paper_cifar10 as paper_cifar10
from keras_vqvae.models.autoencoder import Autoencoder as Autoencoder
from keras_vqvae.models.code_prior import CodePrior as CodePrior
from keras_vqvae.models.convolutional_networks import (
    convolutional_decoder as convolutional_decoder,
)
from keras_vqvae.models.convolutional_networks import (
    convolutional_encoder as convolutional_encoder,
)
from keras_vqvae.models.encoded_batches import EncodedBatches as EncodedBatches
from keras_vqvae.models.gated_pixelcnn import GatedPixelCNN as GatedPixelCNN
from keras_vqvae.models.pixelcnn import PixelCNN as PixelCNN
from keras_vqvae.models.pixelsnail import PixelSNAIL as PixelSNAIL
from keras_vqvae.models.transformer_prior import TransformerPrior as TransformerPrior
from keras_vqvae.models.two_stage import TwoStage as TwoStage
from keras_vqvae.models.vae import VAE as VAE
from keras_vqvae.models.vqvae import VQVAE as VQVAE

__all__ = [
    "VAE",
    "VQVAE",
    "Autoencoder",
    "CodePrior",
    "EncodedBatches",
    "GatedPixelCNN",
    "PixelCNN",
    "PixelSNAIL",
    "TransformerPrior",
    "TwoStage",
    "convolutional_autoencoder",
    "convolutional_decoder",
    "convolutional_encoder",
    "convolutional_vae",
    "convolutional_vqvae",
    "paper_cifar10",
]
