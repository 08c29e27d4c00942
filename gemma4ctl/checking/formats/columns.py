"""Places in a text in UTF-16 units, which SARIF and the editors that read it count in."""

from __future__ import annotations

import re
from bisect import bisect_right

from gemma4ctl.checking.launch import Place

_LINE_END = re.compile(r"\r\n|\r|\n")


class Columns:
    """The lines of a text, and the columns in them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def place(self, offset: int) -> Place:
        """The place, in UTF-16 units, of the character at ``offset``."""
        line = bisect_right(self._starts, offset)
        return Place(line, 1 + _units(self._text[self._starts[line - 1] : offset]))

    def column(self, line: int, column: int) -> int:
        """The UTF-16 column of what is the character ``column`` of ``line``, both from 1."""
        return 1 + _units(self.between(line, 1, column))

    def between(self, line: int, start: int, end: int) -> str:
        """The text of ``line`` from column ``start`` up to ``end``, in characters from 1."""
        if line > len(self._starts):
            return ""
        first = self._starts[line - 1] - 1
        return self._text[first + start : first + end]


def _units(text: str) -> int:
    return len(text) + sum(one > "\uffff" for one in text)
