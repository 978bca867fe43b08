"""Training that goes on where it was interrupted, to the last bit."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_vqvae.callbacks.resuming import Arrays, Resuming, assign_all, values_of
from keras_vqvae.callbacks.training_state import TrainingState
from keras_vqvae.checks import check_count
from keras_vqvae.data.files import remove_leftovers, writing_to
from keras_vqvae.data.rows import RowBatches

__all__ = ["ResumableTraining"]


class ResumableTraining(Resuming):
    """Saves a training in `fit`, and goes on from there when the same program runs again.

    Saved are all variables of model, optimizer and metrics, with the states of random generators
    (dropout, noise, codebooks), and the position: epoch and step. A program that is killed and
    started again then ends with the weights that it would have had, bit for bit, if its data comes
    again in the same order:

    - `data.ImageBatches` and other batches of this package know their epoch and step, and begin
      there;
    - arrays given to `fit` of this package's models are wrapped in such batches, in an order drawn
      by `seed` (`shuffle=False` is kept);
    - any other data is replayed from the epoch's start: the steps that are done take their batches
      and do nothing. That is exact for data that is the same in every epoch, and not for one that
      is shuffled anew in each: that order is not known any more.

    Other models than this package's know nothing of the callback: give them `ImageBatches` with
    `shuffle=False` and `callbacks=[batches.epoch_callback(), ...]`, or arrays with `shuffle=False`;
    Keras's own shuffling cannot be restored. What other callbacks hold in Python is not saved (as
    the patience of `EarlyStopping`). Give this callback as the last one, so that it saves what the
    others do at an epoch's end.

    Each checkpoint is written to a temporary file, flushed and renamed, and the one before it is
    kept: if the last one is damaged, that is used, with a warning. When all epochs are trained the
    checkpoint stays, and the same program trains nothing more, or further epochs if more are asked
    for. What another callback ended before, such as `EarlyStopping`, goes on when the program runs
    again. Remove the folder to begin anew.

    Args:
        directory: where to keep the checkpoints; one training each.
        save_freq: `"epoch"` for after each epoch, or a number of steps for within it, too. Defaults
            to `"epoch"`.
        seed: decides the order of arrays. Defaults to `0`.

    Raises:
        ValueError: if the model is not built when training begins, a checkpoint is of another
            model, or all are damaged.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import tempfile, numpy as np
    >>> from keras_vqvae import models
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> folder = tempfile.mkdtemp()
    >>> def train(epochs):
    ...     model = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, widths=(4,))
    ...     model.compile("adam")
    ...     return model.fit(
    ...         images, epochs=epochs, verbose=0, callbacks=[ResumableTraining(folder)]
    ...     )
    >>> train(epochs=2).epoch, train(epochs=3).epoch
    ([0, 1], [2])
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        seed: int = 0,
    ) -> None:
        steps = None
        if save_freq != "epoch":
            steps = check_count("save_freq", save_freq, hint=" of steps, or 'epoch'")
        super().__init__(every_steps=steps)
        self.directory = Path(directory)
        self.seed = seed
        #: The logs of each finished epoch, those before an interruption included.
        self.history: list[dict[str, float]] = []
        self._paths = (self.directory / "last.npz", self.directory / "previous.npz")

    def prepare(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `fit` with arrays wrapped in batches; called by this package's models.

        Raises:
            ValueError: for a part of `fit` that would not be the same when resumed.
        """
        x: Any = arguments.get("x")
        if isinstance(x, np.ndarray) or hasattr(x, "__array__"):
            for name in ("validation_split", "steps_per_epoch"):
                if arguments.get(name):
                    raise ValueError(
                        f"`{name}` should be left out with `ResumableTraining`. Received: "
                        f"{name}={arguments[name]!r}. Pass `validation_data` or `data.ImageBatches`"
                    )
            batch_size = arguments.pop("batch_size", None) or 32
            if arguments.get("validation_batch_size") is None:  # Keras takes the other one then
                arguments["validation_batch_size"] = batch_size
            x = RowBatches(
                x,
                arguments.pop("y", None),
                batch_size,
                bool(arguments.pop("shuffle", True)),
                self.seed,
            )
            arguments = {**arguments, "x": x}
        elif hasattr(x, "pass_over") and arguments.get("steps_per_epoch") not in (None, len(x)):
            raise ValueError(
                "`steps_per_epoch` should be left out with `ResumableTraining` and batches that "
                f"know their epoch. Received: steps_per_epoch={arguments['steps_per_epoch']!r} for "
                f"{len(x)} batches. Give `save_freq` a number of steps to save more often"
            )
        self.follow(x)
        return arguments

    def on_train_begin(self, logs: Any = None) -> None:
        if not self.model.built:
            raise ValueError(
                f"Model '{self.model.name}' should be built before `fit` with `ResumableTraining`. "
                "Call `model.build(input_shape)`, or the model on a batch, first"
            )
        with writing_to(self.directory, "directory"), tempfile.TemporaryFile(dir=self.directory):
            pass  # an error now, and not when an epoch is trained
        for path in self._paths:
            remove_leftovers(path)
        state = TrainingState.newest(*self._paths)
        self.history = [] if state is None else state.history
        if state is None:
            return
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self._assign(state)

        def restore() -> None:
            self._assign(state)
            self._set("metrics", self.model.metrics_variables, state.metrics)

        # As `keras.callbacks.BackupAndRestore` does.
        self.model._initial_epoch = state.epochs
        self.go_on_from(state.epochs, state.steps, restore)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model._initial_epoch = None
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_if_cut_short(logs):
            return
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        self._write(epoch + 1, 0, [])
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.model._initial_epoch = None

    def save_within_epoch(self, epoch: int, steps: int, metrics: Arrays) -> None:
        """Called within an epoch; writes a checkpoint."""
        self._write(epoch, steps, metrics)

    def _write(self, epochs: int, steps: int, metrics: Arrays) -> None:
        variables = values_of(self.model.variables)
        optimizer = values_of(self.model.optimizer.variables)
        state = TrainingState(epochs, steps, self.history, variables, optimizer, metrics)
        state.save(*self._paths)

    def _assign(self, state: TrainingState) -> None:
        self._set("variables", self.model.variables, state.variables)
        self._set("optimizer's variables", self.model.optimizer.variables, state.optimizer)

    def _set(self, name: str, variables: Any, values: Arrays) -> None:
        ours = [tuple(variable.shape) for variable in variables]
        theirs = [value.shape for value in values]
        if ours != theirs:
            raise ValueError(
                f"the checkpoints in {str(self.directory)!r} are of another model: their {name} "
                f"have the shapes {theirs}, and those of '{self.model.name}' {ours}. Give another "
                "directory, or remove it to begin anew"
            )
        assign_all(variables, values)
