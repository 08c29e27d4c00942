"""The value of a YAML scalar as an excerpt of the file that it is written in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from gemma4ctl.checking.readers.excerpt import Excerpt, Run
from gemma4ctl.checking.readers.yaml_tree import MASK, Scalar

_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANKS = re.compile(r"\s*")
_WORD = re.compile(r"\S+")
_FLOW_PIECE = {  # by style
    "": re.compile(r"(?P<escape>(?!))|(?P<blanks>\s+)|\S+"),
    "'": re.compile(r"(?P<escape>'')|(?P<blanks>\s+)|[^'\s]+"),
    '"': re.compile(
        r"(?P<escape>\\(?:x.{2}|u.{4}|U.{8}|(?:\r\n?|\n)[ \t]*|.))|(?P<blanks>\s+)|[^\\\s]+"
    ),
}


def excerpt(scalar: Scalar, text: str) -> Excerpt:
    """The value of ``scalar``, which stands in ``text``; what a template gives is not certain."""
    written = text[scalar.start : scalar.end]
    pieces = _block_pieces if scalar.style in ("|", ">") else _flow_pieces
    runs: list[Run] = []
    for at, offset, plain in pieces(scalar, written):
        run = Run(at, scalar.start + offset)
        if not (runs and plain and run.offset - at == runs[-1].offset - runs[-1].at):
            runs.append(run)
    found = Excerpt(scalar.value, tuple(runs) or (Run(0, scalar.start),))
    return with_masks(found) if MASK in scalar.value else found


def with_masks(found: Excerpt) -> Excerpt:
    """``found`` with its masked characters marked as known only at run time."""
    pieces: list[Excerpt] = []
    at = 0
    for masked, characters in groupby(found.text, lambda character: character == MASK):
        end = at + sum(1 for _ in characters)
        piece = found.cut(at, end)
        if masked:
            piece = Excerpt(piece.text, tuple(run._replace(certain=False) for run in piece.runs))
        pieces.append(piece)
        at = end
    return Excerpt.joined(pieces)


def _block_pieces(scalar: Scalar, written: str) -> Iterator[tuple[int, int, bool]]:
    """Offsets in the value and in ``written`` of each word of a block scalar; all plain."""
    header = _LINE_END.search(written)
    at = header.end() if header else len(written)
    for word in _WORD.finditer(scalar.value):
        at = _BLANKS.match(written, at).end()  # type: ignore[union-attr]
        yield word.start(), at, True
        at += len(word[0])


def _flow_pieces(scalar: Scalar, written: str) -> Iterator[tuple[int, int, bool]]:
    """Offsets in the value and in ``written`` of what is in a scalar; whether it is no escape."""
    quoted = scalar.style in ("'", '"')
    at = 0
    for piece in _FLOW_PIECE[scalar.style].finditer(written[1:-1] if quoted else written):
        escape, blanks = piece["escape"], piece["blanks"]
        yield at, piece.start() + quoted, escape is None
        if escape is not None:
            at += 0 if escape[1] in "\r\n" else 1
        elif blanks is not None and (line_ends := len(_LINE_END.findall(blanks))):
            at += max(1, line_ends - 1)  # folded
        else:
            at += len(piece[0])
