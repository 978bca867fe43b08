"""Pure functions on tensors: no state, no layers."""

from keras_vqvae.ops.causal_masks import causal_kernel_mask as causal_kernel_mask
from keras_vqvae.ops.collectives import all_reduce_sum as all_reduce_sum
from keras_vqvae.ops.collectives import share_rows as share_rows
from keras_vqvae.ops.gradient_estimators import get_gradient_estimator as get_gradient_estimator
from keras_vqvae.ops.gradient_estimators import straight_through as straight_through
from keras_vqvae.ops.nearest_code import nearest_code as nearest_code
from keras_vqvae.ops.reductions import mean_over_valid as mean_over_valid
from keras_vqvae.ops.usage import code_counts as code_counts
from keras_vqvae.ops.usage import code_sums as code_sums
from keras_vqvae.ops.usage import codebook_usage as codebook_usage
from keras_vqvae.ops.usage import entropy as entropy
from keras_vqvae.ops.usage import perplexity as perplexity

__all__ = [
    "all_reduce_sum",
    "causal_kernel_mask",
    "code_counts",
    "code_sums",
    "codebook_usage",
    "entropy",
    "get_gradient_estimator",
    "mean_over_valid",
    "nearest_code",
    "perplexity",
    "share_rows",
    "straight_through",
]
