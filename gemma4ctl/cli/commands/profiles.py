"""``gemma4ctl profiles``: the fact table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gemma4ctl.cli.help import command_app
from gemma4ctl.cli.options import JsonOption

app = command_app(
    help="List, show and validate the profile table.",
    no_args_is_help=True,
)
TableOption = Annotated[
    Path | None,
    typer.Option("--profiles", metavar="FILE", help="Your own table, over the built-in one."),
]


@app.command("list")
def list_entries(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="variants, platforms, releases, ...")
    ] = None,
    profiles: TableOption = None,
    json: JsonOption = False,
) -> None:
    """List what the table holds."""
    from gemma4ctl.cli.show import console, print_json, row_tables
    from gemma4ctl.errors import UsageError
    from gemma4ctl.profiles.load import load
    from gemma4ctl.profiles.views import list_rows

    rows = list_rows(load(_table(profiles)))
    if kind is not None and kind not in rows:
        raise UsageError(
            f"the table has no kind {kind!r}", needed=", ".join(rows), code="kind-unknown"
        )
    chosen = {name: rows[name] for name in rows if kind in (None, name)}
    if json:
        print_json({"schema_version": 1, **chosen})
    else:
        console().print(row_tables(chosen))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A variant, platform or release.")],
    profiles: TableOption = None,
    json: JsonOption = False,
) -> None:
    """Show everything known about one entry, with its sources."""
    from gemma4ctl.cli.show import print_json, row_lines
    from gemma4ctl.profiles.load import load
    from gemma4ctl.profiles.views import show as show_entry

    entry = show_entry(load(_table(profiles)), name)
    if json:
        print_json({"schema_version": 1, **entry})
    else:
        print(row_lines(entry))


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A profile table of your own.")],
) -> None:
    """Check a profile table: file, line, field and the allowed values of each problem."""
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.errors import ProblemsFoundError
    from gemma4ctl.profiles.views import validate as find_problems

    problems = find_problems(file)
    for problem in problems:
        print(problem)
    if problems:
        raise ProblemsFoundError(f"{len(problems)} problem(s) in {file}", code="profile-invalid")
    say(f"{file}: no problems")


@app.command()
def schema() -> None:
    """Print the JSON schema of the table, for editors."""
    from gemma4ctl.profiles.schema import schema_text

    print(schema_text(), end="")


def _table(asked: Path | None) -> Path | None:
    """The user's own table: asked for, else named by the environment or an options file."""
    from gemma4ctl.settings import gather

    found = gather({"profiles": asked}).get("profiles")
    return Path(found) if found else None
