"""What shell text consists of: words and their parts, commands, comments."""

from __future__ import annotations

from typing import NamedTuple


class Literal(NamedTuple):
    """Characters that mean themselves; they stand in the text at ``start`` in one piece."""

    text: str
    start: int
    quoted: bool


class Parameter(NamedTuple):
    """``$NAME``, ``${NAME}``, ``${NAME:-default}`` or, with ``every``, ``${NAME[@]}``."""

    name: str
    start: int
    end: int
    quoted: bool
    every: bool = False
    default: tuple[Part, ...] | None = None


class Unknown(NamedTuple):
    """What only running it can tell: a substitution, arithmetic, a placeholder such as <MODEL>."""

    start: int
    end: int
    quoted: bool


Part = Literal | Parameter | Unknown


class Token(NamedTuple):
    """One word as written from ``start`` to ``end``; ``items`` are those of ``NAME=(...)``."""

    parts: tuple[Part, ...]
    start: int
    end: int
    items: tuple[Token, ...] | None = None


class HereDocument(NamedTuple):
    """The body of a here-document. ``quoted``: its delimiter is, so nothing in it is expanded."""

    start: int
    end: int
    quoted: bool


class Command:
    """A simple command: its words with leading assignments, and what is redirected."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.tokens: list[Token] = []
        self.here_documents: list[HereDocument] = []
        self.here_strings: list[Token] = []
        self.target: Token | None = None  # the file that its output goes to


class Comment(NamedTuple):
    """A comment, from its ``#`` to the end of its line."""

    start: int
    end: int


class Script(NamedTuple):
    """What a shell text consists of, in the order of the text."""

    commands: list[Command]
    comments: list[Comment]
