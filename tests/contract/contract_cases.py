"""The table of everything public, for the contract suite.

Add a line for a new class; `test_contract_coverage.py` fails until there is one. What each kind of
case goes through is in the `test_*_contract.py` beside this file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest
from support import grey_images, normal

from keras_vqvae import codebooks, layers, likelihoods, metrics, models


@dataclass(frozen=True)
class Case:
    """Something public, and how to make one.

    Attributes:
        name: what the test is called by.
        covers: the classes (or functions) that this case stands for.
        make: makes a fresh, equal one at each call; takes Keras's keyword arguments (`dtype`).
    """

    name: str
    covers: tuple[Any, ...]
    make: Callable[..., Any]


@dataclass(frozen=True)
class LayerCase(Case):
    """A layer of one tensor. `inputs(seed)` gives a batch; `make` is as in `Case`.

    `output` picks the tensor to look at where a layer gives several.
    """

    inputs: Callable[[int], np.ndarray]
    output: Callable[[Any], Any] = lambda outputs: outputs


@dataclass(frozen=True)
class QuantizerCase(LayerCase):
    """A quantizer of vectors of length `dim`; also goes through all that layers go through.

    `draws` says that training draws the indices at random, for each position anew; `same_search` is
    `False` for one that searches otherwise in evaluation than in training. `option` marks an option
    of a class that has a case without it: it goes through the checks that options can break.
    """

    dim: int = 3
    draws: bool = False
    same_search: bool = True
    option: bool = False


@dataclass(frozen=True)
class ModelCase(Case):
    """A model. `data(count, seed)` gives NumPy training data; `loss_terms` are in its logs."""

    data: Callable[[int, int], np.ndarray]
    loss_terms: tuple[str, ...] = ("loss",)


@dataclass(frozen=True)
class MetricCase(Case):
    """A metric. `updates` are the argument tuples of successive `update_state` calls.

    `on_host` says that its state is in NumPy: it has no stateless calls, and before any update it
    has no result.
    """

    updates: tuple[tuple[Any, ...], ...]
    on_host: bool = False


@dataclass(frozen=True)
class LikelihoodCase(Case):
    """A likelihood of images with one or more channels."""


@dataclass(frozen=True)
class ChoiceCase(Case):
    """An option of a codebook: equal if its config is."""


# Bases have no behaviour of their own, tuple types are results, data sets are no Keras objects that
# are saved.
ABSTRACT = {
    codebooks.Assignment,
    codebooks.DataInitializer,
    codebooks.Distance,
    codebooks.Regularizer,
    codebooks.Revival,
    codebooks.UpdateRule,
    layers.CausalLayer,
    layers.Quantizer,
    layers.QuantizerOutput,
    layers.TableUse,
    likelihoods.Likelihood,
    models.CodePrior,
    models.EncodedBatches,
}


def _vq(name: str, **options: Any) -> QuantizerCase:
    def make(**kwargs: Any) -> Any:
        return layers.VectorQuantizer(5, **{"seed": 3, **options, **kwargs})

    option = name not in ("gradient", "ema_kmeans_revival")
    return QuantizerCase(f"vq_{name}", (layers.VectorQuantizer,), make, _vectors, option=option)


def _vectors(seed: int) -> np.ndarray:
    return normal((4, 2, 3, 3), seed)


def _quantizer(
    name: str, cls: Any, *args: Any, dim: int = 3, draws: bool = False, **options: Any
) -> QuantizerCase:
    def make(**kwargs: Any) -> Any:
        return cls(*args, **{**options, **kwargs})

    def inputs(seed: int) -> np.ndarray:
        return normal((4, 2, 3, dim), seed)

    return QuantizerCase(name, (cls,), make, inputs, dim=dim, draws=draws)


def _projected(name: str, quantizer: Callable[[], Any], **options: Any) -> QuantizerCase:
    def make(**kwargs: Any) -> Any:
        start = keras.initializers.GlorotUniform(seed=3)
        return layers.ProjectedQuantizer(
            quantizer(), kernel_initializer=start, **{**options, **kwargs}
        )

    covers = (layers.ProjectedQuantizer, type(quantizer()))
    return QuantizerCase(name, covers, make, _vectors)


def _revive_soon() -> Any:
    # With a decay of 0.1, a code that one batch does not choose is dead.
    return codebooks.ReplaceDead(threshold=0.5, decay=0.1)


def _oldest() -> Any:
    return codebooks.ReplaceUnused(after_steps=1, noise_scale=0.01)


def _anchors() -> Any:
    return codebooks.AnchorRevival(decay=0.5)


def _some_frozen() -> Any:
    return codebooks.FrozenCodes([0, 3], otherwise=codebooks.EMAUpdate(0.9))


def _ema() -> Any:
    return codebooks.EMAUpdate(decay=0.9)


_OPTIONS = {
    "fsq_symmetric",
    "rvq_beam",
    "rvq_shared_ema_dropout",
    "rvq_ema_kmeans_revival",
    "projected_heads",
}
_QUANTIZERS = [
    _vq("gradient"),
    _vq("gradient_kmeans_revival", embeddings_initializer="kmeans", revival=_revive_soon()),
    _vq("ema", update=_ema(), embeddings_initializer="random_normal", embedding_dim=3),
    _vq(
        "ema_kmeans_revival", update=_ema(), embeddings_initializer="kmeans", revival=_revive_soon()
    ),
    _vq("cosine", distance="cosine", embeddings_initializer="random_normal"),
    _vq("cosine_ema_kmeans", distance="cosine", update=_ema(), embeddings_initializer="kmeans"),
    _vq("cvq", update=_ema(), embeddings_initializer="kmeans", revival=_anchors()),
    _vq("replace_unused", revival=_oldest(), embeddings_initializer="random_normal"),
    _vq("frozen", update="frozen", embeddings_initializer="random_normal"),
    _vq("chunked", chunk_size=5, embeddings_initializer="random_normal"),
    _vq("rotation", estimator="rotation", embeddings_initializer="random_normal"),
    _vq("diveq", estimator="diveq", embeddings_initializer="random_normal"),
    replace(
        _vq("sf_diveq", estimator="sf_diveq", embeddings_initializer="random_normal"),
        same_search=False,
    ),
    _vq(
        "regularized",
        regularizer=[codebooks.Orthogonality(), codebooks.Diversity(temperature=0.05)],
        embeddings_initializer="random_normal",
    ),
    _vq(
        "affine",
        update=codebooks.AffineUpdate(0.9, 0.5),
        embeddings_initializer="random_normal",
        revival=_revive_soon(),
    ),
    _vq("frozen_codes", update=_some_frozen(), embeddings_initializer="kmeans"),
    # At this temperature the nearest code is drawn, whatever the random numbers.
    _vq(
        "sampled",
        assignment=codebooks.SampledCode(1e-9),
        update=_ema(),
        embeddings_initializer="random_normal",
    ),
    _quantizer("fsq", layers.FiniteScalarQuantizer, (4, 3, 5)),
    _quantizer("fsq_symmetric", layers.FiniteScalarQuantizer, (2, 3, 4), symmetric=True),
    _quantizer(
        "rfsq",
        layers.ResidualFiniteScalarQuantizer,
        2,
        (4, 3, 5),
        dropout=layers.QuantizeDropout("sample", minimum=2),  # drawn, but none is dropped
        seed=3,
    ),
    _quantizer("lfq", layers.LookupFreeQuantizer, 3),
    _quantizer("bsq", layers.BinarySphericalQuantizer, 3),
    _quantizer(
        "sim_vq",
        layers.SimVQ,
        5,
        beta=keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5),
        seed=3,
    ),
    _quantizer("gumbel", layers.GumbelQuantizer, 5, seed=3, draws=True),
    _quantizer(
        "ibq",
        layers.IndexBackpropQuantizer,
        5,
        entropy_weight=0.1,
        embeddings_initializer="random_normal",
        seed=3,
    ),
    _quantizer(
        "random_projection", layers.RandomProjectionQuantizer, 5, 2, num_codebooks=2, seed=3
    ),
    _quantizer("latent", layers.LatentQuantizer, (4, 3, 2)),
    replace(
        _quantizer(
            "rvq_beam",
            layers.ResidualVectorQuantizer,
            3,
            (5, 4, 5),
            beam_size=3,
            embeddings_initializer="random_normal",
            seed=3,
        ),
        same_search=False,
    ),
    _quantizer("rvq", layers.ResidualVectorQuantizer, 3, (5, 4, 5), seed=3),
    _quantizer(
        "rvq_shared_ema_dropout",
        layers.ResidualVectorQuantizer,
        2,
        5,
        shared_codebook=True,
        dropout=layers.QuantizeDropout("batch", minimum=2),  # drawn, but none is dropped
        update=_ema(),
        embeddings_initializer="kmeans",
        seed=3,
    ),
    _quantizer(
        "rvq_ema_kmeans_revival",
        layers.ResidualVectorQuantizer,
        2,
        5,
        update=_ema(),
        embeddings_initializer="kmeans",
        revival=_revive_soon(),
        seed=3,
    ),
    _quantizer("grouped_rvq", layers.GroupedResidualVectorQuantizer, 2, 2, 5, dim=4, seed=3),
    _quantizer("product", layers.ProductQuantizer, 2, 5, dim=4, update=_ema(), seed=3),
    _projected(
        "projected_ema_kmeans",
        lambda: layers.VectorQuantizer(
            5, distance="cosine", update=_ema(), embeddings_initializer="kmeans", seed=3
        ),
        codebook_dim=2,
    ),
    _projected(
        "projected_heads",
        lambda: layers.ProductQuantizer(2, 5, shared_codebook=True, seed=3),
        codebook_dim=4,
        use_bias=False,
    ),
]

QUANTIZERS = [replace(case, option=True) if case.name in _OPTIONS else case for case in _QUANTIZERS]

LAYERS: list[LayerCase] = [
    *QUANTIZERS,
    # No `QuantizerCase`: it takes grids of one size, no mask, and has no indices of a position.
    LayerCase(
        "multi_scale",
        (layers.MultiScaleVectorQuantizer,),
        lambda **kwargs: layers.MultiScaleVectorQuantizer(5, (1, 2, (2, 3)), seed=3, **kwargs),
        lambda seed: normal((4, 2, 3, 3), seed),
    ),
    LayerCase(
        "masked_conv2d",
        (layers.MaskedConv2D,),
        lambda **kwargs: layers.MaskedConv2D(
            4, 3, "B", dilation_rate=2, activation="relu", **kwargs
        ),
        lambda seed: normal((2, 4, 4, 3), seed),
    ),
    LayerCase(
        "gated_masked_conv2d",
        (layers.GatedMaskedConv2D,),
        lambda **kwargs: layers.GatedMaskedConv2D(4, 3, "A", **kwargs),
        lambda seed: normal((2, 4, 4, 3), seed),
        output=lambda pair: pair[1],
    ),
    LayerCase(
        "causal_attention",
        (layers.CausalAttention,),
        lambda **kwargs: layers.CausalAttention(2, 3, filters=4, **kwargs),
        lambda seed: normal((2, 3, 4, 3), seed),
    ),
]

CODEBOOKS = [
    Case(
        "codebook",
        (codebooks.Codebook,),
        lambda **kwargs: codebooks.Codebook(
            5, 3, update=_ema(), embeddings_initializer="kmeans", revival="replace_dead", **kwargs
        ),
    )
]

CHOICES = [
    ChoiceCase("euclidean", (codebooks.Euclidean,), codebooks.Euclidean),
    ChoiceCase("cosine", (codebooks.Cosine,), codebooks.Cosine),
    ChoiceCase("kmeans", (codebooks.KMeans,), lambda: codebooks.KMeans(iterations=3)),
    ChoiceCase("replace_dead", (codebooks.ReplaceDead,), _revive_soon),
    ChoiceCase("replace_unused", (codebooks.ReplaceUnused,), _oldest),
    ChoiceCase("cvq", (codebooks.AnchorRevival,), _anchors),
    ChoiceCase("nearest_code", (codebooks.NearestCode,), codebooks.NearestCode),
    ChoiceCase("sampled_code", (codebooks.SampledCode,), lambda: codebooks.SampledCode(0.5)),
    ChoiceCase(
        "orthogonality", (codebooks.Orthogonality,), lambda: codebooks.Orthogonality(weight=2.0)
    ),
    ChoiceCase("diversity", (codebooks.Diversity,), lambda: codebooks.Diversity(0.5, 0.1)),
    ChoiceCase("affine", (codebooks.AffineUpdate,), lambda: codebooks.AffineUpdate(0.9, 0.5)),
    ChoiceCase("frozen_codes", (codebooks.FrozenCodes,), _some_frozen),
    ChoiceCase("gradient", (codebooks.GradientUpdate,), codebooks.GradientUpdate),
    ChoiceCase("ema", (codebooks.EMAUpdate,), _ema),
    ChoiceCase("frozen", (codebooks.FrozenTable,), codebooks.FrozenTable),
    ChoiceCase(
        "quantize_dropout", (layers.QuantizeDropout,), lambda: layers.QuantizeDropout("sample", 2)
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


def _encoder() -> Any:
    return models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,))


def _decoder() -> Any:
    return models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,))


def _autoencoder(**kwargs: Any) -> Any:
    return models.Autoencoder(_encoder(), _decoder(), likelihood="bernoulli", **kwargs)


def _vqvae(**kwargs: Any) -> Any:
    # The paper's: a table that learns by gradient. The defaults of `models` are the next case.
    return models.VQVAE(_encoder(), layers.VectorQuantizer(5), _decoder(), **kwargs)


def _convolutional_vqvae(**kwargs: Any) -> Any:
    return models.convolutional_vqvae((8, 8, 1), 5, embedding_dim=3, widths=(4,), **kwargs)


def _vae(**kwargs: Any) -> Any:
    beta = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    return models.convolutional_vae(
        (8, 8, 1), 3, (4,), likelihood="discretized_logistic", beta=beta, seed=3, **kwargs
    )


def _images(count: int, seed: int) -> np.ndarray:
    return grey_images(count, 8, 1, seed)


def _codes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (count, 3, 3)).astype("int32")


def _pixelcnn(**kwargs: Any) -> Any:
    sizes = {"filters": 4, "residual_blocks": 1, "embedding_dim": 2, "kernel_size": 3}
    return models.PixelCNN((3, 3), 5, **sizes, **kwargs)


def _gated_pixelcnn(**kwargs: Any) -> Any:
    return models.GatedPixelCNN((3, 3), 5, filters=4, blocks=1, embedding_dim=2, **kwargs)


def _pixelsnail(**kwargs: Any) -> Any:
    return models.PixelSNAIL((3, 3), 5, filters=4, blocks=1, embedding_dim=2, **kwargs)


def _transformer_prior(**kwargs: Any) -> Any:
    return models.TransformerPrior((3, 3), 5, hidden_dim=4, blocks=1, num_heads=2, **kwargs)


_PRIOR = ("loss", "bits_per_code")
_RECONSTRUCTION = ("loss", "reconstruction_loss")
MODELS = [
    ModelCase("autoencoder", (models.Autoencoder,), _autoencoder, _images, _RECONSTRUCTION),
    ModelCase("vae", (models.VAE,), _vae, _images, (*_RECONSTRUCTION, "kl_loss")),
    ModelCase(
        "vqvae_gradient",
        (models.VQVAE,),
        _vqvae,
        _images,
        (*_RECONSTRUCTION, "codebook_loss", "commitment_loss", "perplexity", "codebook_usage"),
    ),
    ModelCase(
        "vqvae_ema",
        (models.VQVAE,),
        _convolutional_vqvae,
        _images,
        (*_RECONSTRUCTION, "commitment_loss", "perplexity", "codebook_usage"),
    ),
    ModelCase("pixelcnn", (models.PixelCNN,), _pixelcnn, _codes, _PRIOR),
    ModelCase("gated_pixelcnn", (models.GatedPixelCNN,), _gated_pixelcnn, _codes, _PRIOR),
    ModelCase("pixelsnail", (models.PixelSNAIL,), _pixelsnail, _codes, _PRIOR),
    ModelCase("transformer_prior", (models.TransformerPrior,), _transformer_prior, _codes, _PRIOR),
]


def _two_stage() -> Any:
    vqvae = models.VQVAE(_encoder(), layers.VectorQuantizer(5), _decoder())
    prior = models.PixelCNN(vqvae.code_shape, 5, filters=4, residual_blocks=1, embedding_dim=2)
    return models.TwoStage(vqvae, prior)


# Made of models, and no Keras model itself.
COMPOSITES = [Case("two_stage", (models.TwoStage,), _two_stage)]

ALL = [*LAYERS, *CODEBOOKS, *CHOICES, *LIKELIHOODS, *METRICS, *MODELS, *COMPOSITES]


def marked(cases: list[Any]) -> list[Any]:
    """The cases, with the mark `option` on those that are options."""
    return [
        pytest.param(case, marks=pytest.mark.option) if getattr(case, "option", False) else case
        for case in cases
    ]


def by_name(case: Case) -> str:
    """The test's name for a case."""
    return case.name


def keras_model(case: LayerCase, **kwargs: Any) -> keras.Model:
    """The layer in a functional model, behind one with weights, which its gradient must reach."""
    x = case.inputs(0)
    inputs = keras.Input(x.shape[1:], dtype=str(x.dtype))
    before = keras.layers.Dense(x.shape[-1], kernel_initializer="identity")
    return keras.Model(inputs, case.output(case.make(**kwargs)(before(inputs))))
