"""Settings as the command line has them."""

import dataclasses
import shlex
from typing import Any

from keras_vqvae.runs.config import RunConfig

__all__ = ["OPTION_PREFIXES", "prior_command", "train_command"]

# Where a group's settings stand on the command line; two groups of one name need a prefix.
OPTION_PREFIXES = {
    "data": "",
    "vqvae": "",
    "vqvae_training": "",
    "prior": "prior_",
    "prior_training": "prior_",
}


def train_command(config: RunConfig, output: str) -> str:
    """The `keras-vqvae train` that makes a run: its settings, as far as they are not the defaults.

    Args:
        config: the settings.
        output: the directory of the run.

    Returns:
        A line for a shell.

    Example:
    >>> from keras_vqvae.runs import DataConfig, VQVAEConfig
    >>> config = RunConfig(DataConfig("my images/"), VQVAEConfig(widths=(48, 96), revival=False))
    >>> print(train_command(config, "runs/mine"))
    keras-vqvae train --data 'my images/' --output runs/mine --widths 48,96 --no-revival
    """
    words = ["keras-vqvae", "train", "--data", config.data.source, "--output", output]
    default = RunConfig()
    for group, prefix in OPTION_PREFIXES.items():
        words += _group(prefix, getattr(config, group), getattr(default, group))
    words += _group("", config, default)
    return shlex.join(words)


def prior_command(config: RunConfig, before: RunConfig, run: str, overwrite: bool = False) -> str:
    """The `keras-vqvae prior` that gives a run another prior: its settings, as far as they differ.

    Args:
        config: the settings. What they say of other things than the prior is the run's to say.
        before: those of the run.
        run: its directory.
        overwrite: whether it has a prior already, which is to go. Defaults to `False`.

    Returns:
        A line for a shell.

    Raises:
        ValueError: for a setting that the run has and that is to be `None`.

    Example:
    >>> from keras_vqvae.runs import PriorConfig
    >>> config = RunConfig(prior=PriorConfig(filters=64, conditional=True))
    >>> print(prior_command(config, RunConfig(), "runs/mine", overwrite=True))
    keras-vqvae prior runs/mine --overwrite --filters 64 --conditional
    """
    words = ["keras-vqvae", "prior", run, *(["--overwrite"] if overwrite else [])]
    words += _group("", config.prior, before.prior)
    words += _group("", config.prior_training, before.prior_training)
    return shlex.join(words)


def _group(prefix: str, ours: Any, theirs: Any) -> list[str]:
    """Of a group of settings, those that differ; where the data is stands elsewhere."""
    # What has no line of help is a group itself.
    names = [f.name for f in dataclasses.fields(ours) if f.metadata and f.name != "source"]
    return [word for name in names for word in _words(prefix, name, ours, theirs)]


def _words(prefix: str, name: str, ours: Any, theirs: Any) -> list[str]:
    value = getattr(ours, name)
    if value == getattr(theirs, name):
        return []
    flag = f"{prefix}{name}".replace("_", "-")
    if value is None:
        raise ValueError(
            f"`config` should keep `{name}` of the run: no option takes it back. "
            f"Received: {name}=None in place of {getattr(theirs, name)}"
        )
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
