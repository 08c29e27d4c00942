"""A report for people: a line a check, as wide as the terminal, nothing said by colour alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.printable import printable
from gemma4ctl.verify.checks import CHECKS
from gemma4ctl.verify.report import Report, Result

NARROWEST, WIDEST = 60, 120
STYLES = {"pass": "green", "fail": "bold red", "skip": "yellow"}
_INDENT = 6
_NAME = max(len(check.name) for check in CHECKS) + 1
_TIME = 8


class Line(NamedTuple):
    """A line of text, and the style of its first ``styled`` characters."""

    text: str
    style: str = ""
    styled: int = 0


def result_lines(result: Result, width: int) -> Iterator[Line]:
    """One result: status, check, time, what was seen; a failure with its request below it."""
    width = max(NARROWEST, min(width, WIDEST))
    head = f"{result.status:<{_INDENT}}{result.check:<{_NAME}}{_time(result):>{_TIME}}  "
    said = f"{result.fault}: {result.detail}" if result.fault else result.detail
    if result.status == "pass" and result.unjudged:
        said += "; content not judged"
    first, *rest = textwrap.wrap(printable(said), width - len(head), break_long_words=True) or [""]
    yield Line(head + first, STYLES[result.status], len(result.status))
    for line in rest:
        yield Line(" " * len(head) + line)
    if result.curl:
        yield Line(f"{' ' * _INDENT}{result.curl}")


def plain_lines(report: Report, width: int = 100) -> list[str]:
    """The whole report without colour."""
    lines = [line.text for result in report.results for line in result_lines(result, width)]
    return [*lines, *closing_lines(report)]


def closing_lines(report: Report) -> list[str]:
    """The counts, and what random weights left open."""
    unjudged = dict.fromkeys(part for result in report.results for part in result.unjudged)
    lines = [f"verified {report.url}: {report.summary}"]
    if unjudged:
        lines.append(f"random weights leave open: {', '.join(unjudged)}")
    return lines


def _time(result: Result) -> str:
    return "" if result.status == "skip" else f"{result.seconds:.1f} s"
