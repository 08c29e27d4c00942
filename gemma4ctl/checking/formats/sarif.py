"""Findings as a SARIF 2.1.0 log, for code scanning services and editors.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gemma4ctl import __version__
from gemma4ctl.checking.codes import CODES
from gemma4ctl.checking.finding import Finding, Fix
from gemma4ctl.checking.formats.columns import Columns
from gemma4ctl.checking.report import Checked, Report

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT = "gemma4ctl/v1"

Json = dict[str, Any]


def sarif_text(report: Report) -> str:
    """``report`` as the text of a SARIF log, in ASCII."""
    return json.dumps(sarif(report), indent=2) + "\n"


def sarif(report: Report) -> Json:
    """``report`` as a SARIF log with one run. Paths are relative to the working directory."""
    codes = sorted({finding.code for finding in report.findings})
    unread = [_notification(file) for file in report.files if file.error]
    invocation: Json = {"executionSuccessful": not unread, "exitCode": report.exit_code}
    if unread:
        invocation["toolExecutionNotifications"] = unread
    rules = [_rule(code) for code in codes]
    driver: Json = {"name": "gemma4ctl", "semanticVersion": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "newlineSequences": ["\r\n", "\r", "\n"],
        "invocations": [invocation],
        "results": [result for file in report.files for result in _results(file, codes)],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> Json:
    level, summary = CODES[code]
    sentence = f"{summary[0].upper()}{summary[1:]}."
    silence = f"A comment `gemma4ctl: ignore={code}` in the file silences it."
    return {
        "id": code,
        "shortDescription": {"text": sentence},
        "help": {"text": f"{sentence} {silence}"},
        "defaultConfiguration": {"level": level},
    }


def _results(file: Checked, codes: list[str]) -> Iterator[Json]:
    columns = Columns(file.text)
    seen: Counter[str] = Counter()
    for finding in file.findings:
        word = _word(finding, columns)
        identity = f"{finding.code} {word}"
        result: Json = {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": finding.level,
            "message": {"text": _message(finding)},
            "locations": [{"physicalLocation": _location(finding, columns)}],
            "partialFingerprints": {FINGERPRINT: _fingerprint(identity, seen[identity])},
        }
        if finding.fix is not None:
            result["fixes"] = [_fix(finding, finding.fix, columns)]
        seen[identity] += 1
        yield result


def _message(finding: Finding) -> str:
    return f"{finding.message}\nTry: {finding.remedy}" if finding.remedy else finding.message


def _location(finding: Finding, columns: Columns) -> Json:
    line, column = finding.place.line, finding.place.column
    region = {"startLine": line, "startColumn": columns.column(line, column)}
    if finding.end_column is not None:
        region["endColumn"] = columns.column(line, finding.end_column)
    return {"artifactLocation": _artifact(finding.path), "region": region}


def _artifact(path: str) -> Json:
    """Where a file is: relative to the sources, or anywhere on this machine."""
    if Path(path).is_absolute():
        return {"uri": f"file://{quote(os.fsencode(path))}"}
    return {"uri": quote(os.fsencode(os.path.normpath(path))), "uriBaseId": "SRCROOT"}


def _fix(finding: Finding, fix: Fix, columns: Columns) -> Json:
    start, end = columns.place(fix.start), columns.place(fix.end)
    replacement = {
        "deletedRegion": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
        "insertedContent": {"text": fix.text},
    }
    artifact = _artifact(finding.path)
    return {
        "description": {"text": finding.remedy or "Apply the fix."},
        "artifactChanges": [{"artifactLocation": artifact, "replacements": [replacement]}],
    }


def _word(finding: Finding, columns: Columns) -> str:
    """The word the finding is about, without a value, which may be a secret."""
    line, column = finding.place.line, finding.place.column
    return columns.between(line, column, finding.end_column or column).partition("=")[0]


def _fingerprint(identity: str, earlier: int) -> str:
    """What stays the same while lines move: code and word, and which of its kind it is."""
    return hashlib.sha256(f"{identity} {earlier}".encode(errors="replace")).hexdigest()[:32]


def _notification(file: Checked) -> Json:
    location = {"physicalLocation": {"artifactLocation": _artifact(file.path)}}
    return {"level": "error", "message": {"text": file.error}, "locations": [location]}
