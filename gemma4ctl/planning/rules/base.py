"""What a rule is.

A rule is a small pure function of the situation that yields outcomes: a value it chooses, or a
warning. It raises :class:`~gemma4ctl.errors.NoPlanError` where no plan is possible. Its id, source
and severity stand beside it; its docstring says what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gemma4ctl.planning.plan import Severity, Value
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import Status


class Choose(NamedTuple):
    """A value chosen. ``source`` defaults to the rule's, ``status`` to what arithmetic gives."""

    name: str
    value: Value
    reason: str
    flag: str | None = None
    env: str | None = None
    status: Status = "estimated"
    source: str | None = None
    origin: str = "rule"


class Warn(NamedTuple):
    """Something to tell the user. ``severity`` defaults to the rule's."""

    code: str
    message: str
    remedy: str
    severity: Severity | None = None


Outcomes = Iterator[Choose | Warn]


class Rule(NamedTuple):
    """A rule: ``source`` is a key of the profile table's sources, or a sentence."""

    id: str
    source: str
    severity: Severity
    apply: Callable[[Situation], Outcomes]

    @property
    def purpose(self) -> str:
        """The first line of the rule's docstring."""
        return (self.apply.__doc__ or "").strip().splitlines()[0]


def rule(
    rule_id: str, *, source: str, severity: Severity
) -> Callable[[Callable[[Situation], Outcomes]], Rule]:
    """Make a rule of a function."""

    def wrap(function: Callable[[Situation], Outcomes]) -> Rule:
        return Rule(rule_id, source, severity, function)

    return wrap
