"""All settings of a search, as plain data."""

import dataclasses
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Self

from keras_vqvae.hypermodels.vqvae_hypermodel import SPACE
from keras_vqvae.runs import RunConfig, TrainingConfig, VQVAEConfig

__all__ = ["SearchConfig", "fixed_settings"]

FORMAT, VERSION = "keras_vqvae.search", 1
# What grows by getting better.
_GROWING = ("usage", "perplexity", "psnr", "ssim", "accuracy")


def _default_run() -> RunConfig:
    return RunConfig(
        vqvae=VQVAEConfig(likelihood="discretized_logistic"),
        vqvae_training=TrainingConfig(epochs=5),
    )


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """All settings of a search.

    Args:
        run: what all trials have in common: data, likelihood, epochs, seed, and what is not
            searched. By default 5 epochs and a discretized logistic likelihood.
        tuner: `"random"`, `"bayesian"`, `"grid"` or `"hyperband"`.
        trials: how many; Hyperband decides by itself.
        objective: what trials are compared by, a name in the logs.
        direction: `"min"` or `"max"`; by default what the objective's name says.
        max_bits_per_image: models whose codes take more are refused before training.
        space: hyperparameters that are narrowed or fixed, as for `VQVAEHyperModel`.

    Raises:
        ValueError: for fewer than one trial, or another direction.

    Example:
    >>> config = SearchConfig(trials=4, space={"beta": (0.1, 1.0), "update": "ema"})
    >>> SearchConfig.from_dict(config.to_dict()) == config
    True
    """

    run: RunConfig = dataclasses.field(default_factory=_default_run)
    tuner: str = "random"
    trials: int = 9
    objective: str = "val_bits_per_dimension"
    direction: str | None = None
    max_bits_per_image: float | None = None
    space: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"`trials` should be at least 1. Received: trials={self.trials}")
        if self.direction not in (None, "min", "max"):
            raise ValueError(
                f"`direction` should be 'min' or 'max'. Received: direction={self.direction!r}"
            )

    @property
    def best(self) -> str:
        """`"min"` or `"max"`: which trial is the best."""
        grows = any(word in self.objective for word in _GROWING)
        return self.direction or ("max" if grows else "min")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        # JSON has no tuples.
        fields["space"] = {
            name: {"range": list(value)} if isinstance(value, tuple) else value
            for name, value in self.space.items()
        }
        return {"format": FORMAT, "version": VERSION, **fields, "run": self.run.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The settings that `to_dict` wrote.

        Raises:
            ValueError: if it was something else that wrote them, or a later version.
        """
        values = dict(values)
        kind, version = values.pop("format", None), values.pop("version", None)
        if (kind, version) != (FORMAT, VERSION):
            raise ValueError(
                f"these are no settings of a search that this package reads: format {kind!r}, "
                f"version {version!r}"
            )
        values["run"] = RunConfig.from_dict(values["run"])
        values["space"] = {
            name: tuple(value["range"]) if isinstance(value, dict) else value
            for name, value in values["space"].items()
        }
        return cls(**values)


def fixed_settings(run: RunConfig, names: Iterable[str]) -> dict[str, Any]:
    """What is not searched because a run's settings say it.

    Args:
        run: the settings.
        names: of those that were given; the ones that no search is about are left out.

    Raises:
        ValueError: for widths that are not halved from one to the one before, which `width` and
            `depth` cannot say.

    Example:
    >>> run = RunConfig(vqvae=VQVAEConfig(beta=0.5, widths=(16, 32, 64)))
    >>> fixed_settings(run, ["beta", "widths", "likelihood"])
    {'beta': 0.5, 'width': 64, 'depth': 3}
    """
    fixed: dict[str, Any] = {}
    for name in names:
        if name == "widths":
            widths = run.vqvae.widths
            if any(2 * a != b for a, b in pairwise(widths)):
                raise ValueError(
                    "`widths` of a search should each be half of the next. "
                    f"Received: widths={widths}"
                )
            fixed |= {"width": widths[-1], "depth": len(widths)}
        elif name in SPACE:
            owner = run.vqvae_training if hasattr(run.vqvae_training, name) else run.vqvae
            fixed[name] = getattr(owner, name)
    return fixed
