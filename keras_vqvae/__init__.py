"""keras_vqvae: discrete representation learning for Keras."""

from keras_vqvae import callbacks as callbacks
from keras_vqvae import codebooks as codebooks
from keras_vqvae import data as data
from keras_vqvae import layers as layers
from keras_vqvae import likelihoods as likelihoods
from keras_vqvae import metrics as metrics
from keras_vqvae import models as models
from keras_vqvae import ops as ops
from keras_vqvae import sampling as sampling
from keras_vqvae._version import __version__ as __version__
