"""The machine-readable form of a report: the object that ``verify --json`` prints."""

from __future__ import annotations

from typing import Literal

from gemma4ctl import __version__
from gemma4ctl.model import Model
from gemma4ctl.verify.report import Report, Result, Status


class CheckDocument(Model):
    """One check. ``fault`` is a stable code; ``unjudged`` what random weights leave open."""

    name: str
    title: str
    status: Status
    detail: str
    seconds: float
    fault: str | None
    unjudged: tuple[str, ...]
    figures: dict[str, float]
    curl: str | None


class SummaryDocument(Model):
    """Totals."""

    passed: int
    failed: int
    skipped: int
    seconds: float


class VerifyDocument(Model):
    """One verification; checks in the order they ran."""

    schema_version: Literal[1] = 1
    kind: Literal["gemma4ctl-verify"] = "gemma4ctl-verify"
    gemma4ctl_version: str
    date: str
    url: str
    model: str
    variant: str | None
    sglang_version: str | None
    random_weights: bool
    summary: SummaryDocument
    checks: tuple[CheckDocument, ...]


def verify_document(report: Report) -> VerifyDocument:
    """``report`` as the object that is printed."""
    return VerifyDocument(
        gemma4ctl_version=__version__,
        date=report.date,
        url=report.url,
        model=report.model,
        variant=report.variant,
        sglang_version=report.release,
        random_weights=report.random_weights,
        summary=SummaryDocument(
            passed=report.count("pass"),
            failed=report.count("fail"),
            skipped=report.count("skip"),
            seconds=round(report.seconds, 3),
        ),
        checks=tuple(map(_check, report.results)),
    )


def _check(result: Result) -> CheckDocument:
    return CheckDocument(
        name=result.check,
        title=result.title,
        status=result.status,
        detail=result.detail,
        seconds=round(result.seconds, 3),
        fault=result.fault,
        unjudged=result.unjudged,
        figures={name: round(value, 6) for name, value in result.figures.items()},
        curl=result.curl,
    )
