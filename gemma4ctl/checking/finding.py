"""Findings: what is wrong with a launch, where, and what to write instead."""

from __future__ import annotations

from typing import Literal, NamedTuple

from gemma4ctl.checking.launch import Place

# error: SGLang refuses or crashes, or a secret is exposed; warning: it runs, but not as meant;
# note: style. Errors and warnings make `check` exit with 4.
Level = Literal["error", "warning", "note"]


class Fix(NamedTuple):
    """The text between two character offsets of the file, and what to put there."""

    start: int
    end: int
    text: str


class Finding(NamedTuple):
    """One problem. ``code`` is stable; ``release`` is the one it was judged for."""

    code: str
    level: Level
    path: str
    place: Place
    message: str
    remedy: str | None = None
    fix: Fix | None = None
    release: str | None = None
    end_column: int | None = None  # on the same line, exclusive; None: unknown
