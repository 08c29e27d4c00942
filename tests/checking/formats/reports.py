"""Constructed reports for the tests of the formats."""

from __future__ import annotations

from gemma4ctl.checking.finding import Finding, Fix, Level
from gemma4ctl.checking.launch import Place
from gemma4ctl.checking.report import Checked, Report

TEXT = "# 😀 start\r\nécho 😀; sglang serve --model-path m --tpp 2\r\n"
START = TEXT.index("--tpp")


def finding(
    path: str = "a/run.sh",
    code: str = "unknown-flag",
    level: Level = "error",
    *,
    place: Place = Place(2, 37),  # noqa: B008
    message: str = "SGLang 0.5.16 has no flag --tpp. Did you mean --tp?",
    fix: Fix | None = None,
) -> Finding:
    return Finding(
        code=code,
        level=level,
        path=path,
        place=place,
        message=message,
        remedy="write --tp-size" if fix else None,
        fix=fix,
        release="0.5.16",
        end_column=place.column + 5,
    )


FIXABLE = finding(fix=Fix(START, START + 5, "--tp-size"))
NOTE = finding(code="abbreviated-flag", level="note", place=Place(2, 19), message="100%: a,b")
WARNING = finding(code="remote-code", level="warning", place=Place(1, 1), message="two\nlines")
REPORT = Report(
    (
        Checked("a/run.sh", TEXT, 1, (WARNING, NOTE, FIXABLE)),
        Checked("clean.md", "", 2),
        Checked("b,c:%.sh", error="Cannot read it\n  try:   chmod"),
    )
)
