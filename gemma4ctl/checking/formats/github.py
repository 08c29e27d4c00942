"""Findings as workflow commands, which GitHub shows beside the lines of a change.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Iterator

from gemma4ctl.checking.finding import Finding, Level
from gemma4ctl.checking.report import Checked, Report

_COMMANDS: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


def workflow_commands(report: Report) -> str:
    """One workflow command a line, those of files that could not be checked included."""
    return "".join(f"{line}\n" for file in report.files for line in _of_file(file))


def _of_file(file: Checked) -> Iterator[str]:
    for finding in file.findings:
        yield _command(_COMMANDS[finding.level], _properties(finding), _message(finding))
    if file.error:
        yield _command("error", {"file": file.path, "title": "gemma4ctl"}, file.error)


def _properties(finding: Finding) -> dict[str, object]:
    where: dict[str, object] = {"file": finding.path, "line": finding.place.line}
    where["col"] = finding.place.column
    if finding.end_column is not None:
        where |= {"endLine": finding.place.line, "endColumn": finding.end_column}
    return {**where, "title": f"gemma4ctl {finding.code}"}


def _message(finding: Finding) -> str:
    return f"{finding.message}\nTry: {finding.remedy}" if finding.remedy else finding.message


def _command(name: str, properties: dict[str, object], message: str) -> str:
    given = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{name} {given}::{_data(message)}"


def _data(text: str) -> str:
    """A message: what would end the command is written as its code."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The value of a property, where colons and commas separate too."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
