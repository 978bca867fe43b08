"""The models of a run, when they are trained."""

from typing import Any

from keras_vqvae import models
from keras_vqvae.runs.checkpoints import load_model
from keras_vqvae.runs.commands import prior_command
from keras_vqvae.runs.config import RunConfig
from keras_vqvae.runs.directory import RunDirectory


class TrainedModels:
    """Reads each model when it is asked for, once; raises where it is not there.

    Args:
        files: the run's.
        config: its settings.
    """

    def __init__(self, files: RunDirectory, config: RunConfig) -> None:
        self._files = files
        self._config = config
        self._loaded: dict[str, Any] = {}

    def vqvae(self) -> models.VQVAE:
        """The first stage's."""
        return self._model("vqvae")

    def prior(self) -> models.CodePrior:
        """The second stage's."""
        return self._model("prior")

    def _model(self, stage: str) -> Any:
        """The model of a stage.

        Raises:
            FileNotFoundError: if it is not trained to its end, saying what trains it.
            ValueError: if its file is damaged.
        """
        if stage not in self._loaded:
            file = self._files.model(stage)
            if not file.exists():
                raise FileNotFoundError(
                    f"{str(self._files.path)!r} has no {file.name}: this stage is not trained to "
                    f"its end. {self._how_to_train(stage)}"
                )
            try:
                self._loaded[stage] = load_model(file)
            except ValueError as error:
                raise ValueError(
                    f"{error}. Remove it and train again: it is restored from the checkpoints"
                ) from error
        return self._loaded[stage]

    def _how_to_train(self, stage: str) -> str:
        if stage == "prior" and self._files.model("vqvae").exists():
            command = prior_command(self._config, self._config, str(self._files.path))
            return f"`{command}` trains it"
        return "The `keras-vqvae train` that began this run goes on with it"
