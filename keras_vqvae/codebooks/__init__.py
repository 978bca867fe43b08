"""The table of codes, and the choices that make it up."""

from keras_vqvae.codebooks.affine_update import AffineUpdate as AffineUpdate
from keras_vqvae.codebooks.assignment import Assignment as Assignment
from keras_vqvae.codebooks.assignment import NearestCode as NearestCode
from keras_vqvae.codebooks.assignment import OptimalTransport as OptimalTransport
from keras_vqvae.codebooks.assignment import SampledCode as SampledCode
from keras_vqvae.codebooks.codebook import Codebook as Codebook
from keras_vqvae.codebooks.distances import Cosine as Cosine
from keras_vqvae.codebooks.distances import Distance as Distance
from keras_vqvae.codebooks.distances import Euclidean as Euclidean
from keras_vqvae.codebooks.frozen_codes import FrozenCodes as FrozenCodes
from keras_vqvae.codebooks.initialization import DataInitializer as DataInitializer
from keras_vqvae.codebooks.initialization import KMeans as KMeans
from keras_vqvae.codebooks.regularizers import CrossEntropyCommitment as CrossEntropyCommitment
from keras_vqvae.codebooks.regularizers import Diversity as Diversity
from keras_vqvae.codebooks.regularizers import Orthogonality as Orthogonality
from keras_vqvae.codebooks.regularizers import Regularizer as Regularizer
from keras_vqvae.codebooks.revival import AnchorRevival as AnchorRevival
from keras_vqvae.codebooks.revival import ReplaceDead as ReplaceDead
from keras_vqvae.codebooks.revival import ReplaceUnused as ReplaceUnused
from keras_vqvae.codebooks.revival import Revival as Revival
from keras_vqvae.codebooks.update_rules import EMAUpdate as EMAUpdate
from keras_vqvae.codebooks.update_rules import FrozenTable as FrozenTable
from keras_vqvae.codebooks.update_rules import GradientUpdate as GradientUpdate
from keras_vqvae.codebooks.update_rules import UpdateRule as UpdateRule

__all__ = [
    "AffineUpdate",
    "AnchorRevival",
    "Assignment",
    "Codebook",
    "Cosine",
    "CrossEntropyCommitment",
    "DataInitializer",
    "Distance",
    "Diversity",
    "EMAUpdate",
    "Euclidean",
    "FrozenCodes",
    "FrozenTable",
    "GradientUpdate",
    "KMeans",
    "NearestCode",
    "OptimalTransport",
    "Orthogonality",
    "Regularizer",
    "ReplaceDead",
    "ReplaceUnused",
    "Revival",
    "SampledCode",
    "UpdateRule",
]
