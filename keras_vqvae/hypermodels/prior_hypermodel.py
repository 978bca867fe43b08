"""The search space of priors."""

import dataclasses
from typing import Any

import keras

from keras_vqvae import models
from keras_vqvae.hypermodels.run_hypermodel import RunHyperModel
from keras_vqvae.hypermodels.spaces import (
    Choices,
    Linear,
    Logarithmic,
    PowersOfTwo,
    Unsearched,
    check_space,
    declare_all,
)
from keras_vqvae.runs import RunConfig, TrainingConfig

__all__ = ["PriorHyperModel"]

_DROPOUT = Choices((0.0, 0.1, 0.2, 0.3), 0.0)
_HEADS = Unsearched(PowersOfTwo(1, 16, 4), 4)
_GATED: dict[str, Any] = {
    "filters": PowersOfTwo(16, 256, 64),
    "blocks": Linear(1, 12, 6),
    "embedding_dim": PowersOfTwo(16, 128, 64),
    "kernel_size": Unsearched(Choices((3, 5, 7), 3), 3),
    "first_kernel_size": Unsearched(Choices((3, 5, 7), 7), 7),
    "hidden_dim": PowersOfTwo(32, 512, 128),
    "dropout": _DROPOUT,
}
# Names are the arguments of the constructors, and the defaults are theirs.
_FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "pixelcnn": (
        models.PixelCNN,
        {
            "filters": PowersOfTwo(16, 256, 128),
            "residual_blocks": Linear(1, 10, 5),
            "embedding_dim": PowersOfTwo(16, 128, 64),
            "kernel_size": Unsearched(Choices((3, 5, 7), 7), 7),
            "dropout": _DROPOUT,
        },
    ),
    "gated_pixelcnn": (models.GatedPixelCNN, _GATED),
    "pixelsnail": (
        models.PixelSNAIL,
        {**_GATED, "attention_every": Unsearched(Linear(1, 12, 3), 3), "num_heads": _HEADS},
    ),
    "transformer": (
        models.TransformerPrior,
        {
            "hidden_dim": PowersOfTwo(32, 512, 128),
            "blocks": Linear(1, 12, 4),
            "num_heads": _HEADS,
            "dropout": _DROPOUT,
        },
    ),
}
_TRAINING: dict[str, Any] = {
    "learning_rate": Logarithmic(1e-4, 1e-2, 1e-3),
    "batch_size": Unsearched(PowersOfTwo(8, 1024, 64), 64),
}
# The least that a constructor takes, to try one value of another argument.
_SMALLEST = {
    "filters": 2,
    "residual_blocks": 1,
    "blocks": 1,
    "embedding_dim": 1,
    "hidden_dim": 2,
    "kernel_size": 3,
    "first_kernel_size": 3,
    "num_heads": 1,
}


class _Parameters(keras.callbacks.Callback):
    """Adds the number of parameters to the logs, to compare what trials cost by their size."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["parameters"] = float(self.model.count_params())


class PriorHyperModel(RunHyperModel):
    """Priors over the codes of a VQ-VAE, for KerasTuner.

    Hyperparameters are the arguments of the prior's constructor, and `learning_rate` and
    `batch_size` of its training. Left alone they are searched as follows; a keyword argument
    narrows one of them to another range `(low, high)` or to a list of values, or fixes it.

    | name | of | searched |
    |---|---|---|
    | `filters` | PixelCNN; gated, PixelSNAIL | powers of two from 16 to 256 |
    | `residual_blocks` | PixelCNN | 1 to 10 |
    | `blocks` | the others | 1 to 12 |
    | `embedding_dim` | all but the transformer | powers of two from 16 to 128 |
    | `hidden_dim` | all but PixelCNN | powers of two from 32 to 512 |
    | `dropout` | all | 0, 0.1, 0.2, 0.3 |
    | `learning_rate` | training | 1e-4 to 1e-2, by its logarithm |

    `kernel_size`, `first_kernel_size`, `attention_every`, `num_heads` and `batch_size` are searched
    only if they are given; the last one is that of `run` otherwise.

    The defaults are the constructors', and the first trial of the tuners of `make_tuner`. Of
    several families the first one gives the ranges and defaults of names that they share.

    `search` takes what `fit` of a prior takes: codes, or codes and labels, and the same of held-out
    images as `validation_data`. Trials are compared by `val_bits_per_code`, the cross-entropy of
    held-out codes; `parameters` is logged beside it. A trial has the seed of the run, whatever came
    before it.

    Args:
        code_shape: `(height, width)` of the grid, or `(height, width, depth)`.
        num_embeddings: K, the number of codes; or one number for each depth.
        run: settings of all trials that are not searched: seed, dtype policy, XLA, training of the
            prior. By default those of `RunConfig`.
        family: `"pixelcnn"`, `"gated_pixelcnn"`, `"pixelsnail"` or `"transformer"`; or a list of
            them, of which one is chosen in each trial. Defaults to `"pixelcnn"`.
        num_classes: number of classes, for priors that are conditioned on labels.
        codes_fingerprint: of the model whose codes they are, if it is known.
        max_parameters: models with more are refused before training. Defaults to no limit.
        train_images: how many grids `search` will be given, which the schedule `"cosine"` needs to
            know; it comes to its end after the run's `prior_training.epochs`. Defaults to `None`.
        **space: hyperparameters that are narrowed or fixed.

    Raises:
        ValueError: for a family or a name that is not known, a value that no prior can have, or a
            schedule without `train_images`.

    Example:
    >>> import keras_tuner
    >>> hypermodel = PriorHyperModel((7, 7), 128, filters=[16, 32], residual_blocks=2)
    >>> hp = keras_tuner.HyperParameters()
    >>> hypermodel.build(hp).filters, hp.get("dropout")
    (16, 0.0)
    >>> hypermodel.config(hp).prior.residual_blocks
    2
    """

    objective = "val_bits_per_code"
    trained_on = "codes"

    def __init__(
        self,
        code_shape: tuple[int, ...],
        num_embeddings: int | tuple[int, ...],
        run: RunConfig | None = None,
        family: str | list[str] = "pixelcnn",
        num_classes: int | None = None,
        codes_fingerprint: str | None = None,
        max_parameters: int | None = None,
        train_images: int | None = None,
        **space: Any,
    ) -> None:
        run = RunConfig() if run is None else run
        super().__init__(run, run.prior_training, train_images)
        self.code_shape = tuple(code_shape)
        self.num_embeddings = num_embeddings
        self.family = [family] if isinstance(family, str) else list(family)
        self.num_classes = num_classes
        self.codes_fingerprint = codes_fingerprint
        self.max_parameters = max_parameters
        unknown = [name for name in self.family if name not in _FAMILIES]
        if unknown or not self.family:
            raise ValueError(
                f"`family` should be one of {', '.join(_FAMILIES)}, or a list of them. "
                f"Received: family={family!r}"
            )
        self._conditions: dict[str, tuple[str, list[Any]]] = {}
        entries: dict[str, Any] = {}
        for one in self.family:
            for name, entry in _FAMILIES[one][1].items():
                entries.setdefault(name, entry)
                self._conditions.setdefault(name, ("family", []))[1].append(one)
        space = {"batch_size": self.training.batch_size, **space}
        checked = check_space({**entries, **_TRAINING}, space, self._check, self._conditions)
        choice = Choices(tuple(self.family), self.family[0])
        self.space = {"family": choice if len(self.family) > 1 else self.family[0], **checked}

    def arguments(self, hp: Any) -> dict[str, Any]:
        """The hyperparameters of a trial: `family`, the constructor's arguments, training."""
        return declare_all(hp, self.space, self._conditions)

    def config(self, hp: Any) -> RunConfig:
        """The settings of a run with the values of a trial.

        Raises:
            ValueError: for another prior than those of runs: `PixelCNN` with its first kernel of 7.
        """
        values = self.arguments(hp)
        training = self._training(values)
        if values.pop("family") != "pixelcnn" or values.pop("kernel_size") != 7:
            raise ValueError(
                "the prior of a run is a PixelCNN with kernel_size=7. `build` makes this trial's "
                f"prior. Received: {self.arguments(hp)}"
            )
        return dataclasses.replace(
            self.run,
            prior=dataclasses.replace(
                self.run.prior, conditional=self.num_classes is not None, **values
            ),
            prior_training=training,
        )

    def settings(self) -> dict[str, Any]:
        """What all trials have in common, as plain data; XLA changes no figure worth comparing."""
        run = self.run.to_dict()
        return {
            **{name: run[name] for name in ("prior_training", "seed", "dtype_policy")},
            "code_shape": list(self.code_shape),
            "num_embeddings": self.num_embeddings,
            "num_classes": self.num_classes,
            "codes_fingerprint": self.codes_fingerprint,
            "max_parameters": self.max_parameters,
            "train_images": self.train_images,
        }

    def build(self, hp: Any) -> Any:
        """The compiled prior of a trial."""
        values = self.arguments(hp)
        training = self._training(values)
        make = _FAMILIES[values.pop("family")][0]
        keras.utils.set_random_seed(self.run.seed)
        model = make(
            self.code_shape,
            self.num_embeddings,
            num_classes=self.num_classes,
            codes_fingerprint=self.codes_fingerprint,
            dtype=self.run.dtype_policy,
            name="prior",
            **values,
        )
        self.compile(model, training)
        return model

    def over_budget(self, model: Any) -> str | None:
        count, limit = model.count_params(), self.max_parameters
        if limit is None or count <= limit:
            return None
        return f"the prior has {count} parameters, above max_parameters={limit}"

    def logging(self, validation: Any) -> keras.callbacks.Callback:
        return _Parameters()

    def _training(self, values: dict[str, Any]) -> TrainingConfig:
        """Takes what is of training out of the values."""
        found = {name: values.pop(name) for name in _TRAINING}
        return dataclasses.replace(self.training, **found)

    def _check(self, name: str, value: Any) -> None:
        """Whether the constructor takes such a value."""
        if name in _TRAINING:
            TrainingConfig(**{name: value})
            return
        for family in self.family:
            make, entries = _FAMILIES[family]
            if name in entries:
                smallest = {k: v for k, v in _SMALLEST.items() if k in entries}
                if name == "num_heads" and isinstance(value, int):
                    # They divide another argument.
                    smallest["filters" if "filters" in entries else "hidden_dim"] = value
                make((2, 2), 2, **{**smallest, name: value})
