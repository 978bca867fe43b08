"""Training a stage, from the start or from where it was left."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.callbacks.resuming import assign_all, values_of
from keras_vqvae.data import Augmentation, ImageBatches, ImageSource
from keras_vqvae.data.rows import RowsSource
from keras_vqvae.runs.building import build_image_model, compile_model
from keras_vqvae.runs.checkpoints import Progress, copy_file, resume_model
from keras_vqvae.runs.config import DataConfig, RunConfig, TrainingConfig
from keras_vqvae.runs.directory import RunDirectory, write_history
from keras_vqvae.runs.epoch_checkpoint import EpochCheckpoint
from keras_vqvae.runs.interrupting import first_interrupt
from keras_vqvae.runs.newest_checkpoint import is_whole, newest
from keras_vqvae.runs.parts import DataParts
from keras_vqvae.runs.watching import StopOnNonFiniteLoss, WarnOfCollapse

_TITLES = {"vqvae": "VQ-VAE", "vae": "VAE"}


def title(name: str) -> str:
    """What to call the model of a stage, or of a comparison, in a sentence."""
    return _TITLES.get(name, name)


def fit_image_model(
    stage: str,
    files: RunDirectory,
    config: RunConfig,
    parts: DataParts,
    verbose: Any,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_seconds: float | None = 600.0,
) -> None:
    """`fit_stage` of the VQ-VAE, or of a baseline, which is trained as that is."""
    training, validation = config.vqvae_training, parts.validation
    fit_stage(
        stage,
        files,
        config,
        lambda: build_image_model(stage, config, parts),
        image_batches(parts.train, training, config.seed, config.data),
        None if validation is None else ImageBatches(validation, training.batch_size),
        verbose,
        callbacks,
        checkpoint_seconds,
    )


def fit_stage(
    stage: str,
    files: RunDirectory,
    config: RunConfig,
    build: Callable[[], Any],
    batches: ImageBatches,
    validation: ImageBatches | None,
    verbose: Any,
    callbacks: Sequence[keras.callbacks.Callback],
    checkpoint_seconds: float | None,
) -> None:
    """Trains a stage to its end and writes its model; an unfinished one is continued.

    One that a callback ends within an epoch stays unfinished.

    Checkpoints are written after each epoch, in longer ones every `checkpoint_seconds`, and where
    Ctrl-C ends training, which it does after the step that runs.

    Stages are `"vqvae"` and `"prior"`, and the baselines `"autoencoder"` and `"vae"`.

    The model is the best one by validation loss where there is validation, else the last.

    Args:
        stage: which.
        files: where its checkpoints and its model are.
        config: the settings of its training, the seed, XLA.
        build: makes the model, not compiled, if it is not begun.
        batches: what it is trained on.
        validation: what its epochs are compared on, or `None`.
        verbose: as for `keras.Model.fit`.
        callbacks: further ones.
        checkpoint_seconds: how often to write a checkpoint within an epoch, or `None`.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        NonFiniteLossError: if the loss becomes NaN or infinite.
        ValueError: if all checkpoints are damaged.
    """
    training = config.prior_training if stage == "prior" else config.vqvae_training
    keras.utils.set_random_seed(config.seed)
    found = newest(files, stage)
    if found is None:
        model, progress, metrics = build(), Progress(), None
        rate = config.vqvae.rate_of_codes(training.learning_rate) if stage == "vqvae" else None
        compile_model(model, training, len(batches.source), config.jit_compile, rate)
    else:
        path, progress = found
        model, metrics = resume_model(path, progress)
    if progress.epochs < training.epochs and not progress.stopped:
        checkpoint = EpochCheckpoint(files, stage, progress, training.patience, checkpoint_seconds)
        checkpoint.follow(batches)
        if metrics is not None:
            checkpoint.go_on_from(progress.epochs, progress.steps, _restoring(model, metrics))
        watching = [
            StopOnNonFiniteLoss(title(stage), lambda: progress.kept),
            WarnOfCollapse(vectors=_vectors(model, len(batches.source))),
        ]
        with first_interrupt(checkpoint.interrupt):
            model.fit(
                batches,
                validation_data=validation,
                epochs=training.epochs,
                initial_epoch=progress.epochs,
                # The checkpoint is the last one: where it ends training, or a kill follows it, the
                # others have seen the epoch that is saved, and what they did is saved with it.
                callbacks=[*watching, *callbacks, checkpoint],
                verbose=verbose,
            )
        if progress.steps:  # a callback has ended it within an epoch
            return
    # A kill may have come between the last checkpoint and the history.
    write_history(files.history(stage), progress.history)
    _take_best(files, stage, progress)


def _take_best(files: RunDirectory, stage: str, progress: Progress) -> None:
    """Makes the best checkpoint, or else the last, the model of a finished stage."""
    best = files.best(stage) if progress.best_epoch is not None else files.last(stage)
    if not is_whole(best):
        raise ValueError(
            f"the checkpoint {str(best)!r} was damaged after it was written. Give the same command "
            "again: it goes on from the one before it"
        )
    copy_file(best, files.model(stage))


def _vectors(model: Any, images: int) -> int | None:
    """How many vectors of so many images a quantizer sees."""
    return images * math.prod(model.code_shape) if hasattr(model, "quantizer") else None


def _restoring(model: Any, metrics: Sequence[Any]) -> Callable[[], None]:
    """What sets a model that was loaded back to what it was then, with these metrics."""
    variables, slots = values_of(model.variables), values_of(model.optimizer.variables)

    def restore() -> None:
        assign_all(model.variables, variables)
        assign_all(model.optimizer.variables, slots)
        assign_all(model.metrics_variables, metrics)

    return restore


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
    source = RowsSource(codes, labels, "codes")
    return ImageBatches(
        source, training.batch_size, shuffle=shuffle, seed=seed, with_labels=labels is not None
    )
