"""Codebooks, their options, likelihoods and metrics, for the contract suite."""

from typing import Any

import keras
import numpy as np
from case_types import (
    Case,
    ChoiceCase,
    LikelihoodCase,
    MetricCase,
)
from codebook_options import anchors, ema, oldest, revive_soon, some_frozen
from support import grey_images, normal

from keras_vqvae import codebooks, layers, likelihoods, metrics

CODEBOOKS = [
    Case(
        "codebook",
        (codebooks.Codebook,),
        lambda **kwargs: codebooks.Codebook(
            5, 3, update=ema(), embeddings_initializer="kmeans", revival="replace_dead", **kwargs
        ),
    )
]

CHOICES = [
    ChoiceCase("euclidean", (codebooks.Euclidean,), codebooks.Euclidean),
    ChoiceCase("cosine", (codebooks.Cosine,), codebooks.Cosine),
    ChoiceCase("kmeans", (codebooks.KMeans,), lambda: codebooks.KMeans(iterations=3)),
    ChoiceCase("replace_dead", (codebooks.ReplaceDead,), revive_soon),
    ChoiceCase("replace_unused", (codebooks.ReplaceUnused,), oldest),
    ChoiceCase("cvq", (codebooks.AnchorRevival,), anchors),
    ChoiceCase("nearest_code", (codebooks.NearestCode,), codebooks.NearestCode),
    ChoiceCase("sampled_code", (codebooks.SampledCode,), lambda: codebooks.SampledCode(0.5)),
    ChoiceCase(
        "sampled_code_cooling",
        (codebooks.SampledCode,),
        lambda: codebooks.SampledCode(keras.optimizers.schedules.CosineDecay(1.0, 9)),
    ),
    ChoiceCase(
        "optimal_transport",
        (codebooks.OptimalTransport,),
        lambda: codebooks.OptimalTransport(3.0, 7),
    ),
    ChoiceCase(
        "orthogonality", (codebooks.Orthogonality,), lambda: codebooks.Orthogonality(weight=2.0)
    ),
    ChoiceCase("diversity", (codebooks.Diversity,), lambda: codebooks.Diversity(0.5, 0.1)),
    ChoiceCase(
        "cross_entropy",
        (codebooks.CrossEntropyCommitment,),
        lambda: codebooks.CrossEntropyCommitment(0.5, 0.1),
    ),
    ChoiceCase("affine", (codebooks.AffineUpdate,), lambda: codebooks.AffineUpdate(0.9, 0.5)),
    ChoiceCase("frozen_codes", (codebooks.FrozenCodes,), some_frozen),
    ChoiceCase("gradient", (codebooks.GradientUpdate,), codebooks.GradientUpdate),
    ChoiceCase("ema", (codebooks.EMAUpdate,), ema),
    ChoiceCase("frozen", (codebooks.FrozenTable,), codebooks.FrozenTable),
    ChoiceCase(
        "quantize_dropout",
        (layers.QuantizeDropout,),
        lambda: layers.QuantizeDropout("sample", 2, rate=0.5),
    ),
]

LIKELIHOODS = [
    LikelihoodCase("gaussian", (likelihoods.Gaussian,), lambda: likelihoods.Gaussian(scale=0.25)),
    LikelihoodCase(
        "gaussian_with_scale", (likelihoods.GaussianWithScale,), likelihoods.GaussianWithScale
    ),
    LikelihoodCase("bernoulli", (likelihoods.Bernoulli,), likelihoods.Bernoulli),
    LikelihoodCase(
        "discretized_logistic", (likelihoods.DiscretizedLogistic,), likelihoods.DiscretizedLogistic
    ),
    LikelihoodCase(
        "discretized_logistic_mixture",
        (likelihoods.DiscretizedLogisticMixture,),
        lambda: likelihoods.DiscretizedLogisticMixture(num_components=3),
    ),
    LikelihoodCase("categorical", (likelihoods.Categorical,), likelihoods.Categorical),
]


def _image_pairs(side: int) -> tuple[tuple[Any, ...], ...]:
    """Two updates of a metric of images and reconstructions, the second one weighted."""
    first = grey_images(2, side, seed=1), grey_images(2, side, seed=2)
    second = grey_images(1, side, seed=3), grey_images(1, side, seed=4)
    return first, (*second, np.array([0.5], "float32"))


def _sets(features: int = 2) -> tuple[tuple[Any, ...], ...]:
    """Two updates of a metric of two sets of features."""
    return tuple((normal((4, features), s), 2 * normal((4, features), s + 9)) for s in (0, 1))


METRICS = [
    MetricCase(
        "bits_per_dimension",
        (metrics.BitsPerDimension,),
        lambda **kwargs: metrics.BitsPerDimension(12, **kwargs),
        ((np.array([-3.0, -5.0], "float32"),), (np.array([-1.0]), np.array([2.0]))),
    ),
    MetricCase(
        "psnr",
        (metrics.PSNR,),
        lambda **kwargs: metrics.PSNR(over="images", **kwargs),
        _image_pairs(4),
    ),
    MetricCase("ssim", (metrics.SSIM,), metrics.SSIM, _image_pairs(12)),
    MetricCase(
        "multi_scale_ssim",
        (metrics.MultiScaleSSIM,),
        lambda **kwargs: metrics.MultiScaleSSIM(power_factors=(0.3, 0.7), **kwargs),
        _image_pairs(23),
    ),
    MetricCase(
        "frechet_distance",
        (metrics.FrechetDistance,),
        lambda **kwargs: metrics.FrechetDistance(**kwargs),
        _sets(),
        on_host=True,
    ),
    MetricCase(
        "sample_precision_recall",
        (metrics.SamplePrecisionRecall,),
        lambda **kwargs: metrics.SamplePrecisionRecall(neighbors=2, **kwargs),
        _sets(),
        on_host=True,
    ),
    MetricCase(
        "code_statistics",
        (metrics.CodeStatistics,),
        lambda **kwargs: metrics.CodeStatistics(4, prefix="q/", **kwargs),
        (
            (np.array([[0, 1], [1, -1]], "int32"),),
            (np.array([2, 2, 0], "int32"), np.array([1.0, 0.0, 1.0], "float32")),
        ),
    ),
]
