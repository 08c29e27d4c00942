"""Split a server's output into lines: newlines, carriage returns of progress bars, bad UTF-8."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LINE_BYTES = 256 * 1024

_BREAK = re.compile(rb"\r\n|\r|\n")


class Line(NamedTuple):
    """One line without its end; ``cut`` when the rest of a huge line was dropped."""

    text: str
    cut: bool = False


class LineSplitter:
    """Turns chunks of bytes into lines of at most ``limit`` bytes; empty lines are dropped."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._rest = b""
        self._dropping = False

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that ``chunk`` completes."""
        *complete, self._rest = _BREAK.split(self._rest + chunk)
        lines = [line for piece in complete if (line := self._line(piece, complete=True))]
        if len(self._rest) > self._limit:
            if line := self._line(self._rest, complete=False):
                lines.append(line)
            self._rest = b""
        return lines

    def end(self) -> list[Line]:
        """The last line, when the output did not end with a newline."""
        rest, self._rest = self._rest, b""
        line = self._line(rest, complete=True)
        return [line] if line else []

    def _line(self, piece: bytes, *, complete: bool) -> Line | None:
        dropping, self._dropping = self._dropping, not complete
        if dropping or not piece:
            return None
        cut = len(piece) > self._limit
        return Line(piece[: self._limit].decode("utf-8", errors="replace"), cut)
