"""Settings as the command line has them."""

import dataclasses
import shlex
from typing import Any

from keras_vqvae.runs.config import RunConfig

__all__ = ["OPTION_PREFIXES", "train_command"]

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
        ours, theirs = getattr(config, group), getattr(default, group)
        for field in dataclasses.fields(ours):
            if (group, field.name) != ("data", "source"):
                words += _words(prefix, field.name, ours, theirs)
    for name in ("seed", "dtype_policy", "jit_compile"):
        words += _words("", name, config, default)
    return shlex.join(words)


def _words(prefix: str, name: str, ours: Any, theirs: Any) -> list[str]:
    value = getattr(ours, name)
    if value == getattr(theirs, name):
        return []
    flag = f"{prefix}{name}".replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
