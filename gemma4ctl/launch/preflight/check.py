"""The result of one preflight check."""

from __future__ import annotations

from typing import Literal

from gemma4ctl.model import Model

CheckStatus = Literal["ok", "warn", "fail"]


class Check(Model):
    """What was needed and found, and what to do where that is not enough."""

    name: str
    status: CheckStatus
    found: str
    needed: str
    remedy: str | None = None


def ok(name: str, found: str, needed: str) -> Check:
    """A check that passed."""
    return Check(name=name, status="ok", found=found, needed=needed)


def warn(name: str, found: str, needed: str, remedy: str) -> Check:
    """A check that found something to know before launching."""
    return Check(name=name, status="warn", found=found, needed=needed, remedy=remedy)


def fail(name: str, found: str, needed: str, remedy: str) -> Check:
    """A check that makes launching pointless."""
    return Check(name=name, status="fail", found=found, needed=needed, remedy=remedy)


def gib(mib: float) -> str:
    """``mib`` MiB for the reader, in GiB."""
    return f"{mib / 1024:.1f} GiB"
