"""Keras callbacks for discrete representations."""

from keras_vqvae.callbacks.codebook_metrics import CodebookMetrics as CodebookMetrics
from keras_vqvae.callbacks.resumable_training import ResumableTraining as ResumableTraining

__all__ = ["CodebookMetrics", "ResumableTraining"]
