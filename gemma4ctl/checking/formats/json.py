"""The machine-readable form of a check: the object that ``--format json`` prints."""

from __future__ import annotations

from typing import Literal

from gemma4ctl import __version__
from gemma4ctl.checking.finding import Finding, Level
from gemma4ctl.checking.report import Checked, Report
from gemma4ctl.model import Model


class FixDocument(Model):
    """What to write in the place of the characters ``start`` to ``end`` (exclusive, from 0).

    They are counted in Unicode characters of the file, a byte order mark included.
    """

    start: int
    end: int
    text: str


class FindingDocument(Model):
    """One problem. Lines and columns count from 1, columns in characters; ``end_column`` is the
    first one after the problem. ``release`` is the SGLang release, or the releases, it is true of.
    """

    code: str
    level: Level
    path: str
    line: int
    column: int
    end_column: int | None
    message: str
    remedy: str | None
    release: str | None
    fix: FixDocument | None


class FileDocument(Model):
    """One file. ``error`` says why it could not be checked or fixed; ``fixed`` counts changes."""

    path: str
    launches: int
    fixed: int
    error: str | None


class SummaryDocument(Model):
    """Totals."""

    files: int
    launches: int
    errors: int
    warnings: int
    notes: int
    fixed: int


class CheckDocument(Model):
    """One check: the files in the order they were given, and the findings in the same order."""

    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    files: tuple[FileDocument, ...]
    findings: tuple[FindingDocument, ...]
    summary: SummaryDocument


def json_text(report: Report) -> str:
    """``report`` as the text of a JSON object, in ASCII."""
    import json

    return json.dumps(check_document(report).model_dump(mode="python"), indent=2) + "\n"


def check_document(report: Report) -> CheckDocument:
    """``report`` as the object that is printed."""
    return CheckDocument(
        gemma4ctl_version=__version__,
        files=tuple(map(_file, report.files)),
        findings=tuple(map(_finding, report.findings)),
        summary=SummaryDocument(
            files=len(report.files),
            launches=sum(file.launches for file in report.files),
            errors=report.count("error"),
            warnings=report.count("warning"),
            notes=report.count("note"),
            fixed=sum(file.fixed for file in report.files),
        ),
    )


def _file(file: Checked) -> FileDocument:
    return FileDocument(
        path=file.path,
        launches=file.launches,
        fixed=file.fixed,
        error=file.error,
    )


def _finding(finding: Finding) -> FindingDocument:
    fix = finding.fix
    return FindingDocument(
        code=finding.code,
        level=finding.level,
        path=finding.path,
        line=finding.place.line,
        column=finding.place.column,
        end_column=finding.end_column,
        message=finding.message,
        remedy=finding.remedy,
        release=finding.release,
        fix=FixDocument(start=fix.start, end=fix.end, text=fix.text) if fix else None,
    )
