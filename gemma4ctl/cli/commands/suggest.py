"""``gemma4ctl suggest``: the command, the reason for each flag, capacity, warnings."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.options import ExplainOption, ForceOption, JsonOption, request_options

if TYPE_CHECKING:
    from gemma4ctl.planning.plan import Plan


class Form(str, Enum):
    """How a plan is printed."""

    table = "table"
    shell = "shell"
    argv = "argv"
    json = "json"


@request_options
def suggest(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    form: Annotated[Form, typer.Option("--format", help="What to print.")] = Form.table,
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
    from gemma4ctl.cli import inputs

    read = inputs.read(flags, extra, "suggest")
    plan = read.plan()
    if output is not None:
        _write(plan, output, force)
    if read.api_key is not None and read.request.api_key_config is not None:
        inputs.keep_key(read.request.api_key_config, read.api_key)
    _print(plan, Form.json if json else form, explain)


def _write(plan: Plan, output: str, force: bool) -> None:
    from pathlib import Path

    from gemma4ctl.cli.inputs import say
    from gemma4ctl.rendering.planfile import write_plan

    write_plan(plan, Path(output), force)
    say(f"plan written to {output}; run it with: gemma4ctl serve --plan {output}")


def _print(plan: Plan, form: Form, explain: bool) -> None:
    from gemma4ctl.cli.show import console, print_json, say_warnings

    if form is Form.json:
        from gemma4ctl.rendering.document import plan_document

        print_json(plan_document(plan))
    elif form is Form.argv:
        from gemma4ctl.rendering.command import argv, environment

        print_json({"argv": argv(plan), "env": environment(plan)})
        say_warnings(plan.warnings)
    elif form is Form.shell:
        from gemma4ctl.rendering.shell import shell

        print(shell(plan))
        say_warnings(plan.warnings)
    else:
        from gemma4ctl.rendering.table import explain_table, plan_table, show

        out = console()
        show(plan_table(plan, out.width), out)
        if explain:
            show(explain_table(plan), out)
