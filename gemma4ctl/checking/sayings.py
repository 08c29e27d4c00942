"""What the rules say of a launch, in the words of a finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gemma4ctl.errors import Gemma4ctlError

if TYPE_CHECKING:
    from gemma4ctl.planning.engine import Verdict


def said(verdict: Verdict | Gemma4ctlError) -> Iterator[tuple[str, str, str | None]]:
    """Code, message and remedy of everything that a verdict says."""
    if isinstance(verdict, Gemma4ctlError):
        yield verdict.code or "", _sentence(verdict), next(iter(verdict.remedies), None)
        return
    for warning in verdict.warnings:
        yield warning.code, warning.message, warning.remedy
    for _, refusal in verdict.refusals:
        yield refusal.code or "", _sentence(refusal), next(iter(refusal.remedies), None)


def _sentence(error: Gemma4ctlError) -> str:
    needed = f"; needed: {error.needed}" if error.needed else ""
    found = f"; found: {error.found}" if error.found else ""
    return f"{error.message}{needed}{found}"


def audio_let_through(variant: str) -> tuple[str, str]:
    """Message and remedy for a launch of ``variant`` that lacks the flag that the rules add."""
    from gemma4ctl.planning.rules.serving import NO_AUDIO, ends_on_audio

    return ends_on_audio(variant), f"add --limit-mm-data-per-request '{NO_AUDIO}'"
