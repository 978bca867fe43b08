"""Keras metrics: of codes, of reconstructions, of samples."""

from keras_vqvae.metrics.bits_per_dimension import BitsPerDimension as BitsPerDimension
from keras_vqvae.metrics.code_statistics import CodeStatistics as CodeStatistics
from keras_vqvae.metrics.frechet_distance import FrechetDistance as FrechetDistance
from keras_vqvae.metrics.multi_scale_ssim import MultiScaleSSIM as MultiScaleSSIM
from keras_vqvae.metrics.psnr import PSNR as PSNR
from keras_vqvae.metrics.sample_precision_recall import (
    SamplePrecisionRecall as SamplePrecisionRecall,
)
from keras_vqvae.metrics.ssim import SSIM as SSIM

__all__ = [
    "PSNR",
    "SSIM",
    "BitsPerDimension",
    "CodeStatistics",
    "FrechetDistance",
    "MultiScaleSSIM",
    "SamplePrecisionRecall",
]
