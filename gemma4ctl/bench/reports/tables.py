"""Comparisons as tables for a terminal. This module imports rich: import it where it is used."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gemma4ctl.bench.reports.compare import Comparison, Difference, Row
from gemma4ctl.bench.reports.figures import BY_NAME, number
from gemma4ctl.bench.reports.reference import Published, Reference, Value

STYLES = {"better": "green", "worse": "bold red", "within noise": "", "noise unknown": "yellow"}


def comparison(found: Comparison) -> Group:
    """Two results: a table for each scenario, what differs, what was left out."""
    parts: list[RenderableType] = []
    for scenario in dict.fromkeys(row.scenario for row in found.rows):
        rows = [row for row in found.rows if row.scenario == scenario]
        runs = f"{rows[0].old_runs} and {rows[0].new_runs} runs"
        table = _table(f"{scenario} ({runs})", "figure", "old", "new", "gain", "95%", "verdict")
        for row in rows:
            table.add_row(*_comparison_cells(row), style=STYLES[row.verdict])
        parts += [table, Text()]
    parts.append(Text("A gain above 1 is better, for rates and for times."))
    parts += [Text(_difference(each)) for each in found.differences]
    parts += [Text(f"not compared: {each}") for each in found.skipped]
    return Group(*parts)


def _comparison_cells(row: Row) -> tuple[str, ...]:
    figure = BY_NAME[row.figure]
    bounds = "-" if row.low is None else f"{row.low:.3f} to {row.high:.3f}"
    return (
        f"{figure.title}, {figure.unit}",
        number(row.old),
        number(row.new),
        f"{row.gain:.3f}",
        bounds,
        row.verdict,
    )


def _difference(each: Difference) -> str:
    mark = "NOT COMPARABLE" if each.matters else "changed"
    return f"{mark}: {each.what}: {each.old} -> {each.new}"


def reference(found: Reference) -> Group:
    """Published figures beside measured ones, then the nearest published ones without."""
    parts: list[RenderableType] = []
    for row in found.rows:
        release = row.release or "development"
        title = f"{row.scenario}, published in {row.source} (SGLang {release})"
        table = _table(None, "figure", "published", "yours", "gain")
        for value in row.values:
            table.add_row(*_reference_cells(value))
        parts += [Text(title, style="italic"), table, Text()]
    if found.rows:
        parts.append(Text("A gain above 1 is better, for rates and for times."))
    else:
        parts.append(Text("Nothing comparable is published."))
    if found.not_comparable:
        table = _table("\nPublished, not comparable", "run", "figures", "because")
        for row in found.not_comparable:
            table.add_row(name_of(row), "\n".join(_figures(row)), "; ".join(row.why_not))
        parts.append(table)
    parts += [Text(problem) for problem in found.problems]
    return Group(*parts)


def _reference_cells(value: Value) -> tuple[str, ...]:
    return (
        f"{value.title}, {value.unit}",
        number(value.published),
        "-" if value.measured is None else number(value.measured),
        "-" if value.gain is None else f"{value.gain:.3f}",
    )


def name_of(row: Published) -> str:
    """A published run in a few words."""
    gpus = f"{row.tp} x {row.platform}"
    mtp = ", MTP" if row.mtp else ""
    return f"{gpus}{mtp}, {row.workload}, {row.concurrency} at a time"


def _figures(row: Published) -> Iterator[str]:
    for value in row.values:
        yield f"{value.title} {number(value.published)} {value.unit}"


def _table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    numeric = {"old", "new", "gain", "published", "yours"}
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    return table
