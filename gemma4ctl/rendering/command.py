"""The command of a plan as data: argv and environment. Every other form builds on these two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gemma4ctl.planning.plan import Decision, Plan

ENTRY = ("sglang", "serve")


def words(decision: Decision) -> list[str]:
    """The command-line words of one decision; [] when it has no flag or renders to nothing."""
    value = decision.value
    if decision.flag is None or value is None or value is False:
        return []
    if value is True:
        return [decision.flag]
    if isinstance(value, tuple):
        return [decision.flag, *value]
    return [decision.flag, str(value)]


def argv(plan: Plan) -> list[str]:
    """The argument vector of ``plan``, starting with ``sglang serve``."""
    flags = [word for decision in plan.decisions for word in words(decision)]
    return [*ENTRY, *flags, *plan.extra_args]


def environment(plan: Plan) -> dict[str, str]:
    """The environment variables of ``plan``, in the order of its decisions; no secrets."""
    return {
        d.env: str(d.value) for d in plan.decisions if d.env is not None and d.value is not None
    }


def flag_value(arguments: Sequence[str], *flags: str) -> str | None:
    """The value SGLang would use for an option spelled as any of ``flags``: the last one given.

    Understands ``--flag value`` and ``--flag=value``; None when the option is absent.
    """
    found = None
    for position in [p for p, word in enumerate(arguments) if word.startswith(flags)]:
        name, equals, value = arguments[position].partition("=")
        if name not in flags:
            continue
        if equals:
            found = value
        elif position + 1 < len(arguments):
            found = arguments[position + 1]
    return found


def with_flag_value(arguments: Iterable[str], value: str, *flags: str) -> list[str]:
    """``arguments`` with the value of every option spelled as one of ``flags`` replaced."""
    replaced: list[str] = []
    for word in arguments:
        name, equals, _ = word.partition("=")
        if replaced and replaced[-1] in flags:
            replaced.append(value)
        elif equals and name in flags:
            replaced.append(f"{name}={value}")
        else:
            replaced.append(word)
    return replaced


def lines(arguments: Sequence[str], *, head: int) -> list[list[str]]:
    """``arguments`` grouped for reading: the first ``head`` words, then one option a line."""
    grouped = [list(arguments[:head])]
    for word in arguments[head:]:
        if word.startswith("--"):
            grouped.append([word])
        else:
            grouped[-1].append(word)
    return grouped
