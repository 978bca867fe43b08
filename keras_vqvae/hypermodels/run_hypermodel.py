"""What the package's hypermodels share."""

from typing import Any

import keras
import keras_tuner

from keras_vqvae.data import ImageBatches
from keras_vqvae.runs import RunConfig, TrainingConfig, compile_model

__all__ = ["RunHyperModel"]


class RunHyperModel(keras_tuner.HyperModel):
    """Base of hypermodels whose trials have the settings of a run.

    A subclass gives `build`, `over_budget` and `logging`; it names its default `objective`, in
    `added_objectives` what `logging` adds to the logs beside the model's own, and in `trained_on`
    what `fit` takes.

    Args:
        run: settings of all trials that are not searched.
        training: which of its trainings that of a trial is.
        train_images: how many images, or grids of codes, `search` will be given, if it is known.

    Raises:
        ValueError: for a schedule to the end of training that does not know `train_images`.
    """

    objective = "val_loss"
    added_objectives: tuple[str, ...] = ()
    trained_on = "data"

    def __init__(self, run: RunConfig, training: TrainingConfig, train_images: int | None) -> None:
        super().__init__()
        if train_images is not None and train_images < 1:
            raise ValueError(
                f"`train_images` should be at least 1. Received: train_images={train_images}"
            )
        if training.schedule == "cosine" and train_images is None:
            raise ValueError(
                "`train_images`, the number of training images, should be given for the schedule "
                "'cosine', which ends with the training. Received: train_images=None"
            )
        self.run = run
        self.training = training
        self.train_images = train_images

    # -- for subclasses ---------------------------------------------------------------------------

    def over_budget(self, model: Any) -> str | None:
        """Why a model is not trained, if it is above what it may take."""
        raise NotImplementedError

    def logging(self, validation: Any) -> keras.callbacks.Callback:
        """The callback that adds to the logs what trials are compared by.

        Args:
            validation: the `validation_data` of `fit`.
        """
        raise NotImplementedError

    # -- what they share --------------------------------------------------------------------------

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """As `model.fit`, with what trials are compared by in the logs.

        With the training's `patience` a trial ends after so many epochs without a better validation
        loss, as a run does.

        Raises:
            keras_tuner.errors.FailedTrialError: for a model over the budget. (Not in `build`:
                tuners build the defaults before any trial.)
            keras_tuner.errors.FatalValueError: without `validation_data`.
        """
        reason = self.over_budget(model)
        if reason is not None:
            raise keras_tuner.errors.FailedTrialError(reason)
        validation = kwargs.get("validation_data")
        if validation is None:
            raise keras_tuner.errors.FatalValueError(
                f"`search` should be given `validation_data`: held-out {self.trained_on}, on which "
                "trials are compared"
            )
        callbacks = [self.logging(validation), *kwargs.pop("callbacks", [])]
        if self.training.patience is not None:
            callbacks.append(
                keras.callbacks.EarlyStopping("val_loss", patience=self.training.patience)
            )
        if not (args and isinstance(args[0], ImageBatches)):  # which have their own
            kwargs.setdefault("batch_size", self.batch_size(hp))
        return model.fit(*args, callbacks=callbacks, **kwargs)

    def batch_size(self, hp: Any) -> int:
        """Of a trial's training: its own where it is searched, else the run's."""
        return hp.values.get("batch_size", self.training.batch_size)

    def objectives(self, model: Any) -> list[str]:
        """The names that trials can be compared by.

        Args:
            model: one that `build` made.
        """
        logged = sorted(model.get_metrics_result())
        held_out = [f"val_{name}" for name in logged if name != "gradient_norm"]
        return list(dict.fromkeys([*self.added_objectives, *held_out, *logged]))

    def compile(
        self, model: Any, training: TrainingConfig, codebook_learning_rate: float | None = None
    ) -> None:
        """Compiles the model of a trial and makes all variables of its optimizer.

        Args:
            model: what `build` made.
            training: of the trial.
            codebook_learning_rate: of its codes, if they have an optimizer of their own.
        """
        # Without a schedule to the end of training, their number decides nothing.
        images, jit_compile = self.train_images or 1, self.run.jit_compile
        compile_model(model, training, images, jit_compile, codebook_learning_rate)
        # Tuners load weights into models that no step has built.
        model.optimizer.build(model.trainable_variables)
