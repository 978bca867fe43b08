"""Options out of the settings of a run: what a dataclass says is what `--help` shows."""

import dataclasses
import logging
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from keras_vqvae.runs import RunConfig

if TYPE_CHECKING:
    from keras_vqvae.runs import Run

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # of older versions than 8.4 it is not generic

TITLES = {"vqvae": "VQ-VAE", "prior": "prior"}


class Interrupted(click.ClickException):
    """Ctrl-C in a command that can go on later."""

    exit_code = 130


class Command(click.Command):
    """A command with `--debug`, which `Application.main` looks for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, help="Show the traceback of errors."
            )
        )


class Filled(ParamType):
    """Text that is not empty: an empty path would be that of the current directory."""

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not value.strip():
            self.fail(f"it should not be empty. Received: {value!r}", param, ctx)
        return value


class Numbers(ParamType):
    """Numbers with commas between: `64` or `48,64`."""

    name = "numbers"

    def __init__(self, kind: type, single_is_pair: bool = False) -> None:
        self._kind = kind
        self._single_is_pair = single_is_pair

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(self._kind(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} should be numbers with commas between, such as 48,64", param, ctx)
        return numbers * 2 if self._single_is_pair and len(numbers) == 1 else numbers


def config_options(
    groups: dict[str, str],
    top: bool = True,
    show_defaults: bool = True,
    default: RunConfig | None = None,
) -> Callable[[Any], Any]:
    """Adds an option for each setting of these groups.

    Args:
        groups: the groups of `RunConfig`, each with the prefix of its options.
        top: whether to add the settings that are in no group.
        show_defaults: whether `--help` shows the defaults.
        default: whose they are. By default those of `RunConfig`.
    """
    shown = RunConfig() if default is None else default
    owners: dict[str, Any] = {group: getattr(shown, group) for group in groups}
    if top:
        owners[""] = shown

    def decorate(command: Any) -> Any:
        found = [
            _option(
                f,
                groups.get(group, "") + f.name,
                f"{group}__{f.name}",
                getattr(owner, f.name),
                show_defaults,
            )
            for group, owner in owners.items()
            for f in dataclasses.fields(owner)
            # Groups of settings have no line of help; where the data is, each command asks itself.
            if f.metadata and (group, f.name) != ("data", "source")
        ]
        for option in reversed(found):
            command = option(command)
        return command

    return decorate


def apply_options(config: RunConfig, options: dict[str, Any]) -> RunConfig:
    """The configuration with the settings that were given; the others stay as they are."""
    changes: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        if value is not None:
            group, _, name = key.partition("__")
            changes.setdefault(group, {})[name] = value
    top = changes.pop("", {})
    groups = {g: dataclasses.replace(getattr(config, g), **c) for g, c in changes.items()}
    return dataclasses.replace(config, **top, **groups)


def _option(field: Any, name: str, key: str, default: Any, show_default: bool) -> Any:
    flag = name.replace("_", "-")
    help_text = field.metadata["help"]
    is_prior = name.startswith("prior_")
    help_text = f"Prior: {help_text}" if is_prior else help_text[:1].upper() + help_text[1:]
    if show_default and default is not None and default is not False:
        help_text += f"  [default: {_shown(default)}]"
    if isinstance(default, bool):
        return click.option(f"--{flag}/--no-{flag}", key, default=None, help=help_text)
    return click.option(f"--{flag}", key, type=_type(field), default=None, help=help_text)


def _type(field: Any) -> Any:
    if field.metadata["choices"]:
        return click.Choice(field.metadata["choices"])
    kinds = [t for t in typing.get_args(field.type) if t is not types.NoneType] or [field.type]
    kind = kinds[0] if isinstance(field.type, types.UnionType) else field.type
    if typing.get_origin(kind) is tuple:
        return Numbers(typing.get_args(kind)[0], single_is_pair=field.name == "image_size")
    return kind


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@contextmanager
def quiet_start(models: bool = True) -> Iterator[None]:
    """Loads the backend without the lines that TensorFlow prints before it can be told not to.

    They go to the file descriptor, not to `sys.stderr`; a `TF_CPP_MIN_LOG_LEVEL` of 0 or 1, if a
    user sets it, brings them back.

    Args:
        models: whether models will be trained, saved or loaded. On other backends Keras then loads
            TensorFlow, if it is installed; that happens here, too. Defaults to `True`.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1"):
        yield
        return
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
        if models:
            import keras

            # Of no other effect than to load it: training and sampling have their own seeds.
            keras.utils.set_random_seed(0)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def run_class(models: bool = True) -> "type[Run]":
    """`runs.Run`, imported when a command needs it: Keras takes seconds to load.

    Args:
        models: as for `quiet_start`.
    """
    with quiet_start(models):
        from keras_vqvae.runs import Run

        return Run


def fit_verbose() -> int:
    """A progress bar on a terminal, a line an epoch elsewhere."""
    return 1 if sys.stdout.isatty() else 2


def bars() -> int:
    """Whether to show progress bars: on a terminal, whose lines can be written anew."""
    return int(sys.stdout.isatty())


def say(text: str) -> None:
    """Tells what begins."""
    click.echo(click.style(text, bold=True))
