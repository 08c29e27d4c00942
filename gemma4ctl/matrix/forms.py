"""Renders every output form of a plan, and finds where two of them do not say the same."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command
from gemma4ctl.rendering.compose import compose_of, scalar
from gemma4ctl.rendering.container import (
    BIND_ADDRESS,
    NVIDIA_SELECTORS,
    ContainerSpec,
    HostContext,
    container,
)
from gemma4ctl.rendering.docker_run import shell_of
from gemma4ctl.rendering.document import plan_document
from gemma4ctl.rendering.shell import shell

FORMS = ("argv", "shell", "docker run", "compose", "plan document")
HOST = HostContext(hf_home="/root/.cache/huggingface")

_UNQUOTED = re.compile(r"[\w@%+=:,./\s-]*", re.ASCII)  # words that no shell would change


class Problem(NamedTuple):
    """Something wrong with one form of a plan."""

    form: str
    code: str
    message: str


def disagreements(plan: Plan) -> Iterator[Problem]:
    """Where the forms of ``plan`` differ in more than the container form may."""
    arguments, variables = command.argv(plan), command.environment(plan)
    assignments = [f"{name}={value}" for name, value in variables.items()]
    yield from _same("shell", shell_words(shell(plan)), [*assignments, *arguments])
    document = plan_document(plan, HOST)
    documented = document["command"]
    yield from _same("plan document", documented["argv"], arguments)
    yield from _same("plan document", documented["env"], variables)
    yield from _same("plan document", shell_words(documented["shell"]), [*assignments, *arguments])
    json.dumps(document)
    if plan.image is not None:
        yield from _container_forms(plan, arguments, variables, document["docker"]["argv"])


def _container_forms(
    plan: Plan, arguments: list[str], variables: dict[str, str], words: list[str]
) -> Iterator[Problem]:
    """The same for the forms that need an image; ``words`` are those of ``docker run``."""
    spec = container(plan, HOST)
    inside = command.with_flag_value(arguments, BIND_ADDRESS, "--host")
    kept = [item for item in variables.items() if item[0] not in NVIDIA_SELECTORS]
    yield from _same("docker run", list(spec.argv), inside)
    yield from _same("docker run", [spec.env.get(name) for name, _ in kept], [v for _, v in kept])
    yield from _same("docker run", shell_words(shell_of(spec)), words)
    yield from _same("docker run", words[-len(spec.argv) - 1 :], [spec.image, *spec.argv])
    assigned = [f"{name}={value}" for name, value in spec.env.items()]
    yield from _same("docker run", [word for word in assigned if word not in words], [])
    text = compose_of(plan, spec)
    yield from _same("compose", [line for line in _compose_lines(spec) if line not in text], [])


def _compose_lines(spec: ContainerSpec) -> Iterator[str]:
    """The pieces of a compose file that carry image, argv and environment."""
    yield f"    image: {scalar(spec.image)}\n"
    yield "    command:\n" + "".join(f"      - {scalar(word)}\n" for word in spec.argv) + "    env"
    for name, value in spec.env.items():
        yield f"      {name}: {scalar(value)}\n"


def shell_words(text: str) -> list[str]:
    """The words that a POSIX shell makes of the command ``text``."""
    joined = text.replace("\\\n", " ")
    return joined.split() if _UNQUOTED.fullmatch(joined) else shlex.split(joined)


def _same(form: str, found: object, expected: object) -> Iterator[Problem]:
    if found != expected:
        yield Problem(form, "forms-differ", f"{form} says {found}, not {expected}")
