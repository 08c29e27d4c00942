"""The command of a plan as data: argv and environment. Every other form builds on these two."""

from __future__ import annotations

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
    return {d.env: str(d.value) for d in plan.decisions if d.env is not None and d.value is not None}
