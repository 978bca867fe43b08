"""Drawing codes from a prior: strategies, and the loop that uses them."""

from keras_vqvae.sampling.raster import StepwiseModel as StepwiseModel
from keras_vqvae.sampling.raster import sample_raster as sample_raster
from keras_vqvae.sampling.strategies import Greedy as Greedy
from keras_vqvae.sampling.strategies import Random as Random
from keras_vqvae.sampling.strategies import Sampler as Sampler
from keras_vqvae.sampling.strategies import TopK as TopK
from keras_vqvae.sampling.strategies import TopP as TopP
from keras_vqvae.sampling.strategies import get as get

__all__ = [
    "Greedy",
    "Random",
    "Sampler",
    "StepwiseModel",
    "TopK",
    "TopP",
    "get",
    "sample_raster",
]
