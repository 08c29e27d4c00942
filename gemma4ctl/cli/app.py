"""The ``gemma4ctl`` command: its subcommands, and how errors reach the user.

Only the module of the command that is named is imported. None imports anything heavy at the top,
so that ``--help`` stays quick; each command imports what it needs when it runs.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from gemma4ctl import __version__
from gemma4ctl.cli.help import command_app
from gemma4ctl.cli.plain import keep_text
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.printable import printable

# In the order of --help; each is the ``app`` of its module in :mod:`gemma4ctl.cli.commands`.
COMMANDS = (
    "detect",
    "suggest",
    "serve",
    "docker",
    "check",
    "fit",
    "matrix",
    "verify",
    "bench",
    "replan",
    "tune",
    "eval",
    "profiles",
    "doctor",
)


class CommandsByName(Mapping[str, Any]):
    """Every command; its module is imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _command(name: str) -> Any:
    command = get_command(import_module(f"gemma4ctl.cli.commands.{name}").app)
    command.name = name
    return command


class Commands(TyperGroup):
    """Prints our own errors on stderr and exits with their status."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = CommandsByName()  # type: ignore[assignment]

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, which stay text."""
        return keep_text(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Gemma4ctlError as error:
            print(f"gemma4ctl: {printable(str(error))}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None


app = command_app(
    name="gemma4ctl",
    cls=Commands,
    help="Take a machine with GPUs to a correct, fast, explained Gemma 4 endpoint on SGLang.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"gemma4ctl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """The options of ``gemma4ctl`` itself."""
