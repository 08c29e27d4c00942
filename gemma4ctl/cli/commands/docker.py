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
    from gemma4ctl.errors import UsageError
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
    dockerfile: Annotated[
        bool,
        typer.Option("--dockerfile", help="An image with the bundled model module instead."),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the file here."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the container.")
    ] = None,
    plan_file: PlanOption = None,
    json: JsonOption = False,
    explain: ExplainOption = False,
    force: ForceOption = False,
) -> None:
    """Print the plan as docker run, a Compose file or a Dockerfile.

    Example: gemma4ctl docker --model 31B --compose -o compose.yaml
    """
    from gemma4ctl.cli import show
    from gemma4ctl.cli.plans import stored_or_made

    _refuse_conflicts(compose or dockerfile, output=output, name=name, json=json)
    if compose and dockerfile:
        raise _conflict("--compose and --dockerfile exclude each other", "drop one of them")
    require_file(output, "--compose and --dockerfile without -o print the file")
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
    text = _text(plan, name, compose=compose, dockerfile=dockerfile)
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        _write(output, text, force, dockerfile=dockerfile)
    show.say_warnings(plan.warnings)


def _refuse_conflicts(file: bool, *, output: str | None, name: str | None, json: bool) -> None:
    """Raise UsageError for options that would be ignored beside each other.

    ``file``: a Compose file or Dockerfile is asked for.
    """
    if output is not None and not file:
        raise _conflict(
            "--output needs --compose or --dockerfile: a docker run command is printed",
            "add --compose",
            "or redirect: gemma4ctl docker ... > run.sh",
        )
    if json and (file or name is not None):
        other = "--compose or --dockerfile" if file else "--name"
        raise _conflict(
            f"--json and {other} exclude each other: --json prints the whole plan",
            f"drop --json or {other}",
        )
    if file and name is not None:
        raise _conflict(
            "--name names the container of a docker run command, not of a file",
            "drop --name; Compose names containers itself: docker compose -p NAME up",
        )


def _conflict(message: str, *remedies: str) -> UsageError:
    """The error for options that exclude each other."""
    from gemma4ctl.errors import UsageError

    return UsageError(message, remedies=list(remedies), code="conflicting-options")


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


def _text(plan: Plan, name: str | None, *, compose: bool, dockerfile: bool) -> str:
    if dockerfile:
        from gemma4ctl.rendering.dockerfile import dockerfile as dockerfile_text

        return dockerfile_text(plan)
    if compose:
        from gemma4ctl.rendering.compose import compose as compose_text

        return compose_text(plan)
    from gemma4ctl.rendering.docker_run import docker_shell

    return docker_shell(plan, name=name)


def _write(output: str, text: str, force: bool, *, dockerfile: bool) -> None:
    from pathlib import Path

    from gemma4ctl.cli.inputs import say
    from gemma4ctl.rendering.compose import MARKER
    from gemma4ctl.rendering.files import write_new

    write_new(Path(output), text, marker=MARKER, force=force)
    use = f"build it with: docker build --tag NAME - < {output}"
    if not dockerfile:
        use = f"start it with: docker compose -f {output} up -d"
    say(f"written: {output}; {use}")
