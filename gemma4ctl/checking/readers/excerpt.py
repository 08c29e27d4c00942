"""Text taken out of a file that still knows where in the file each of its characters stands."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch, Place, Style, Word

# What documentation and templates write for a value that the reader is to fill in.
_STAND_IN = re.compile(
    r"<[A-Za-z][\w ./-]*>|\{\{|\$\{\{|\{[A-Za-z_][\w.]*\}"
    r"|^(?:\.\.\.|…|\[[\w .-]*\]|\[[^\]]+|[^\[]+\])$"
)


class Run(NamedTuple):
    """Characters of an excerpt from ``at`` on that stand together in the file at ``offset``.

    ``offset`` is -1 for text that is not in the file as such. ``certain`` is False for text that
    stands for something known only at run time.
    """

    at: int
    offset: int
    certain: bool = True


class Lines:
    """Line and column of every character offset of ``text``. Knows ``\\n``, ``\\r\\n``, ``\\r``."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def starts(self) -> list[int]:
        """The offset at which each line starts."""
        starts = [0]
        for line in self._text.splitlines(keepends=True) if self._plain else _lines(self._text):
            starts.append(starts[-1] + len(line))
        return starts

    @property
    def _plain(self) -> bool:
        """Whether ``str.splitlines`` agrees, which also knows rarer line ends."""
        return not any(mark in self._text for mark in "\v\f\x1c\x1d\x1e\x85\u2028\u2029")

    def place(self, offset: int) -> Place:
        """The place of ``offset``."""
        line = bisect_right(self.starts, offset)
        if line == len(self.starts) and line > 1 and self.starts[-1] == self.starts[-2]:
            line -= 1
        return Place(line, offset - self.starts[line - 1] + 1)

    def offset(self, place: Place) -> int:
        """The offset of ``place``."""
        return self.starts[min(place.line, len(self.starts)) - 1] + place.column - 1

    def end(self, line: int) -> int:
        """The offset at which the next line starts."""
        return self.starts[line] if line < len(self.starts) else len(self._text)


def _lines(text: str) -> list[str]:
    from io import StringIO

    return list(StringIO(text, newline=""))


class Excerpt(NamedTuple):
    """``text`` and the :class:`Run` s that say where it comes from, ascending by ``at``."""

    text: str
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, text: str, offset: int = 0) -> Excerpt:
        """All of ``text``, which stands in the file at ``offset`` (-1: nowhere)."""
        return cls(text, (Run(0, offset),))

    @classmethod
    def unknown(cls, text: str, offset: int = -1) -> Excerpt:
        """``text`` as a stand-in for something known only at run time."""
        return cls(text, (Run(0, offset, certain=False),))

    @classmethod
    def joined(cls, pieces: Iterable[Excerpt]) -> Excerpt:
        """``pieces`` one after the other; neighbours in the file become one run."""
        texts: list[str] = []
        runs: list[Run] = []
        length = 0
        for piece in pieces:
            for run in piece.runs if piece.text else ():
                moved = run._replace(at=run.at + length)
                if not (runs and _continues(runs[-1], moved)):
                    runs.append(moved)
            texts.append(piece.text)
            length += len(piece.text)
        return cls("".join(texts), tuple(runs) or (Run(0, -1),))

    def cut(self, start: int, end: int) -> Excerpt:
        """The characters from ``start`` to ``end``."""
        first = max(self._run(start), 0)
        last = max(self._run(max(start, end - 1)), first)
        runs = [
            Run(
                max(run.at - start, 0),
                run.offset + max(start - run.at, 0) if run.offset >= 0 else -1,
                run.certain,
            )
            for run in self.runs[first : last + 1]
        ]
        return Excerpt(self.text[start:end], tuple(runs))

    def stripped(self) -> Excerpt:
        """Without blanks at both ends."""
        start = len(self.text) - len(self.text.lstrip())
        return self.cut(start, max(start, len(self.text.rstrip())))

    def offset(self, at: int) -> int:
        """The offset in the file of the character at ``at``, or of the nearest known before it."""
        index = here = self._run(at)
        while index >= 0:
            run = self.runs[index]
            if run.offset >= 0:
                return run.offset + (at - run.at if index == here else 0)
            index -= 1
        return max(self.runs[0].offset, 0)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where ``start`` to ``end`` stands in the file as one piece, else (-1, -1)."""
        first = self._run(start)
        if first < 0 or first != self._run(max(start, end - 1)) or self.runs[first].offset < 0:
            return -1, -1
        offset = self.runs[first].offset + start - self.runs[first].at
        return offset, offset + end - start

    def relocated(self, launch: Launch, lines: Lines) -> Launch:
        """``launch``, which was found in this text, with its places in the file of ``lines``."""
        here = Lines(self.text)

        def moved(word: Word) -> Word:
            place = lines.place(self.offset(here.offset(word.place)))
            start, end = self.span(word.start, word.end) if word.start >= 0 else (-1, -1)
            return word._replace(place=place, start=start, end=end)

        place = lines.place(self.offset(here.offset(launch.place)))
        return launch._replace(place=place, words=tuple(map(moved, launch.words)))

    @property
    def certain(self) -> bool:
        """Whether all of the text is known."""
        return all(run.certain for run in self.runs)

    def _run(self, at: int) -> int:
        return bisect_right(self.runs, at, key=lambda run: run.at) - 1


def _continues(before: Run, after: Run) -> bool:
    """Whether ``after`` goes on where ``before`` ends, in the excerpt and in the file."""
    if before.certain != after.certain:
        return False
    if before.offset < 0 or after.offset < 0:
        return before.offset == after.offset
    return before.offset - before.at == after.offset - after.at


class Field(NamedTuple):
    """One word of a command after expansion: its value, and how it is written.

    ``span`` is where it stands in the file as written, quotes included; (-1, -1) where it does not
    stand there as one piece. ``offset`` is where to point at. ``script`` is what a shell would read
    in it, expansions left as written, where that is not the value.
    """

    value: Excerpt
    span: tuple[int, int]
    offset: int
    style: Style = "shell"
    script: Excerpt | None = None

    @property
    def text(self) -> str:
        """The value."""
        return self.value.text

    @property
    def certain(self) -> bool:
        """Whether the value is known."""
        return self.value.certain

    def word(self, lines: Lines) -> Word:
        """This field as a word of a launch."""
        certain = self.certain and not _STAND_IN.search(self.text)
        start, end = self.span if certain else (-1, -1)
        return Word(self.text, lines.place(self.offset), start, end, self.style, certain)
