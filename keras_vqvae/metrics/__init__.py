"""Keras metrics for discrete representations."""

from keras_vqvae.metrics.code_statistics import CodeStatistics as CodeStatistics

__all__ = ["CodeStatistics"]
