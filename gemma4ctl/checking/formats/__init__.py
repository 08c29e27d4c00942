"""The forms of a report: text for people, JSON and SARIF for programs, annotations for GitHub."""

from __future__ import annotations

from typing import Literal

from gemma4ctl.checking.report import Report

Format = Literal["text", "json", "sarif", "github"]


def render(report: Report, form: Format, *, colour: bool = False) -> str:
    """``report`` in the form asked for, ending in a line feed unless empty."""
    if form == "text":
        from gemma4ctl.checking.formats.text import text

        return text(report, colour=colour)
    if form == "json":
        from gemma4ctl.checking.formats.json import json_text

        return json_text(report)
    if form == "sarif":
        from gemma4ctl.checking.formats.sarif import sarif_text

        return sarif_text(report)
    from gemma4ctl.checking.formats.github import workflow_commands

    return workflow_commands(report)
