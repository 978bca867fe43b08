"""Training a stage, from the start or from where it was left."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.data import Augmentation, ImageBatches, ImageSource
from keras_vqvae.runs.building import compile_model
from keras_vqvae.runs.checkpoints import (
    EpochCheckpoint,
    Progress,
    StopOnNonFiniteLoss,
    copy_file,
    resume_model,
)
from keras_vqvae.runs.config import DataConfig, RunConfig, TrainingConfig
from keras_vqvae.runs.directory import RunDirectory

_TITLES = {"vqvae": "VQ-VAE", "vae": "VAE"}


def fit_stage(
    stage: str,
    files: RunDirectory,
    config: RunConfig,
    build: Callable[[], Any],
    batches: ImageBatches,
    validation: ImageBatches | None,
    verbose: Any,
    callbacks: Sequence[Any],
) -> Progress:
    """Trains a stage to its end and writes its model; an unfinished one is continued.

    Stages are `"vqvae"` and `"prior"`, and the baselines `"autoencoder"` and `"vae"`, which are
    trained as the VQ-VAE is.

    The model is the best one by validation loss where there is validation, else the last.
    """
    training = config.prior_training if stage == "prior" else config.vqvae_training
    keras.utils.set_random_seed(config.seed)
    if files.last(stage).exists():
        progress = Progress.load(files.last(stage))
        model = resume_model(files.last(stage), progress)
    else:
        progress = Progress()
        model = build()
        rate = config.vqvae.codebook_learning_rate if stage == "vqvae" else None
        compile_model(model, training, len(batches.source), config.jit_compile, rate)
    if progress.epochs < training.epochs and not progress.stopped:
        ours = [
            StopOnNonFiniteLoss(_TITLES.get(stage, stage)),
            EpochCheckpoint(files, stage, progress, training.patience),
        ]
        model.fit(
            batches,
            validation_data=validation,
            epochs=training.epochs,
            initial_epoch=progress.epochs,
            callbacks=[*ours, *callbacks],
            verbose=verbose,
        )
    has_best = progress.best_epoch is not None
    copy_file(files.best(stage) if has_best else files.last(stage), files.model(stage))
    return progress


def image_batches(
    source: ImageSource, training: TrainingConfig, seed: int, data: DataConfig
) -> ImageBatches:
    """Training batches of images, shuffled and augmented."""
    augmentation = None
    if data.horizontal_flip or data.crop_padding:
        augmentation = Augmentation(data.horizontal_flip, data.crop_padding)
    return ImageBatches(
        source, training.batch_size, shuffle=True, seed=seed, augmentation=augmentation
    )


def code_batches(
    codes: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int32] | None,
    training: TrainingConfig,
    seed: int,
    shuffle: bool,
) -> ImageBatches:
    """Batches of codes, with labels where there are any, in an order that can be continued."""
    source = _CodeSource(codes, labels)
    return ImageBatches(
        source, training.batch_size, shuffle=shuffle, seed=seed, with_labels=labels is not None
    )


class _CodeSource(ImageSource):
    """Codes as a source: what it gives is `(n, h, w)` and int32."""

    def __init__(self, codes: npt.NDArray[np.int32], labels: npt.NDArray[np.int32] | None) -> None:
        super().__init__("codes", labels)
        self._codes = codes

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (*self._codes.shape[1:3], 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._codes.dtype

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self._codes[indices]

    def _fingerprint(self) -> str:
        raise NotImplementedError
