"""Keras callbacks for discrete representations."""

from keras_vqvae.callbacks.codebook_metrics import CodebookMetrics as CodebookMetrics

__all__ = ["CodebookMetrics"]
