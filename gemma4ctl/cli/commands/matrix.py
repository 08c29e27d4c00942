"""``gemma4ctl matrix``: every plan that the profile table allows, checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.help import Command, command_app
from gemma4ctl.cli.options import ForceOption

if TYPE_CHECKING:
    from gemma4ctl.matrix.cases import Part
    from gemma4ctl.matrix.resolve import Outcome
    from gemma4ctl.profiles.table import Profiles

PROBLEMS_SHOWN = 20
FOUND = 4  # exit status: a command does not pass, or a plan changed

app = command_app()


class Form(str, Enum):
    """How the matrix is written."""

    markdown = "markdown"
    json = "json"


@app.command("matrix", cls=Command)
def matrix(
    form: Annotated[Form, typer.Option("--format", help="What to write.")] = Form.markdown,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.")
    ] = None,
    force: ForceOption = False,
    diff: Annotated[
        Path | None,
        typer.Option("--diff", metavar="OLD.json", help="Print what changed since this matrix."),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", metavar="NAME", help="Only this variant; repeatable."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="NAME", help="Only this platform; repeatable."),
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option("--release", metavar="VERSION", help="Only this release; repeatable."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", min=1, help="Processes (default: one a CPU)."),
    ] = None,
    profiles: Annotated[
        str | None,
        typer.Option("--profiles", metavar="FILE", help="Your own table, over the built-in one."),
    ] = None,
) -> None:
    """Plan everything that the table allows, and check it.

    Every variant, platform, checkpoint and release, with and without MTP, with text alone and with
    every input: each command must pass its release's own flags, and all output forms must agree.
    Exit status 4: something does not pass, or with --diff, a plan changed.

    Example: gemma4ctl matrix --release 0.5.16 --platform H200
    """
    from gemma4ctl.matrix import changes
    from gemma4ctl.matrix.run import run, usable_cpus

    began = time.perf_counter()
    old = changes.read(diff) if diff else None
    table = _table(profiles)
    part = _part(table, variant, platform, release)
    outcomes = run(table, part, jobs or usable_cpus())
    found = None
    if old is not None:
        from gemma4ctl.matrix.document import matrix_document

        found = changes.changes(old, matrix_document(outcomes, table.hash), part)
        sys.stdout.write(changes.to_text(found))
    if output is not None or found is None:
        _write(_text(outcomes, table, form), form, output, force=force)
    _say(outcomes, found, time.perf_counter() - began)
    raise typer.Exit(FOUND if found or any(o.problems for o in outcomes) else 0)


def _table(asked: str | None) -> Profiles:
    from gemma4ctl.profiles.load import load
    from gemma4ctl.settings import gather

    own = gather({"profiles": asked}).get("profiles")
    return load(Path(own) if own else None)


def _part(
    table: Profiles,
    variants: Sequence[str] | None,
    platforms: Sequence[str] | None,
    releases: Sequence[str] | None,
) -> Part:
    """The part of the matrix that was asked for, by the table's own names."""
    from gemma4ctl.matrix.cases import Part
    from gemma4ctl.profiles import lookup

    def named(name: Callable[[Profiles, str], str], asked: Sequence[str] | None) -> frozenset[str]:
        return frozenset(name(table, text) for text in asked or ())

    return Part(
        named(lookup.variant_name, variants),
        named(lookup.platform_name, platforms),
        named(lookup.release_name, releases),
    )


def _text(outcomes: Sequence[Outcome], table: Profiles, form: Form) -> str:
    from gemma4ctl.matrix.document import matrix_document, to_json, to_markdown

    if form is Form.json:
        return to_json(matrix_document(outcomes, table.hash))
    return to_markdown(outcomes, table.hash)


def _write(text: str, form: Form, output: Path | None, *, force: bool) -> None:
    from gemma4ctl.matrix.document import JSON_MARKER, MARKDOWN_MARKER
    from gemma4ctl.rendering.files import write_new

    if output is None:
        sys.stdout.write(text)
        return
    marker = JSON_MARKER if form is Form.json else MARKDOWN_MARKER
    write_new(output, text, marker=marker, force=force)


def _say(outcomes: Sequence[Outcome], found: list[Any] | None, seconds: float) -> None:
    """The problems, and how much was looked at."""
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.matrix.document import summary

    problems = [(outcome.case, problem) for outcome in outcomes for problem in outcome.problems]
    for case, problem in problems[:PROBLEMS_SHOWN]:
        say(f"{case}: {problem.form}: {problem.code}: {problem.message}")
    if len(problems) > PROBLEMS_SHOWN:
        say(f"and {len(problems) - PROBLEMS_SHOWN:,} more problems")
    counts = summary(outcomes)
    refusals = "".join(f", {number:,} {code}" for code, number in counts["refusals"].items())
    say(
        f"{counts['requests']:,} requests, {counts['plans']:,} plans "
        f"({counts['rendered']:,} rendered, {counts['commands']:,} different commands)"
        f"{refusals}; {counts['problems']:,} problems in {seconds:.1f} s"
    )
    if found is not None:
        say(f"{sum(len(change.cases) for change in found):,} entries differ")
