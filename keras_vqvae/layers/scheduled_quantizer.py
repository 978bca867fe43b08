"""Quantizers with numbers that may change over training."""

from keras_vqvae.layers.quantizer import Quantizer
from keras_vqvae.layers.scheduled_numbers import ScheduledNumbers

__all__ = ["ScheduledQuantizer"]


class ScheduledQuantizer(ScheduledNumbers, Quantizer):
    """A quantizer some of whose numbers may be Keras schedules."""
