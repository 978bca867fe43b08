"""A run: both stages on one data set, in one directory, resumable.

Only the configuration is imported at once: the command line shows it without loading Keras.
"""

from typing import TYPE_CHECKING, Any

from keras_vqvae.runs.comparison_rows import comparison_rows as comparison_rows
from keras_vqvae.runs.config import DataConfig as DataConfig
from keras_vqvae.runs.config import PriorConfig as PriorConfig
from keras_vqvae.runs.config import RunConfig as RunConfig
from keras_vqvae.runs.config import TrainingConfig as TrainingConfig
from keras_vqvae.runs.config import VQVAEConfig as VQVAEConfig
from keras_vqvae.runs.errors import NonFiniteLossError as NonFiniteLossError
from keras_vqvae.runs.errors import RunExistsError as RunExistsError
from keras_vqvae.runs.figure_rows import figure_rows as figure_rows
from keras_vqvae.runs.presets import demo_config as demo_config

if TYPE_CHECKING:
    from keras_vqvae.runs.comparing import Comparison as Comparison
    from keras_vqvae.runs.run import Run as Run

__all__ = [
    "Comparison",
    "DataConfig",
    "NonFiniteLossError",
    "PriorConfig",
    "Run",
    "RunConfig",
    "RunExistsError",
    "TrainingConfig",
    "VQVAEConfig",
    "comparison_rows",
    "demo_config",
    "figure_rows",
]


def __getattr__(name: str) -> Any:
    if name == "Run":
        from keras_vqvae.runs.run import Run

        return Run
    if name == "Comparison":
        from keras_vqvae.runs.comparing import Comparison

        return Comparison
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
