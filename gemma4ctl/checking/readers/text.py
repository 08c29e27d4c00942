"""Reads text of no known kind, line by line: only some of it may be commands."""

from __future__ import annotations

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.excerpt import Excerpt, Lines
from gemma4ctl.checking.readers.shell import Context, read_lines
from gemma4ctl.checking.readers.variables import Variables


def read_text(path: str, text: str) -> list[Launch]:
    """The launches in the lines of ``text``."""
    return read_lines(Excerpt.of(text), Context(path, "text", Lines(text), Variables()))
