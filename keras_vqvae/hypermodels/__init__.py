"""Search spaces of models as KerasTuner hypermodels, and tuners that begin with the defaults."""

from keras_vqvae.hypermodels.code_length import CodeLength as CodeLength
from keras_vqvae.hypermodels.prior_hypermodel import PriorHyperModel as PriorHyperModel
from keras_vqvae.hypermodels.search import Search as Search
from keras_vqvae.hypermodels.search import part_of_a_search as part_of_a_search
from keras_vqvae.hypermodels.search_config import SearchConfig as SearchConfig
from keras_vqvae.hypermodels.search_config import fixed_settings as fixed_settings
from keras_vqvae.hypermodels.search_page import gain_text as gain_text
from keras_vqvae.hypermodels.search_page import trial_list as trial_list
from keras_vqvae.hypermodels.search_page import trial_table as trial_table
from keras_vqvae.hypermodels.supervision import SearchProcessError as SearchProcessError
from keras_vqvae.hypermodels.trial_plots import plot_trials as plot_trials
from keras_vqvae.hypermodels.trial_plots import searched_names as searched_names
from keras_vqvae.hypermodels.trials import SearchedTrial as SearchedTrial
from keras_vqvae.hypermodels.trials import defaults_beside as defaults_beside
from keras_vqvae.hypermodels.trials import read_trials as read_trials
from keras_vqvae.hypermodels.tuners import TUNERS as TUNERS
from keras_vqvae.hypermodels.tuners import make_tuner as make_tuner
from keras_vqvae.hypermodels.vqvae_hypermodel import VQVAEHyperModel as VQVAEHyperModel

__all__ = [
    "TUNERS",
    "CodeLength",
    "PriorHyperModel",
    "Search",
    "SearchConfig",
    "SearchProcessError",
    "SearchedTrial",
    "VQVAEHyperModel",
    "defaults_beside",
    "fixed_settings",
    "gain_text",
    "make_tuner",
    "part_of_a_search",
    "plot_trials",
    "read_trials",
    "searched_names",
    "trial_list",
    "trial_table",
]
