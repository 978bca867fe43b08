"""Layers: quantizers and causal convolutions."""

from keras_vqvae.layers.quantizer import Quantizer as Quantizer
from keras_vqvae.layers.quantizer import QuantizerOutput as QuantizerOutput
from keras_vqvae.layers.vector_quantizer import VectorQuantizer as VectorQuantizer

__all__ = ["Quantizer", "QuantizerOutput", "VectorQuantizer"]
