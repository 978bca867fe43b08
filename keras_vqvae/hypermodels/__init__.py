"""Search spaces of models as KerasTuner hypermodels, and tuners that begin with the defaults."""

from keras_vqvae.hypermodels.code_length import CodeLength as CodeLength
from keras_vqvae.hypermodels.prior_hypermodel import PriorHyperModel as PriorHyperModel
from keras_vqvae.hypermodels.trials import SearchedTrial as SearchedTrial
from keras_vqvae.hypermodels.trials import read_trials as read_trials
from keras_vqvae.hypermodels.tuners import TUNERS as TUNERS
from keras_vqvae.hypermodels.tuners import make_tuner as make_tuner
from keras_vqvae.hypermodels.vqvae_hypermodel import VQVAEHyperModel as VQVAEHyperModel

__all__ = [
    "TUNERS",
    "CodeLength",
    "PriorHyperModel",
    "SearchedTrial",
    "VQVAEHyperModel",
    "make_tuner",
    "read_trials",
]
