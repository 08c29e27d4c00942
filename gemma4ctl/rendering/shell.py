"""The shell form of a plan: environment assignments, then one option a line, POSIX-quoted."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command


def shell(plan: Plan, *, one_line: bool = False) -> str:
    """The command of ``plan`` for ``/bin/sh``; no trailing newline.

    A POSIX shell makes exactly the argv and environment of :mod:`gemma4ctl.rendering.command` of
    it, whatever characters the values hold; nothing in them is ever executed. With ``one_line``
    it has no continuation lines (which :func:`shlex.split` does not know), for machines to read.
    """
    assignments = [
        f"{name}={shlex.quote(value)}" for name, value in command.environment(plan).items()
    ]
    arguments = command.lines(command.argv(plan), head=len(command.ENTRY))
    if one_line:
        return " ".join([*assignments, *map(shlex.join, arguments)])
    return "".join(f"{assignment} \\\n" for assignment in assignments) + join_lines(arguments)


def join_lines(lines: Iterable[Sequence[str]]) -> str:
    """One shell command from groups of words, a group a line, joined by backslash continuations."""
    return " \\\n  ".join(shlex.join(line) for line in lines)
