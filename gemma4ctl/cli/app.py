"""The ``gemma4ctl`` command: its subcommands, and how errors reach the user.

Modules of this package import nothing heavy at the top, so that ``--help`` stays quick; each
command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gemma4ctl import __version__
from gemma4ctl.cli.commands import (
    bench,
    check,
    detect,
    docker,
    doctor,
    fit,
    matrix,
    profiles,
    replan,
    serve,
    suggest,
    tune,
    verify,
)
from gemma4ctl.cli.commands import eval as evaluation
from gemma4ctl.cli.help import Command
from gemma4ctl.cli.plain import keep_text
from gemma4ctl.errors import Gemma4ctlError

AFTER_DASHES = {"allow_extra_args": True}


class Commands(TyperGroup):
    """Prints our own errors on stderr and exits with their status."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, which stay text."""
        return keep_text(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except Gemma4ctlError as error:
            print(f"gemma4ctl: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ENOSPC):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno == errno.EPIPE:  # the reader left, as in `gemma4ctl suggest | head -1`
                raise typer.Exit(0) from None
            print(f"gemma4ctl: the output cannot be written: {error.strerror}", file=sys.stderr)
            raise typer.Exit(1) from None
        return result


app = typer.Typer(
    name="gemma4ctl",
    cls=Commands,
    help="Take a machine with GPUs to a correct, fast, explained Gemma 4 endpoint on SGLang.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich takes longer to import than everything else together
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("detect", cls=Command)(detect.detect)
app.command("suggest", cls=Command, context_settings=AFTER_DASHES)(suggest.suggest)
app.command("serve", cls=Command, context_settings=AFTER_DASHES)(serve.serve)
app.command("docker", cls=Command, context_settings=AFTER_DASHES)(docker.docker)
app.command("check", cls=check.WithCommand)(check.check)
app.command("fit", cls=Command, context_settings=AFTER_DASHES)(fit.fit)
app.command("matrix", cls=Command)(matrix.matrix)
app.command("verify", cls=Command)(verify.verify)
app.command("replan", cls=Command, context_settings=AFTER_DASHES)(replan.replan)
app.command("tune", cls=Command, context_settings=AFTER_DASHES)(tune.tune)
app.command("eval", cls=Command)(evaluation.evaluate)
app.add_typer(profiles.app, name="profiles")
app.add_typer(bench.app, name="bench")
app.command("doctor", cls=Command)(doctor.doctor)


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


def run() -> None:
    """Run ``gemma4ctl`` with the process's arguments.

    typer reads the options of every command it knows before it runs one, so a command that is
    named first is the only one it is told of.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else None
    named = [command for command in app.registered_commands if command.name == name]
    if named:
        app.registered_commands, app.registered_groups = named, []
    app()
