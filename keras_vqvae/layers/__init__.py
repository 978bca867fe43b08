"""Layers: quantizers, causal convolutions and causal attention."""

from keras_vqvae.layers.binary_mapper import BinaryMapper as BinaryMapper
from keras_vqvae.layers.binary_spherical_quantizer import (
    BinarySphericalQuantizer as BinarySphericalQuantizer,
)
from keras_vqvae.layers.causal_attention import CausalAttention as CausalAttention
from keras_vqvae.layers.causal_layer import CausalLayer as CausalLayer
from keras_vqvae.layers.code_layers import CodeIndices as CodeIndices
from keras_vqvae.layers.code_layers import CodeLookup as CodeLookup
from keras_vqvae.layers.finite_scalar_perturbation import (
    FiniteScalarPerturbation as FiniteScalarPerturbation,
)
from keras_vqvae.layers.finite_scalar_quantizer import (
    FiniteScalarQuantizer as FiniteScalarQuantizer,
)
from keras_vqvae.layers.gated_masked_conv2d import GatedMaskedConv2D as GatedMaskedConv2D
from keras_vqvae.layers.grouped_quantizer import GroupedQuantizer as GroupedQuantizer
from keras_vqvae.layers.grouped_residual_vector_quantizer import (
    GroupedResidualVectorQuantizer as GroupedResidualVectorQuantizer,
)
from keras_vqvae.layers.gumbel_quantizer import GumbelQuantizer as GumbelQuantizer
from keras_vqvae.layers.implicit_residual_vector_quantizer import (
    ImplicitResidualVectorQuantizer as ImplicitResidualVectorQuantizer,
)
from keras_vqvae.layers.index_backprop_quantizer import (
    IndexBackpropQuantizer as IndexBackpropQuantizer,
)
from keras_vqvae.layers.latent_quantizer import LatentQuantizer as LatentQuantizer
from keras_vqvae.layers.lookup_free_quantizer import LookupFreeQuantizer as LookupFreeQuantizer
from keras_vqvae.layers.masked_conv2d import MaskedConv2D as MaskedConv2D
from keras_vqvae.layers.multi_scale_vector_quantizer import (
    MultiScaleVectorQuantizer as MultiScaleVectorQuantizer,
)
from keras_vqvae.layers.product_quantizer import ProductQuantizer as ProductQuantizer
from keras_vqvae.layers.projected_quantizer import ProjectedQuantizer as ProjectedQuantizer
from keras_vqvae.layers.quantize_dropout import QuantizeDropout as QuantizeDropout
from keras_vqvae.layers.quantizer import Quantizer as Quantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput as QuantizerOutput
from keras_vqvae.layers.quantizer_output import TableUse as TableUse
from keras_vqvae.layers.random_projection_quantizer import (
    RandomProjectionQuantizer as RandomProjectionQuantizer,
)
from keras_vqvae.layers.residual_finite_scalar_quantizer import (
    ResidualFiniteScalarQuantizer as ResidualFiniteScalarQuantizer,
)
from keras_vqvae.layers.residual_quantizer import ResidualQuantizer as ResidualQuantizer
from keras_vqvae.layers.residual_vector_quantizer import (
    ResidualVectorQuantizer as ResidualVectorQuantizer,
)
from keras_vqvae.layers.sim_vq import SimVQ as SimVQ
from keras_vqvae.layers.vector_quantizer import VectorQuantizer as VectorQuantizer

__all__ = [
    "BinaryMapper",
    "BinarySphericalQuantizer",
    "CausalAttention",
    "CausalLayer",
    "CodeIndices",
    "CodeLookup",
    "FiniteScalarPerturbation",
    "FiniteScalarQuantizer",
    "GatedMaskedConv2D",
    "GroupedQuantizer",
    "GroupedResidualVectorQuantizer",
    "GumbelQuantizer",
    "ImplicitResidualVectorQuantizer",
    "IndexBackpropQuantizer",
    "LatentQuantizer",
    "LookupFreeQuantizer",
    "MaskedConv2D",
    "MultiScaleVectorQuantizer",
    "ProductQuantizer",
    "ProjectedQuantizer",
    "QuantizeDropout",
    "Quantizer",
    "QuantizerOutput",
    "RandomProjectionQuantizer",
    "ResidualFiniteScalarQuantizer",
    "ResidualQuantizer",
    "ResidualVectorQuantizer",
    "SimVQ",
    "TableUse",
    "VectorQuantizer",
]
