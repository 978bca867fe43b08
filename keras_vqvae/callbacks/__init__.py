"""Keras callbacks for discrete representations, and what they write for TensorBoard."""

from keras_vqvae.callbacks.codebook_metrics import CodebookMetrics as CodebookMetrics
from keras_vqvae.callbacks.event_files import EventFile as EventFile
from keras_vqvae.callbacks.resumable_training import ResumableTraining as ResumableTraining
from keras_vqvae.callbacks.tensorboard_base import TensorBoardCallback as TensorBoardCallback
from keras_vqvae.callbacks.tensorboard_code_grids import (
    TensorBoardCodeGrids as TensorBoardCodeGrids,
)
from keras_vqvae.callbacks.tensorboard_code_usage import (
    TensorBoardCodeUsage as TensorBoardCodeUsage,
)
from keras_vqvae.callbacks.tensorboard_gradient_norm import (
    TensorBoardGradientNorm as TensorBoardGradientNorm,
)
from keras_vqvae.callbacks.tensorboard_hyperparameters import (
    TensorBoardHyperparameters as TensorBoardHyperparameters,
)
from keras_vqvae.callbacks.tensorboard_hyperparameters import (
    write_hyperparameters as write_hyperparameters,
)
from keras_vqvae.callbacks.tensorboard_projector import TensorBoardProjector as TensorBoardProjector
from keras_vqvae.callbacks.tensorboard_reconstructions import (
    TensorBoardReconstructions as TensorBoardReconstructions,
)
from keras_vqvae.callbacks.tensorboard_samples import TensorBoardSamples as TensorBoardSamples
from keras_vqvae.callbacks.tensorboard_scalars import TensorBoardScalars as TensorBoardScalars

__all__ = [
    "CodebookMetrics",
    "EventFile",
    "ResumableTraining",
    "TensorBoardCallback",
    "TensorBoardCodeGrids",
    "TensorBoardCodeUsage",
    "TensorBoardGradientNorm",
    "TensorBoardHyperparameters",
    "TensorBoardProjector",
    "TensorBoardReconstructions",
    "TensorBoardSamples",
    "TensorBoardScalars",
    "write_hyperparameters",
]
