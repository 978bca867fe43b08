"""The group of commands, and how errors end."""

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from keras_vqvae._version import __version__
from keras_vqvae.cli import comparing, training, tuning, using
from keras_vqvae.cli.options import Interrupted
from keras_vqvae.runs.errors import NonFiniteLossError

# What a user can put right by another argument or other data. All else is a failure.
_WRONG_USE = (ValueError, TypeError, IndexError, FileNotFoundError, FileExistsError)
_WRONG_PATH = (NotADirectoryError, IsADirectoryError)


class Application(click.Group):
    """Commands whose errors are one line: exit status 2 for wrong use, 1 for failures."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> Any:
        """Runs a command and ends the process."""
        given = list(sys.argv[1:] if args is None else args)
        # In place of click's own endings, which take several lines.
        settings["standalone_mode"] = False
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            try:
                status = super().main(given, *rest, **settings)
            except Exception as error:
                if "--debug" in given:
                    traceback.print_exc()
                status = _report(error)
        sys.exit(status if isinstance(status, int) else 0)


def _report(error: Exception) -> int:
    if isinstance(error, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    if isinstance(error, Interrupted):
        click.echo(f"interrupted: {error.format_message()}", err=True)
        return error.exit_code
    if isinstance(error, click.ClickException):
        text = error.format_message()
        context = getattr(error, "ctx", None)
        if isinstance(error, click.UsageError) and context is not None:
            text = f"{text.rstrip('.')}. See {context.command_path} --help"
        return _fail(text, 2 if isinstance(error, click.UsageError) else error.exit_code)
    if isinstance(error, NonFiniteLossError):
        return _fail(str(error), 1)
    if isinstance(error, (*_WRONG_USE, *_WRONG_PATH)):
        return _fail(str(error), 2)
    if isinstance(error, OSError):
        where = f": {error.filename!r}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1)
    return _fail(f"{type(error).__name__}: {error}. Repeat with --debug for the details", 1)


def _fail(text: str, status: int) -> int:
    click.echo(f"error: {' '.join(text.split())}", err=True)
    return status


def _show_warning(message: Any, category: Any, *where: Any, **more: Any) -> None:
    if issubclass(category, UserWarning):
        click.echo(f"warning: {' '.join(str(message).split())}", err=True)


# The sign \b keeps click from wrapping the lines below it.
_HELP = """Turn images into grids of codes, learn the codes, and draw new images.

A run lives in one directory: its models, settings, figures and pictures. A command that was
interrupted goes on when it is given again; nothing is overwritten unless --overwrite is.

\b
  keras-vqvae demo
  keras-vqvae train --data my_images/ --image-size 64 --output runs/mine
  keras-vqvae sample runs/mine -n 16
"""


@click.group(
    cls=Application,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="keras-vqvae %(version)s")
def main() -> None:
    """The command `keras-vqvae`."""


for _command in (
    training.demo,
    training.train,
    training.prior,
    comparing.compare,
    tuning.tune,
    using.sample,
    using.encode,
    using.decode,
    using.evaluate,
    using.info,
):
    main.add_command(_command)
