"""Totals and exit statuses of a check."""

from __future__ import annotations

from typing import Literal

import pytest

from gemma4ctl.checking.finding import Finding, Fix
from gemma4ctl.checking.launch import Place
from gemma4ctl.checking.report import Checked, Report


def finding(level: Literal["error", "warning", "note"], fix: Fix | None = None) -> Finding:
    return Finding("unknown-flag", level, "f", Place(1, 1), "wrong", fix=fix)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ((), 0),
        ((Checked("a", findings=(finding("note"),)),), 0),
        ((Checked("a", findings=(finding("warning"),)),), 4),
        ((Checked("a"), Checked("b", findings=(finding("error"),))), 4),
        ((Checked("a", error="no"), Checked("b", findings=(finding("error"),))), 2),
    ],
)
def test_the_exit_status(files: tuple[Checked, ...], code: int) -> None:
    assert Report(files).exit_code == code


@pytest.mark.parametrize(
    ("files", "summary"),
    [
        ((), "0 launches in 0 files, no findings"),
        ((Checked("a", launches=1),), "1 launch in 1 file, no findings"),
        (
            (
                Checked("a", launches=2, findings=(finding("error"), finding("note"))),
                Checked("b", launches=1, findings=(finding("error", Fix(0, 1, "")),), fixed=3),
            ),
            "3 launches in 2 files, 2 errors, 1 note, 3 fixed, 1 fixable with --fix",
        ),
        ((Checked("a", error="no"),), "0 launches in 1 file, no findings, 1 failed"),
    ],
)
def test_the_summary(files: tuple[Checked, ...], summary: str) -> None:
    assert Report(files).summary == summary
