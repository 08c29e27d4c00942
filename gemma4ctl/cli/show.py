"""Printing: data on stdout, messages on stderr, colour only where it is wanted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gemma4ctl.cli.inputs import say

if TYPE_CHECKING:
    from rich.console import Console, Group

    from gemma4ctl.planning.plan import Plan, PlanWarning


def console(*, on_stderr: bool = False) -> Console:
    """A console: no escape codes with NO_COLOR, TERM=dumb or without a terminal."""
    from rich.console import Console

    plain = "NO_COLOR" in os.environ
    return Console(
        stderr=on_stderr, highlight=False, no_color=plain, force_terminal=False if plain else None
    )


def print_json(document: Any) -> None:
    """One JSON object on stdout, in ASCII: readable in every locale."""
    print(json.dumps(document, indent=2), flush=True)


def explain(plan: Plan, *, on_stderr: bool) -> None:
    """Rule, reason, source and origin of every value of ``plan``, and what was asked for."""
    from gemma4ctl.rendering.table import explain_table, show

    out = console(on_stderr=on_stderr)
    show(explain_table(plan), out)
    for name, origin in sorted(plan.request.origins.items()):
        value = _cell(getattr(plan.request, name))
        out.print(f"asked for: {name} = {value} [from {origin}]", markup=False, soft_wrap=True)


def say_warnings(warnings: Sequence[PlanWarning]) -> None:
    """The warnings of a plan on stderr, for outputs that hold only a command."""
    for warning in warnings:
        say(f"{warning.severity}: {warning.message}\n           {warning.remedy}")


def row_tables(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> Group:
    """Each section as a table with its own columns."""
    from rich.console import Group
    from rich.table import Table

    tables = []
    for title, rows in sections.items():
        table = Table(title=title, title_justify="left", box=None, header_style="bold")
        for name, value in rows[0].items():
            number = isinstance(value, int) and not isinstance(value, bool)
            table.add_column(name.replace("_", " "), overflow="fold", no_wrap=number)
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        tables.append(table)
    return Group(*tables)


def row_lines(entry: Mapping[str, Any]) -> str:
    """One entry as YAML, which reads well and can be pasted into a table of one's own."""
    import yaml

    return yaml.safe_dump(dict(entry), sort_keys=False, allow_unicode=True, width=100).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
