"""A run: both stages on one data set, in one directory, resumable.

Only the configuration is imported at once: the command line shows it without loading Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

from keras_vqvae.runs.commands import OPTION_PREFIXES as OPTION_PREFIXES
from keras_vqvae.runs.commands import prior_command as prior_command
from keras_vqvae.runs.commands import train_command as train_command
from keras_vqvae.runs.comparison_rows import comparison_rows as comparison_rows
from keras_vqvae.runs.config import DataConfig as DataConfig
from keras_vqvae.runs.config import PriorConfig as PriorConfig
from keras_vqvae.runs.config import RunConfig as RunConfig
from keras_vqvae.runs.config import TrainingConfig as TrainingConfig
from keras_vqvae.runs.config import VQVAEConfig as VQVAEConfig
from keras_vqvae.runs.errors import NonFiniteLossError as NonFiniteLossError
from keras_vqvae.runs.errors import RunExistsError as RunExistsError
from keras_vqvae.runs.errors import RunInUseError as RunInUseError
from keras_vqvae.runs.figure_rows import figure_rows as figure_rows
from keras_vqvae.runs.holding import hold_directory as hold_directory
from keras_vqvae.runs.presets import demo_config as demo_config

if TYPE_CHECKING:
    from keras_vqvae.runs.building import build_vqvae as build_vqvae
    from keras_vqvae.runs.building import compile_model as compile_model
    from keras_vqvae.runs.comparing import Comparison as Comparison
    from keras_vqvae.runs.creating import check_fit as check_fit
    from keras_vqvae.runs.creating import check_output as check_output
    from keras_vqvae.runs.creating import with_absolute_source as with_absolute_source
    from keras_vqvae.runs.parts import DataParts as DataParts
    from keras_vqvae.runs.run import Run as Run
    from keras_vqvae.runs.stages import image_batches as image_batches

__all__ = [
    "OPTION_PREFIXES",
    "Comparison",
    "DataConfig",
    "DataParts",
    "NonFiniteLossError",
    "PriorConfig",
    "Run",
    "RunConfig",
    "RunExistsError",
    "RunInUseError",
    "TrainingConfig",
    "VQVAEConfig",
    "build_vqvae",
    "check_fit",
    "check_output",
    "comparison_rows",
    "compile_model",
    "demo_config",
    "figure_rows",
    "hold_directory",
    "image_batches",
    "prior_command",
    "train_command",
    "with_absolute_source",
]


# What loads Keras, and where it is.
_LAZY = {
    "Comparison": "comparing",
    "DataParts": "parts",
    "Run": "run",
    "build_vqvae": "building",
    "check_fit": "creating",
    "check_output": "creating",
    "compile_model": "building",
    "image_batches": "stages",
    "with_absolute_source": "creating",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
