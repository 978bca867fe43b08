"""Layers: quantizers and causal convolutions."""

from keras_vqvae.layers.causal_layer import CausalLayer as CausalLayer
from keras_vqvae.layers.gated_masked_conv2d import GatedMaskedConv2D as GatedMaskedConv2D
from keras_vqvae.layers.masked_conv2d import MaskedConv2D as MaskedConv2D
from keras_vqvae.layers.quantizer import Quantizer as Quantizer
from keras_vqvae.layers.quantizer import QuantizerOutput as QuantizerOutput
from keras_vqvae.layers.vector_quantizer import VectorQuantizer as VectorQuantizer

__all__ = ["CausalLayer", "GatedMaskedConv2D", "MaskedConv2D", "Quantizer", "QuantizerOutput", "VectorQuantizer"]
