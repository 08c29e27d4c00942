"""``gemma4ctl check``: no command that SGLang would refuse, in any file."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from gemma4ctl.cli.help import Command, command_app
from gemma4ctl.cli.plain import keep_text
from gemma4ctl.errors import UsageError

if TYPE_CHECKING:
    from gemma4ctl.checking.files import Target
    from gemma4ctl.checking.formats import Format
    from gemma4ctl.checking.judge import Options
    from gemma4ctl.checking.report import Checked, Report

COMMAND = "gemma4ctl.check.command"  # where the words after -- are kept
STDIN = "-"
FORMATS: tuple[Format, ...] = ("text", "json", "sarif", "github")

app = command_app()


class WithCommand(Command):
    """A command that keeps the words after ``--`` apart from its own arguments, which stay text."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, which stay text."""
        return keep_text(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments before ``--``."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


@app.command("check", cls=WithCommand)
def check(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Files or folders; - for standard input."),
    ] = None,
    sglang_version: Annotated[
        str | None,
        typer.Option(
            "--sglang-version",
            metavar="VERSION|all",
            help="SGLang release (default: what the file names, else 0.5.16).",
        ),
    ] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", metavar="NAME", help="Platform it must run on.")
    ] = None,
    gpus: Annotated[
        str | None, typer.Option("--gpus", metavar="N", help="How many GPUs there are.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="text|json|sarif|github", help="What to print."),
    ] = "text",
    fix: Annotated[bool, typer.Option("--fix", help="Correct the files in place.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print what --fix would change, and change nothing.")
    ] = False,
    stdin_name: Annotated[
        str | None,
        typer.Option("--stdin-name", metavar="NAME", help="File name that says what - holds."),
    ] = None,
) -> None:
    """Check files that launch SGLang, or a command after --.

    Shell scripts, Markdown, Dockerfiles, Compose, Kubernetes, Helm, systemd and Slurm files are
    read; the findings are those of the release's own argument parser and of our rules.

    Example: gemma4ctl check --hardware H100 deploy/ README.md
    """
    from gemma4ctl.checking.report import Report

    if form not in FORMATS:
        raise _no_choice("--format", form, ", ".join(FORMATS))
    if diff and (fix or form != "text"):
        raise _conflict("--diff", "--fix" if fix else f"--format {form}")
    options = _options(sglang_version, hardware, gpus)
    targets = _targets(files or [], ctx.meta.get(COMMAND), stdin_name, fix=fix)
    found = [target.examine(options) for target in targets]
    if COMMAND in ctx.meta and not found[0].launches:
        raise _no_launch(ctx.meta[COMMAND])
    if diff or fix:
        after = [t.mended(one, options) for t, one in zip(targets, found, strict=True)]
        if diff:
            _print_changes(found, after)
        else:
            found = [t.write(*pair) for t, *pair in zip(targets, found, after, strict=True)]
    report = Report(tuple(found))
    _print(report, form, sys.stderr if diff else sys.stdout)
    _say(report)
    raise typer.Exit(report.exit_code)


def _targets(
    files: Sequence[str], command: Sequence[str] | None, stdin_name: str | None, *, fix: bool
) -> list[Target]:
    """What to check."""
    from gemma4ctl.checking.files import Target, expand
    from gemma4ctl.checking.readers.inputs import load

    if command is not None:
        if files or fix:
            raise _conflict("a command after --", files[0] if files else "--fix")
        return [Target("<command>", Path("command.sh"), shlex.join(command))]
    if not files:
        raise UsageError(
            "nothing to check",
            needed="files, folders, - for standard input, or a command after --",
            remedies=[
                "gemma4ctl check .",
                "gemma4ctl check -- sglang serve --model-path google/gemma-4-E4B-it",
            ],
            code="nothing-to-check",
        )
    paths = expand([Path(file) for file in files if file != STDIN])
    targets = [Target(str(path), path) for path in paths]
    if STDIN not in files:
        return targets
    if fix:
        raise _conflict(STDIN, "--fix", "--diff prints what --fix would change")
    path = Path(stdin_name) if stdin_name else None
    return [Target(stdin_name or "<stdin>", path, load(STDIN)), *targets]


def _options(sglang_version: str | None, hardware: str | None, gpus: str | None) -> Options:
    """The options, with the names in them known."""
    from gemma4ctl.checking.judge import Options
    from gemma4ctl.checking.releases import ALL

    if sglang_version is not None and sglang_version != ALL:
        sglang_version = _release(sglang_version)
    if hardware is not None:
        from gemma4ctl.profiles.load import load
        from gemma4ctl.profiles.lookup import platform_name

        hardware = platform_name(load(), hardware)
    if gpus is not None and not (gpus.isdecimal() and int(gpus)):
        raise _no_choice("--gpus", gpus, "a number from 1")
    return Options(sglang_version, hardware, int(gpus) if gpus else None)


def _release(name: str) -> str:
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(name))
    except InvalidVersion:
        needed = "a version such as 0.5.16, or all"
        raise _no_choice("--sglang-version", name, needed) from None


def _no_choice(option: str, value: str, needed: str) -> UsageError:
    return UsageError(
        f"{option} does not take {value!r}", needed=needed, found=value, code="bad-value"
    )


def _no_launch(command: Sequence[str]) -> UsageError:
    return UsageError(
        "the command starts no SGLang server",
        needed="sglang serve ..., or python -m sglang.launch_server ...",
        found=shlex.join(command) or "nothing after --",
        code="no-launch",
    )


def _conflict(one: str, other: str, *remedies: str) -> UsageError:
    return UsageError(
        f"{one} and {other} exclude each other", remedies=remedies, code="conflicting-options"
    )


def _print(report: Report, form: Format, stream: TextIO) -> None:
    from gemma4ctl.checking.formats import render

    colour = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    stream.write(render(report, form, colour=colour))


def _print_changes(before: Sequence[Checked], after: Sequence[Checked]) -> None:
    from gemma4ctl.checking.fix import difference

    for old, new in zip(before, after, strict=True):
        sys.stdout.write(difference(old.path, old.text, new.text))


def _say(report: Report) -> None:
    """What could not be checked or fixed, and the summary."""
    failures = [file.error for file in report.files if file.error]
    for message in (*failures, report.summary):
        print(f"gemma4ctl: {message}", file=sys.stderr)
