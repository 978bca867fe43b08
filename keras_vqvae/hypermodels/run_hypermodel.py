"""What the package's hypermodels share."""

from typing import Any

import keras_tuner

from keras_vqvae.runs import TrainingConfig, compile_model

__all__ = ["RunHyperModel"]


class RunHyperModel(keras_tuner.HyperModel):
    """Base of hypermodels whose trials have the settings of a run.

    A subclass names its default `objective`, and in `added_objectives` what its `fit` adds to the
    logs beside the model's own.
    """

    objective = "val_loss"
    added_objectives: tuple[str, ...] = ()

    def objectives(self, model: Any) -> list[str]:
        """The names that trials can be compared by.

        Args:
            model: one that `build` made.
        """
        logged = sorted(model.get_metrics_result())
        held_out = [f"val_{name}" for name in logged if name != "gradient_norm"]
        return list(dict.fromkeys([*self.added_objectives, *held_out, *logged]))

    def compile(
        self,
        model: Any,
        training: TrainingConfig,
        train_images: int | None,
        jit_compile: str,
        codebook_learning_rate: float | None = None,
    ) -> None:
        """Compiles a model and makes all variables of its optimizer."""
        compile_model(model, training, train_images or 1, jit_compile, codebook_learning_rate)
        # Tuners load weights into models that no step has built.
        model.optimizer.build(model.trainable_variables)


def check_train_images(training: TrainingConfig, train_images: int | None) -> None:
    """A schedule to the end of training needs to know how many steps that are.

    Raises:
        ValueError: if it does not.
    """
    if train_images is not None and train_images < 1:
        raise ValueError(
            f"`train_images` should be at least 1. Received: train_images={train_images}"
        )
    if training.schedule == "cosine" and train_images is None:
        raise ValueError(
            "`train_images`, the number of training images, should be given for the schedule "
            "'cosine', which ends with the training. Received: train_images=None"
        )
