"""The search space of VQ-VAEs."""

import dataclasses
from typing import Any

import keras

from keras_vqvae.hypermodels.code_length import CodeLength
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
from keras_vqvae.runs import RunConfig, TrainingConfig, VQVAEConfig, build_vqvae

__all__ = ["SPACE", "VQVAEHyperModel"]

# Names are those of `VQVAEConfig` and `TrainingConfig`, but for the widths: `width` is the last one
# of `depth`, and each one before is half of the next. What they depend on stands before them.
SPACE: dict[str, Any] = {
    "quantizer": Unsearched(Choices((), "vector"), "vector"),
    "num_embeddings": PowersOfTwo(64, 4096, 512),
    "embedding_dim": PowersOfTwo(4, 64, 16),
    "beta": Logarithmic(0.05, 2.0, 0.25),
    "update": Choices(("ema", "gradient"), "ema"),
    "decay": Choices((0.9, 0.95, 0.99, 0.999), 0.99),
    "codebook_learning_rate": Unsearched(Logarithmic(1e-3, 1e-1, 1e-2), None),
    "width": PowersOfTwo(32, 256, 64),
    "depth": Unsearched(Linear(1, 4, 2), 2),
    "residual_blocks": Linear(0, 2, 0),
    "learning_rate": Logarithmic(1e-4, 4e-3, 1e-3),
}
# What not all quantizers have; the codes of a vector quantizer follow moving averages, or learn by
# gradient.
_CONDITIONS = {
    **{
        name: ("quantizer", VQVAEConfig.quantizers_with(name))
        for name in ("embedding_dim", "beta", "update")
    },
    "decay": ("update", ["ema"]),
    "codebook_learning_rate": ("update", ["gradient"]),
}


class VQVAEHyperModel(RunHyperModel):
    """VQ-VAEs by codebook size, β and what goes with them, for KerasTuner.

    Hyperparameters are the settings of a run: `config` gives the `RunConfig` of a trial, with which
    the winner is trained in full. Left alone they are searched as follows; a keyword argument
    narrows one of them to another range `(low, high)` or to a list of values, or fixes it. A
    quantizer that has no β or length of its own is searched without.

    | name | searched |
    |---|---|
    | `num_embeddings` | powers of two from 64 to 4 096 |
    | `embedding_dim`, `beta` | powers of two from 4 to 64; 0.05 to 2, by its logarithm |
    | `update`, `decay` | `"ema"` with 0.9, 0.95, 0.99, 0.999, or `"gradient"` |
    | `width` | channels at the last of the halvings, powers of two from 32 to 256 |
    | `residual_blocks` | 0, 1 or 2 |
    | `learning_rate` | 1e-4 to 4e-3, by its logarithm |
    | `quantizer`, `depth` | not, unless they are given: those of `run`, `"vector"`, 2 halvings |
    | `codebook_learning_rate` | not, unless it is given: the codes' own, with `"gradient"` |

    The defaults are those of `keras-vqvae train`, and the first trial of the tuners of
    `make_tuner`. `fit` adds `CodeLength` on the validation images, for the objective
    `val_bits_per_dimension`. A trial has the seed of the run, whatever came before it.

    Args:
        image_shape: `(height, width, channels)`.
        run: settings of all trials that are not searched: likelihood, seed, dtype policy, XLA,
            training. By default those of `RunConfig` with a discretized logistic likelihood, whose
            bits are worth comparing.
        value_range: what black and white are. Defaults to `(0, 255)`.
        variance: of the images on the [0, 1] scale, which a Gaussian likelihood needs. Defaults to
            `1/16`.
        max_bits_per_image: models whose codes take more, if all are equally likely, are refused
            before training. Defaults to no limit.
        train_images: how many images `search` will be given, which the schedule `"cosine"` needs to
            know; it comes to its end after the run's `vqvae_training.epochs`. Defaults to `None`.
        **space: hyperparameters that are narrowed or fixed.

    Raises:
        ValueError: for a name that is not known, a value that no model can have, a hyperparameter
            that no trial has a use for beside the others, or a schedule without `train_images`.

    Example:
    >>> import keras_tuner
    >>> hypermodel = VQVAEHyperModel((28, 28, 1), num_embeddings=[128, 256], width=64, update="ema")
    >>> hp = keras_tuner.HyperParameters()
    >>> hypermodel.build(hp).num_embeddings, hp.get("num_embeddings")
    (128, 128)
    >>> hypermodel.config(hp).vqvae.widths
    (32, 64)
    """

    objective = "val_bits_per_dimension"
    trained_on = "images"
    added_objectives = CodeLength.names

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        run: RunConfig | None = None,
        value_range: tuple[float, float] = (0, 255),
        variance: float = 1 / 16,
        max_bits_per_image: float | None = None,
        train_images: int | None = None,
        **space: Any,
    ) -> None:
        if run is None:
            run = RunConfig(vqvae=VQVAEConfig(likelihood="discretized_logistic"))
        super().__init__(run, run.vqvae_training, train_images)
        self.image_shape = image_shape
        self.value_range = value_range
        self.variance = variance
        self.max_bits_per_image = max_bits_per_image
        unsearched = {"quantizer": run.vqvae.quantizer, "depth": len(run.vqvae.widths)}
        self.space = check_space(SPACE, {**unsearched, **space}, self._check, _CONDITIONS)

    def config(self, hp: Any) -> RunConfig:
        """The settings of a run with the values of a trial."""
        return self._config(declare_all(hp, self.space, _CONDITIONS))

    def settings(self) -> dict[str, Any]:
        """What all trials have in common, as plain data; XLA changes no figure worth comparing."""
        run = self.run.to_dict()
        for name in ("jit_compile", "prior", "prior_training"):
            del run[name]
        return {
            **run,
            "image_shape": list(self.image_shape),
            "value_range": list(self.value_range),
            "variance": self.variance,
            "max_bits_per_image": self.max_bits_per_image,
            "train_images": self.train_images,
        }

    def build(self, hp: Any) -> Any:
        """The compiled VQ-VAE of a trial."""
        config = self.config(hp)
        keras.utils.set_random_seed(config.seed)
        model = build_vqvae(config, self.image_shape, self.value_range, self.variance)
        training = config.vqvae_training
        self.compile(model, training, config.vqvae.rate_of_codes(training.learning_rate))
        return model

    def over_budget(self, model: Any) -> str | None:
        bits, limit = model.bits_per_image, self.max_bits_per_image
        if limit is None or bits <= limit:
            return None
        return f"the codes of an image take {bits:g} bits, above max_bits_per_image={limit:g}"

    def logging(self, validation: Any) -> keras.callbacks.Callback:
        return CodeLength(validation[0] if isinstance(validation, tuple) else validation)

    def _config(self, values: dict[str, Any]) -> RunConfig:
        values = dict(values)
        depth, width = values.pop("depth"), values.pop("width")
        training = {"learning_rate": values.pop("learning_rate")}
        if (values["quantizer"], values.get("update")) != ("vector", "gradient"):
            values["codebook_learning_rate"] = None  # the run's is of codes that learn by gradient
        widths = tuple(max(width >> (depth - 1 - i), 1) for i in range(depth))
        return dataclasses.replace(
            self.run,
            vqvae=dataclasses.replace(self.run.vqvae, widths=widths, **values),
            vqvae_training=dataclasses.replace(self.training, **training),
        )

    def _check(self, name: str, value: Any) -> None:
        """Whether a run can have such a value."""
        if name in ("width", "depth"):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"a positive integer is needed. Received: {value!r}")
            height, width, _ = self.image_shape
            if name == "depth" and (height % 2**value or width % 2**value):
                raise ValueError(
                    f"height and width should be divisible by {2**value}, once by 2 for each. "
                    f"Received: {value!r} for images of {height}x{width}"
                )
            return
        settings: dict[str, Any] = {name: value}
        if name == "learning_rate":
            RunConfig(vqvae_training=TrainingConfig(**settings))
        else:
            if name == "codebook_learning_rate":
                settings["update"] = "gradient"
            RunConfig(vqvae=VQVAEConfig(**settings))
