"""Pure functions on tensors: no state, no layers."""

from keras_vqvae.ops.beam_search import residual_beam_search as residual_beam_search
from keras_vqvae.ops.bin_probabilities import log_logistic_bin as log_logistic_bin
from keras_vqvae.ops.bin_probabilities import log_normal_bin as log_normal_bin
from keras_vqvae.ops.bin_probabilities import log_normal_cdf as log_normal_cdf
from keras_vqvae.ops.bin_probabilities import log_one_minus_exp as log_one_minus_exp
from keras_vqvae.ops.binary_entropy import binary_entropy as binary_entropy
from keras_vqvae.ops.binary_entropy import joint_of_bits as joint_of_bits
from keras_vqvae.ops.binary_entropy import mean_code_distribution as mean_code_distribution
from keras_vqvae.ops.binary_entropy import mean_distribution_entropy as mean_distribution_entropy
from keras_vqvae.ops.bits import bits_per_dimension as bits_per_dimension
from keras_vqvae.ops.causal_masks import causal_kernel_mask as causal_kernel_mask
from keras_vqvae.ops.collectives import all_finite as all_finite
from keras_vqvae.ops.collectives import all_reduce_sum as all_reduce_sum
from keras_vqvae.ops.collectives import finite_everywhere as finite_everywhere
from keras_vqvae.ops.collectives import gather_rows as gather_rows
from keras_vqvae.ops.collectives import num_replicas as num_replicas
from keras_vqvae.ops.collectives import within_batch as within_batch
from keras_vqvae.ops.compensated_sum import two_sum as two_sum
from keras_vqvae.ops.cumulative import invert_cumulative as invert_cumulative
from keras_vqvae.ops.draws import draw_normals as draw_normals
from keras_vqvae.ops.draws import draw_uniforms as draw_uniforms
from keras_vqvae.ops.gradient_estimators import (
    estimator_places_vectors as estimator_places_vectors,
)
from keras_vqvae.ops.gradient_estimators import (
    estimator_replaces_codebook_loss as estimator_replaces_codebook_loss,
)
from keras_vqvae.ops.gradient_estimators import estimator_trains_codes as estimator_trains_codes
from keras_vqvae.ops.gradient_estimators import get_gradient_estimator as get_gradient_estimator
from keras_vqvae.ops.gradient_estimators import named_estimator as named_estimator
from keras_vqvae.ops.gradient_estimators import rotation_trick as rotation_trick
from keras_vqvae.ops.gradient_estimators import straight_through as straight_through
from keras_vqvae.ops.grids import area_matrix as area_matrix
from keras_vqvae.ops.grids import cubic_matrix as cubic_matrix
from keras_vqvae.ops.grids import resize_grid as resize_grid
from keras_vqvae.ops.highest_score import highest_score as highest_score
from keras_vqvae.ops.mean_square import mean_square as mean_square
from keras_vqvae.ops.mixed_radix import check_index_bits as check_index_bits
from keras_vqvae.ops.mixed_radix import pack_digits as pack_digits
from keras_vqvae.ops.mixed_radix import unpack_digits as unpack_digits
from keras_vqvae.ops.nearest_code import around_middle as around_middle
from keras_vqvae.ops.nearest_code import full_product as full_product
from keras_vqvae.ops.nearest_code import nearest_code as nearest_code
from keras_vqvae.ops.noise_estimators import NSVQ as NSVQ
from keras_vqvae.ops.noise_estimators import DiVeQ as DiVeQ
from keras_vqvae.ops.noise_estimators import SFDiVeQ as SFDiVeQ
from keras_vqvae.ops.normal_kl import normal_kl as normal_kl
from keras_vqvae.ops.random_numbers import random_normal as random_normal
from keras_vqvae.ops.random_numbers import random_uniform as random_uniform
from keras_vqvae.ops.reductions import mean_over_valid as mean_over_valid
from keras_vqvae.ops.row_chunks import default_chunk_size as default_chunk_size
from keras_vqvae.ops.row_chunks import map_chunks as map_chunks
from keras_vqvae.ops.sampled_code import sampled_code as sampled_code
from keras_vqvae.ops.soft_choice import categorical_entropy as categorical_entropy
from keras_vqvae.ops.soft_choice import with_soft_gradient as with_soft_gradient
from keras_vqvae.ops.synchronized_update import SynchronizedUpdate as SynchronizedUpdate
from keras_vqvae.ops.take_rows import take_rows as take_rows
from keras_vqvae.ops.transported_code import transported_code as transported_code
from keras_vqvae.ops.usage import code_counts as code_counts
from keras_vqvae.ops.usage import code_sums as code_sums
from keras_vqvae.ops.usage import codebook_usage as codebook_usage
from keras_vqvae.ops.usage import entropy as entropy
from keras_vqvae.ops.usage import perplexity as perplexity
from keras_vqvae.ops.with_value import with_value as with_value

__all__ = [
    "NSVQ",
    "DiVeQ",
    "SFDiVeQ",
    "SynchronizedUpdate",
    "all_finite",
    "all_reduce_sum",
    "area_matrix",
    "around_middle",
    "binary_entropy",
    "bits_per_dimension",
    "categorical_entropy",
    "causal_kernel_mask",
    "check_index_bits",
    "code_counts",
    "code_sums",
    "codebook_usage",
    "cubic_matrix",
    "default_chunk_size",
    "draw_normals",
    "draw_uniforms",
    "entropy",
    "estimator_places_vectors",
    "estimator_replaces_codebook_loss",
    "estimator_trains_codes",
    "finite_everywhere",
    "full_product",
    "gather_rows",
    "get_gradient_estimator",
    "highest_score",
    "invert_cumulative",
    "joint_of_bits",
    "log_logistic_bin",
    "log_normal_bin",
    "log_normal_cdf",
    "log_one_minus_exp",
    "map_chunks",
    "mean_code_distribution",
    "mean_distribution_entropy",
    "mean_over_valid",
    "mean_square",
    "named_estimator",
    "nearest_code",
    "normal_kl",
    "num_replicas",
    "pack_digits",
    "perplexity",
    "random_normal",
    "random_uniform",
    "residual_beam_search",
    "resize_grid",
    "rotation_trick",
    "sampled_code",
    "straight_through",
    "take_rows",
    "transported_code",
    "two_sum",
    "unpack_digits",
    "with_soft_gradient",
    "with_value",
    "within_batch",
]
