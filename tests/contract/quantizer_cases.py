"""Quantizers, and their options, for the contract suite."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from case_types import (
    QuantizerCase,
)
from codebook_options import anchors, ema, oldest, revive_soon, some_frozen
from support import normal

from keras_vqvae import codebooks, layers


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


def _tanh_of_a_map() -> keras.layers.Layer:
    start = keras.initializers.GlorotUniform(seed=3)
    return keras.layers.Dense(3, activation="tanh", kernel_initializer=start)


def _made_of(
    name: str, cls: Any, parts: Callable[[], list[Any]], dim: int = 3, **options: Any
) -> QuantizerCase:
    case = _quantizer(name, lambda **kwargs: cls(parts(), **kwargs), dim=dim, **options)
    return replace(case, covers=(cls,))


def _projected(name: str, quantizer: Callable[[], Any], **options: Any) -> QuantizerCase:
    def make(**kwargs: Any) -> Any:
        start = keras.initializers.GlorotUniform(seed=3)
        return layers.ProjectedQuantizer(
            quantizer(), kernel_initializer=start, **{**options, **kwargs}
        )

    covers = (layers.ProjectedQuantizer, type(quantizer()))
    return QuantizerCase(name, covers, make, _vectors)


def halving(start: float) -> Any:
    return keras.optimizers.schedules.ExponentialDecay(start, 1, 0.5)


_OPTIONS = {
    "fsq_symmetric",
    "fsq_noise",
    "rvq_beam",
    "grouped",
    "residual_projected",
    "rvq_shared_ema_dropout",
    "rvq_ema_kmeans_revival",
    "projected_heads",
}
_QUANTIZERS = [
    _vq("gradient"),
    _vq("gradient_kmeans_revival", embeddings_initializer="kmeans", revival=revive_soon()),
    _vq("ema", update=ema(), embeddings_initializer="random_normal", embedding_dim=3),
    _vq("ema_kmeans_revival", update=ema(), embeddings_initializer="kmeans", revival=revive_soon()),
    _vq("cosine", distance="cosine", embeddings_initializer="random_normal"),
    _vq("cosine_ema_kmeans", distance="cosine", update=ema(), embeddings_initializer="kmeans"),
    _vq("cvq", update=ema(), embeddings_initializer="kmeans", revival=anchors()),
    _vq("replace_unused", revival=oldest(), embeddings_initializer="random_normal"),
    _vq("frozen", update="frozen", embeddings_initializer="random_normal"),
    _vq("chunked", chunk_size=5, embeddings_initializer="random_normal"),
    _vq("rotation", estimator="rotation", embeddings_initializer="random_normal"),
    _vq("synchronized", estimator="synchronized", embeddings_initializer="random_normal"),
    _vq("diveq", estimator="diveq", embeddings_initializer="random_normal"),
    replace(
        _vq("sf_diveq", estimator="sf_diveq", embeddings_initializer="random_normal"),
        same_search=False,
    ),
    _vq(
        "regularized",
        regularizer=[
            codebooks.Orthogonality(halving(10.0)),
            codebooks.Diversity(0.1, 0.05),
            codebooks.CrossEntropyCommitment(),
        ],
        embeddings_initializer="random_normal",
    ),
    _vq(
        "affine",
        update=codebooks.AffineUpdate(0.9, 0.5),
        embeddings_initializer="random_normal",
        revival=revive_soon(),
    ),
    _vq("frozen_codes", update=some_frozen(), embeddings_initializer="kmeans"),
    # At this temperature the nearest code is drawn, whatever the random numbers.
    _vq(
        "sampled",
        assignment=codebooks.SampledCode(halving(1e-9)),
        update=ema(),
        embeddings_initializer="random_normal",
    ),
    # The plan of a whole batch; evaluation takes the nearest.
    replace(
        _vq(
            "optimal_transport",
            assignment="optimal_transport",
            update=ema(),
            embeddings_initializer="random_normal",
        ),
        same_search=False,
    ),
    _quantizer("fsq", layers.FiniteScalarQuantizer, (4, 3, 5)),
    _quantizer("fsq_symmetric", layers.FiniteScalarQuantizer, (2, 3, 4), symmetric=True),
    _quantizer("fsq_noise", layers.FiniteScalarQuantizer, (4, 3, 5), noise_dropout=0.5, seed=3),
    _quantizer("fsp", layers.FiniteScalarPerturbation, (4, 3, 5), seed=3),
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
        beta=halving(1.0),
        seed=3,
    ),
    replace(
        _quantizer(
            "sim_vq_transform",
            lambda **kwargs: layers.SimVQ(5, codebook_transform=_tanh_of_a_map(), seed=3, **kwargs),
        ),
        covers=(layers.SimVQ,),
        option=True,
    ),
    _quantizer("gumbel", layers.GumbelQuantizer, 5, seed=3, draws=True),
    _quantizer("binary_mapper", layers.BinaryMapper, 3, free_nats=0.1, seed=3, draws=True),
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
        update=ema(),
        embeddings_initializer="kmeans",
        seed=3,
    ),
    _quantizer(
        "rvq_ema_kmeans_revival",
        layers.ResidualVectorQuantizer,
        2,
        5,
        update=ema(),
        embeddings_initializer="kmeans",
        revival=revive_soon(),
        seed=3,
    ),
    _quantizer(
        "implicit",
        layers.ImplicitResidualVectorQuantizer,
        2,
        (5, 4),
        num_blocks=1,
        hidden_dim=4,
        dropout=layers.QuantizeDropout("batch", minimum=2),  # drawn, but none is dropped
        embeddings_initializer="random_normal",
        seed=3,
    ),
    _quantizer("grouped_rvq", layers.GroupedResidualVectorQuantizer, 2, 2, 5, dim=4, seed=3),
    _made_of(
        "residual",
        layers.ResidualQuantizer,
        lambda: [
            layers.VectorQuantizer(5, seed=3),
            layers.SimVQ(4, seed=3),
            layers.LookupFreeQuantizer(3, scale=0.25),
        ],
        dropout=layers.QuantizeDropout("batch", minimum=3),  # drawn, but none is dropped
        seed=3,
    ),
    _made_of(
        "residual_projected",
        layers.ResidualQuantizer,
        lambda: [
            layers.ProjectedQuantizer(
                layers.VectorQuantizer(5, distance="cosine", update=ema(), seed=3), codebook_dim=2
            ),
            layers.ProjectedQuantizer(layers.FiniteScalarQuantizer((3, 4))),
        ],
        dropout=layers.QuantizeDropout("sample", minimum=2),  # drawn, but none is dropped
        seed=3,
    ),
    _made_of(
        "grouped",
        layers.GroupedQuantizer,
        lambda: [
            layers.ResidualFiniteScalarQuantizer(2, (3, 2)),
            layers.VectorQuantizer(5, seed=3),
        ],
        dim=4,
    ),
    _quantizer("product", layers.ProductQuantizer, 2, 5, dim=4, update=ema(), seed=3),
    _projected(
        "projected_ema_kmeans",
        lambda: layers.VectorQuantizer(
            5, distance="cosine", update=ema(), embeddings_initializer="kmeans", seed=3
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
