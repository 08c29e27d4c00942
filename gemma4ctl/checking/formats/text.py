"""Findings for people: a line each as editors and compilers write it, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from gemma4ctl.checking.finding import Finding, Level
from gemma4ctl.checking.report import Report
from gemma4ctl.printable import printable

_COLOURS: dict[Level, int] = {"error": 31, "warning": 33, "note": 36}


def text(report: Report, *, colour: bool = False) -> str:
    """``path:line:column: level[code]: message`` for each finding, its remedy below it."""
    return "".join(f"{line}\n" for finding in report.findings for line in _lines(finding, colour))


def _lines(finding: Finding, colour: bool) -> Iterator[str]:
    kind = f"{finding.level}[{finding.code}]"
    if colour:
        kind = f"\x1b[1;{_COLOURS[finding.level]}m{kind}\x1b[0m"
    at = f"{finding.path}:{finding.place.line}:{finding.place.column}"
    yield f"{_one_line(at)}: {kind}: {_one_line(finding.message)}"
    if finding.remedy:
        yield f"    try: {_one_line(finding.remedy)}"


def _one_line(words: str) -> str:
    return printable(" ".join(words.splitlines()))
