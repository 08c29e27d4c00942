"""``gemma4ctl suggest``: the command, the reason for each flag, capacity, warnings."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import (
    ExplainOption,
    ForceOption,
    JsonOption,
    request_options,
    require_file,
)
from gemma4ctl.errors import UsageError

if TYPE_CHECKING:
    from gemma4ctl.planning.plan import Plan

app = command_app()


class Form(str, Enum):
    """How a plan is printed."""

    table = "table"
    shell = "shell"
    argv = "argv"
    json = "json"


@app.command("suggest", cls=Command, context_settings=AFTER_DASHES)
@request_options
def suggest(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    form: Annotated[
        Form | None, typer.Option("--format", help="What to print (default table).")
    ] = None,
    json: JsonOption = False,
    explain: ExplainOption = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write the plan to this file."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Print the SGLang command for this machine, and why.

    SGLang's own flags go after --; they win over the rules and are checked.

    Example: gemma4ctl suggest --model 26B-A4B --mtp
    """
    from gemma4ctl.cli.plans import stored_or_made

    if json and form not in (None, Form.json):
        raise UsageError(
            "--json and --format exclude each other",
            found=f"--json and --format {form.value}",
            code="conflicting-options",
        )
    require_file(output, "--json without -o prints the plan")
    planned = stored_or_made(None, flags, extra, "suggest")
    plan = planned.plan
    planned.keep_key()
    if output is not None:
        _write(plan, output, force)
    _print(plan, Form.json if json else form or Form.table, explain)


def _write(plan: Plan, output: str, force: bool) -> None:
    from pathlib import Path

    from gemma4ctl.cli.inputs import say
    from gemma4ctl.rendering.planfile import write_plan

    write_plan(plan, Path(output), force)
    say(f"plan written to {output}; run it with: gemma4ctl serve --plan {output}")


def _print(plan: Plan, form: Form, explain: bool) -> None:
    from gemma4ctl.cli import show

    if form is Form.json:
        from gemma4ctl.rendering.document import plan_document

        show.print_json(plan_document(plan))
    elif form is Form.argv:
        from gemma4ctl.rendering.command import argv, environment

        show.print_json({"argv": argv(plan), "env": environment(plan)})
        show.say_warnings(plan.warnings)
    elif form is Form.shell:
        from gemma4ctl.rendering.shell import shell

        print(shell(plan))
        show.say_warnings(plan.warnings)
    else:
        from gemma4ctl.rendering import table

        out = show.console()
        table.show(table.plan_table(plan, out.width), out)
    if explain:
        show.explain(plan, on_stderr=form is not Form.table)
