"""Divides the arguments of ``sglang serve`` into options with their values, as argparse does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import Literal, NamedTuple

from gemma4ctl.flags.table import MODEL_TYPE, Flag, FlagTable, Match

# ``sglang serve`` takes --model-type and, in newer releases, the model as its first argument;
# ``python -m sglang.launch_server`` takes neither.
Entry = Literal["serve", "module"]
Word = tuple[int, str]  # index in argv, text

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


class Group(NamedTuple):
    """Words that belong together: an option with its values, or values without an option."""

    position: int
    words: tuple[str, ...]
    written: str  # the option, without =value; "" for values without an option
    match: Match
    values: tuple[str, ...]

    @property
    def explicit(self) -> bool:
        """Whether the value is attached, ``--option=value``."""
        return self.words[0] != self.written

    @property
    def flag(self) -> Flag | None:
        """The flag of the option; None for an unknown or ambiguous one and for stray values."""
        return self.match.flag

    @property
    def value_position(self) -> int:
        """The index in argv of the first value."""
        return self.position + (1 if self.written and not self.explicit else 0)

    @property
    def negated(self) -> bool:
        """Whether the option is the ``--no-`` form of a switch."""
        return (self.match.option or "").startswith("--no-")


def groups(argv: Sequence[str], table: FlagTable, entry: Entry) -> list[Group]:
    """``argv`` as groups, in order."""
    words = list(enumerate(argv))
    taken: list[Group] = []
    if entry == "serve":
        taken, words = _model_types(words)
        if words and not words[0][1].startswith("-"):
            taken.append(_positional_model(*words.pop(0), table))
    taken += _options(words, table)
    return sorted(taken, key=lambda group: group.position)


def _model_types(words: list[Word]) -> tuple[list[Group], list[Word]]:
    """The groups of --model-type, which ``sglang serve`` takes out wherever it stands; the rest."""
    match = Match("exact", "--model-type", MODEL_TYPE)
    taken: list[Group] = []
    rest: list[Word] = []
    numbered = iter(words)
    for position, word in numbered:
        option, attached, value = word.partition("=")
        if option != "--model-type":
            rest.append((position, word))
            continue
        values = (value,) if attached else tuple(text for _, text in islice(numbered, 1))
        spelled = (word,) if attached else (word, *values)
        taken.append(Group(position, spelled, option, match, values))
    return taken, rest


def _positional_model(position: int, word: str, table: FlagTable) -> Group:
    model = Match("exact", "--model-path", table.find("--model-path"))
    return Group(position, (word,), "", model, (word,))


def _options(words: list[Word], table: FlagTable) -> Iterator[Group]:
    """Groups of the words that reach argparse."""
    index = 0
    while index < len(words):
        position, word = words[index]
        if word == "--":
            rest = tuple(text for _, text in words[index:])
            group = Group(position, rest, "", Match("unknown"), rest)
        elif _starts_option(word, table):
            after = (text for _, text in islice(words, index + 1, None))
            following = list(takewhile(lambda text: not _starts_option(text, table), after))
            group = _option_group(position, word, following, table)
        else:
            group = Group(position, (word,), "", Match("unknown"), (word,))
        yield group
        index += len(group.words)


def _option_group(position: int, word: str, following: list[str], table: FlagTable) -> Group:
    exact = table.find(word)
    option, equals, value = (word, "", "") if exact else word.partition("=")
    match = table.match(option)
    if equals:
        return Group(position, (word,), option, match, (value,))
    # the words after an unknown option are taken for its values
    count = _arity(match.flag, len(following)) if match.flag else len(following)
    values = tuple(following[:count])
    return Group(position, (word, *values), option, match, values)


def _arity(flag: Flag, present: int) -> int:
    """How many of the ``present`` words after it ``flag`` takes."""
    if flag.nargs in ("*", "+"):
        return present
    most = flag.nargs if isinstance(flag.nargs, int) else 1
    return min(most, present)


def _starts_option(word: str, table: FlagTable) -> bool:
    """Whether argparse takes ``word`` for an option (or the end of options), not for a value."""
    if not word.startswith("-") or word == "-":
        return False
    option = word.partition("=")[0]
    if word == "--" or table.find(word) or table.match_prefix(option):
        return True
    return not _NEGATIVE_NUMBER.fullmatch(word) and " " not in word


def canonical(group: Group, table: FlagTable) -> str:
    """The full preferred spelling of the option of ``group``; "" for stray values."""
    if group.flag is MODEL_TYPE or not group.written:
        return group.flag.canonical if group.flag else ""
    return table.canonical(group.written)
