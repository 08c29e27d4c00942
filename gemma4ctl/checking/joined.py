"""Words that are meant as several, such as ``- --tp-size 2`` as one item of a list."""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.checking.launch import Launch, Word
from gemma4ctl.flags.table import FlagTable


class Joined(NamedTuple):
    """A ``word`` as written, and the ``parts`` that it should have been written as."""

    word: Word
    parts: tuple[str, ...]


def separated(launch: Launch, table: FlagTable) -> tuple[Launch, list[Joined]]:
    """``launch`` with every joined word as its parts, and the words that were joined."""
    words: list[Word] = []
    found: list[Joined] = []
    for word in launch.words:
        parts = _parts(word, table)
        if len(parts) > 1:
            found.append(Joined(word, parts))
            words += [word._replace(text=part, start=-1, end=-1) for part in parts]
        else:
            words.append(word)
    return (launch._replace(words=tuple(words)) if found else launch), found


def _parts(word: Word, table: FlagTable) -> tuple[str, ...]:
    """The words in ``word``; only itself where it is no flag with something after a blank."""
    every = tuple(word.text.split())
    if not word.certain or len(every) < 2 or not word.text.startswith("--"):
        return (word.text,)
    first = every[0]
    if not _is_flag(first, table):
        return (word.text,)
    if any(_is_flag(part, table) for part in every[1:]) or _takes_many(first, table):
        return every
    if "=" in first:  # a value with a blank in it
        return (word.text,)
    return first, _unquoted(word.text[len(first) :].strip())


def _is_flag(text: str, table: FlagTable) -> bool:
    return text.startswith("--") and table.match(text.partition("=")[0]).flag is not None


def _takes_many(option: str, table: FlagTable) -> bool:
    flag = table.match(option).flag
    return flag is not None and flag.nargs in ("*", "+")


def _unquoted(value: str) -> str:
    """``value`` without the quotes around it, which would be part of it."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
