"""The table of everything public, for the contract suite.

Add a line for a new class, here or in the file of its kind (`quantizer_cases.py`,
`object_cases.py`, `model_cases.py`); `test_contract_coverage.py` fails until there is one. What a
case goes through is in the `test_*_contract.py` beside this file, by kind.
"""

from case_types import (
    Case,
    LayerCase,
)
from model_cases import COMPOSITES, MODELS
from object_cases import CHOICES, CODEBOOKS, LIKELIHOODS, METRICS
from quantizer_cases import QUANTIZERS
from support import normal

from keras_vqvae import codebooks, layers, likelihoods, models

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
        "multi_scale_ema_dropout",
        (layers.MultiScaleVectorQuantizer,),
        lambda **kwargs: layers.MultiScaleVectorQuantizer(
            5,
            (1, 2, (2, 3)),
            dropout="sample",
            update=codebooks.EMAUpdate(0.9),
            embeddings_initializer="kmeans",
            revival="replace_dead",
            seed=3,
            **kwargs,
        ),
        lambda seed: normal((4, 2, 3, 3), seed),
    ),
    LayerCase(
        "multi_scale_sequence",
        (layers.MultiScaleVectorQuantizer,),
        lambda **kwargs: layers.MultiScaleVectorQuantizer(5, ((1,), (4,)), seed=3, **kwargs),
        lambda seed: normal((4, 4, 3), seed),
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

# Made of any quantizer; with each of them in `test_code_layer_contract.py`.
CODE_LAYERS = [
    Case(name, (kind,), lambda kind=kind, **kwargs: kind(layers.VectorQuantizer(5, 3), **kwargs))
    for name, kind in (("code_indices", layers.CodeIndices), ("code_lookup", layers.CodeLookup))
]

ALL = [*LAYERS, *CODE_LAYERS, *CODEBOOKS, *CHOICES, *LIKELIHOODS, *METRICS, *MODELS, *COMPOSITES]
