"""Makes YAML of templates (Helm, Jinja, GitHub expressions), character for character.

What a template expression gives is known only when it is rendered. Here its characters become
:data:`~gemma4ctl.checking.readers.yaml_tree.MASK`, so that everything else keeps its offset; lines
that hold only control expressions (``{{- if }}``) become blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.checking.readers.yaml_tree import MASK

_CONTROL = re.compile(
    r"(?:\{\{-?\s*(?:/\*|(?:if|else|end|range|with|define|block|break|continue)\b|\$\w*\s*:?=)|\{%|\{#)"
)
_INDENT = re.compile(r"\bn?indent\s+(\d{1,2})\b")
_REST_OF_LINE = re.compile(r"[^\S\n]*(?:\n|\Z)")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING = re.compile(r"\{[{%#]")


class Expression(NamedTuple):
    """A template expression: its offsets, and whether nothing else is on its lines."""

    start: int
    end: int
    alone: bool


def is_template(text: str) -> bool:
    """Whether ``text`` holds template expressions."""
    return "{{" in text or "{%" in text


def masked(text: str, *, inserted_items: bool) -> str:
    """``text`` with its template expressions masked; as long as ``text``.

    An expression alone on its line may insert anything: with ``inserted_items`` it becomes a list
    item where a list may go on, else it becomes blank.
    """
    pieces: list[str] = []
    position = 0
    above = ""  # the last line that is not blank
    for found in _expressions(text):
        between = text[position : found.start]
        above = _last_line(between[: between.rfind("\n") + 1]) or above
        written = text[found.start : found.end]
        if not found.alone:
            replacement = MASK * len(written)
        else:
            line_start = between.rfind("\n") + 1
            indent = len(between) - line_start
            between = between[:line_start]
            item = inserted_items and not _CONTROL.match(written) and _takes_item(above)
            replacement = _item(written, indent) if item else " " * (indent + len(written))
        pieces += [between, replacement]
        position = found.end
    return "".join([*pieces, text[position:]])


def _expressions(text: str) -> Iterator[Expression]:
    position = 0
    unclosed: set[str] = set()
    while opening := _OPENING.search(text, position):
        start = opening.start()
        closing = -1
        if opening[0] not in unclosed:
            closing = text.find(_CLOSING[opening[0]], start + 2)
        if closing < 0:
            unclosed.add(opening[0])
            position = start + 2
            continue
        end = closing + 2
        alone = _opens_line(text, position, start) and bool(_REST_OF_LINE.match(text, end))
        if not alone and opening[0] == "{{" and text[start - 1 : start] == "$":
            start -= 1  # a GitHub expression
        yield Expression(start, end, alone)
        position = end


def _opens_line(text: str, after: int, start: int) -> bool:
    """Whether only blanks stand before ``start`` on its line; another expression ends there."""
    line_start = text.rfind("\n", after, start) + 1
    return (line_start > 0 or after == 0) and not text[line_start or after : start].strip()


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _takes_item(above: str) -> bool:
    """Whether a list item may follow the line ``above``."""
    return above.rstrip().endswith(":") or above.lstrip().startswith("- ")


def _item(written: str, indent: int) -> str:
    """A list item as long as the expression ``written`` with its ``indent``."""
    length = indent + len(written)
    asked = _INDENT.search(written)
    column = min(int(asked[1]) if asked else indent, length - 3)
    return f"{' ' * column}- {MASK * (length - column - 2)}"
