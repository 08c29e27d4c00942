"""``gemma4ctl docker``: the plan as ``docker run`` or a Compose file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import (
    ExplainOption,
    ForceOption,
    JsonOption,
    PlanOption,
    request_options,
    require_file,
)

if TYPE_CHECKING:
    from gemma4ctl.planning.plan import Plan

app = command_app()


@app.command("docker", cls=Command, context_settings=AFTER_DASHES)
@request_options
def docker(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    compose: Annotated[
        bool, typer.Option("--compose", help="A Compose file instead of a command.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the Compose file here."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the container.")
    ] = None,
    plan_file: PlanOption = None,
    json: JsonOption = False,
    explain: ExplainOption = False,
    force: ForceOption = False,
) -> None:
    """Print the plan as a docker run command or a Compose file.

    Example: gemma4ctl docker --model 31B --compose -o compose.yaml
    """
    from gemma4ctl.cli import show
    from gemma4ctl.cli.plans import stored_or_made

    _refuse_conflicts(compose=compose, output=output, name=name, json=json)
    require_file(output, "--compose without -o prints the Compose file")
    _require_name(name)
    planned = stored_or_made(plan_file, flags, extra, "docker")
    planned.keep_key()
    plan = planned.plan
    if explain:
        show.explain(plan, on_stderr=True)
    if json:
        from gemma4ctl.rendering.document import plan_document

        show.print_json(plan_document(plan))
        return
    text = _text(plan, compose, name)
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        _write(output, text, force)
    show.say_warnings(plan.warnings)


def _refuse_conflicts(*, compose: bool, output: str | None, name: str | None, json: bool) -> None:
    """Raise UsageError for options that would be ignored beside each other."""
    from gemma4ctl.errors import UsageError

    if output is not None and not compose:
        raise UsageError(
            "--output needs --compose: a docker run command is printed",
            remedies=["add --compose", "or redirect: gemma4ctl docker ... > run.sh"],
            code="conflicting-options",
        )
    if json and (compose or name is not None):
        other = "--compose" if compose else "--name"
        raise UsageError(
            f"--json and {other} exclude each other: --json prints the whole plan",
            remedies=[f"drop --json or {other}"],
            code="conflicting-options",
        )
    if compose and name is not None:
        raise UsageError(
            "--name names the container of a docker run command, not of a Compose file",
            remedies=["drop --name; Compose names containers itself: docker compose -p NAME up"],
            code="conflicting-options",
        )


def _require_name(name: str | None) -> None:
    """Raise UsageError for a name that docker does not take."""
    import re

    from gemma4ctl.errors import UsageError

    if name is not None and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", name):
        raise UsageError(
            f"--name does not take {name!r}",
            needed="a container name: two or more letters, digits, _ . -, "
            "starting with a letter or digit",
            code="bad-value",
        )


def _text(plan: Plan, compose: bool, name: str | None) -> str:
    if compose:
        from gemma4ctl.rendering.compose import compose as compose_text

        return compose_text(plan)
    from gemma4ctl.rendering.docker_run import docker_shell

    return docker_shell(plan, name=name)


def _write(output: str, text: str, force: bool) -> None:
    from pathlib import Path

    from gemma4ctl.cli.inputs import say
    from gemma4ctl.rendering.compose import MARKER
    from gemma4ctl.rendering.files import write_new

    write_new(Path(output), text, marker=MARKER, force=force)
    say(f"written: {output}; start it with: docker compose -f {output} up -d")
