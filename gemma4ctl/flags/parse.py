"""Judges the arguments of ``sglang serve`` with a flag table, as SGLang's own parser would.

The meaning of words is argparse's (prefixes, ``--opt=value``, arities, negative numbers, ``--``);
unlike argparse, all problems of a command line are found, each with its position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from gemma4ctl.flags import history, types
from gemma4ctl.flags.table import HELP, MODEL_TYPE, Flag, FlagTable, Match

Code = Literal[
    "abbreviated-flag",  # works only as a prefix, so a new flag can break it
    "ambiguous-prefix",
    "bad-choice",
    "bad-type",
    "deprecated-flag",
    "duplicate-flag",  # the last one wins
    "missing-model",
    "missing-value",
    "removed-flag",  # other releases have it
    "unexpected-value",
    "unknown-flag",
]
TOLERATED: frozenset[Code] = frozenset({"abbreviated-flag", "deprecated-flag", "duplicate-flag"})

# ``sglang serve`` takes --model-type and, in newer releases, the model as its first argument;
# ``python -m sglang.launch_server`` takes neither.
Entry = Literal["serve", "module"]

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_BRACES = re.compile(r"\{([^{}]*)\}")
_SHOWN_CHOICES = 12


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a command line.

    ``position`` is the index in argv of the offending word, or the length of argv where something
    is missing at its end. ``fix`` are the words to put in the place of ``argv[position]``, None
    where that alone does not mend it.
    """

    code: Code
    position: int
    option: str
    message: str
    fix: tuple[str, ...] | None = None

    @property
    def refused(self) -> bool:
        """Whether SGLang does not start because of it."""
        return self.code not in TOLERATED


class Given(NamedTuple):
    """An option of the command line: its index in argv, as written, and its full spelling."""

    position: int
    written: str
    canonical: str


class Words(NamedTuple):
    """An option with its values. ``dest`` is None for words that belong to no known flag."""

    dest: str | None
    canonical: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Parsed:
    """What a command line says: ``values`` by dest, the ``given`` options, all ``problems``."""

    values: dict[str, Any] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether SGLang's parser accepts the command line."""
        return not any(problem.refused for problem in self.problems)


@dataclass(frozen=True)
class _Group:
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
        return self.match.flag

    @property
    def value_position(self) -> int:
        """The index in argv of the first value."""
        return self.position + (1 if self.written and not self.explicit else 0)

    @property
    def negated(self) -> bool:
        return (self.match.option or "").startswith("--no-")


def parse(argv: Sequence[str], table: FlagTable, entry: Entry = "serve") -> Parsed:
    """What ``argv``, the words after ``sglang serve``, means to the release of ``table``."""
    groups = _groups(argv, table, entry)
    unread = [group for group in groups if group.flag is MODEL_TYPE][:-1]
    parsed = Parsed()
    for group in groups:
        if group.flag is not None:
            parsed.given.append(Given(group.position, group.written, _canonical(group, table)))
        if group not in unread:
            parsed.problems.extend(_group_problems(group, table, parsed.values))
    parsed.problems.extend(_duplicates(groups, table))
    parsed.problems.extend(_missing(groups, table, entry, len(argv)))
    parsed.problems.sort(key=lambda problem: problem.position)
    return parsed


def split(argv: Sequence[str], table: FlagTable, entry: Entry = "serve") -> list[Words]:
    """The words of ``argv`` in order, each option with its values, nothing left out."""
    return [
        Words(group.flag.dest if group.flag else None, _canonical(group, table), group.words)
        for group in _groups(argv, table, entry)
    ]


def _canonical(group: _Group, table: FlagTable) -> str:
    if group.flag is MODEL_TYPE or not group.written:
        return group.flag.canonical if group.flag else ""
    return table.canonical(group.written)


# --- words to groups


def _groups(argv: Sequence[str], table: FlagTable, entry: Entry) -> list[_Group]:
    """``argv`` as groups, in order."""
    words = list(enumerate(argv))
    taken: list[_Group] = []
    if entry == "serve":
        taken += _take_model_types(words)
        taken += _take_positional_model(words, table)
    taken += _take_options(words, table)
    return sorted(taken, key=lambda group: group.position)


def _take_model_types(words: list[tuple[int, str]]) -> Iterator[_Group]:
    """Removes --model-type and its value wherever it stands, as ``sglang serve`` does."""
    match = Match("exact", "--model-type", MODEL_TYPE)
    index = 0
    while index < len(words):
        position, word = words[index]
        option, _, value = word.partition("=")
        if option != "--model-type":
            index += 1
            continue
        attached = word != option
        values = (value,) if attached else tuple(text for _, text in words[index + 1 : index + 2])
        taken = (word,) if attached else (word, *values)
        del words[index : index + len(taken)]
        yield _Group(position, taken, option, match, values)


def _take_positional_model(words: list[tuple[int, str]], table: FlagTable) -> Iterator[_Group]:
    if words and not words[0][1].startswith("-"):
        position, word = words.pop(0)
        model = Match("exact", "--model-path", table.find("--model-path"))
        yield _Group(position, (word,), "", model, (word,))


def _take_options(words: list[tuple[int, str]], table: FlagTable) -> Iterator[_Group]:
    """Groups of the words that reach argparse."""
    index = 0
    while index < len(words):
        position, word = words[index]
        following = list(
            takewhile(
                lambda text: not _starts_option(text, table), (w for _, w in words[index + 1 :])
            )
        )
        if word == "--":
            values = tuple(text for _, text in words[index:])
            group = _Group(position, values, "", Match("unknown"), values)
        elif _starts_option(word, table):
            group = _option_group(position, word, following, table)
        else:
            group = _Group(position, (word,), "", Match("unknown"), (word,))
        yield group
        index += len(group.words)


def _option_group(position: int, word: str, following: list[str], table: FlagTable) -> _Group:
    exact = table.find(word)
    option, equals, value = (word, "", "") if exact else word.partition("=")
    match = table.match(option)
    if equals:
        return _Group(position, (word,), option, match, (value,))
    # the words after an unknown option are taken for its values
    count = _arity(match.flag, len(following)) if match.flag else len(following)
    values = tuple(following[:count])
    return _Group(position, (word, *values), option, match, values)


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


# --- groups to problems


def _group_problems(group: _Group, table: FlagTable, values: dict[str, Any]) -> Iterator[Problem]:
    """The problems of ``group`` alone; enters its value in ``values``."""
    if group.flag is None:
        yield _no_flag(group, table)
        return
    if not group.written and not table.positional_model:
        yield _positional_model(group, table)
    yield from _spelling(group, table)
    yield from _arity_problem(group)
    yield from _value(group, group.flag, values)


def _no_flag(group: _Group, table: FlagTable) -> Problem:
    written, at = group.written, group.position
    if not written:
        return Problem(
            "unexpected-value", at, group.words[0], f"{group.words[0]!r} belongs to no flag."
        )
    where = history.whereabouts(written, table)
    if where is not None:
        new = history.successor(written, table)
        fix = _replacement(new, group, table)
        advice = f"; use {new}" if new else ""
        return Problem("removed-flag", at, written, f"{written} {where}{advice}.", fix)
    if group.match.kind == "ambiguous":
        meanings = ", ".join(group.match.candidates)
        return Problem("ambiguous-prefix", at, written, f"{written} could mean {meanings}.")
    nearest = group.match.nearest
    advice = f" Did you mean {nearest}?" if nearest else ""
    fix = (_with_value(nearest, group),) if nearest else None
    message = f"SGLang {table.release} has no flag {written}.{advice}"
    return Problem("unknown-flag", at, written, message, fix)


def _positional_model(group: _Group, table: FlagTable) -> Problem:
    model = group.words[0]
    message = f"SGLang {table.release} takes the model only as --model-path {model}."
    return Problem("unexpected-value", group.position, model, message, ("--model-path", model))


def _spelling(group: _Group, table: FlagTable) -> Iterator[Problem]:
    flag, written, at = group.flag, group.written, group.position
    assert flag is not None
    if group.match.kind == "prefix":
        full = _canonical(group, table)
        message = f"{written} works only as a prefix of {full}; a new flag can make it ambiguous."
        yield Problem("abbreviated-flag", at, written, message, (_with_value(full, group),))
    if flag.action == "refuse":
        fix = _replacement(flag.replacement, group, table)
        yield Problem("removed-flag", at, written, flag.error or "", fix)
    elif flag.deprecated:
        advice = f"; use {flag.replacement}" if flag.replacement else ""
        message = f"{written} is deprecated in SGLang {table.release}{advice}."
        fix = _replacement(flag.replacement, group, table)
        yield Problem("deprecated-flag", at, written, message, fix)


def _arity_problem(group: _Group) -> Iterator[Problem]:
    flag, written = group.flag, group.written
    assert flag is not None
    if flag.nargs == 0 and group.explicit:
        message = f"{written} takes no value."
        yield Problem("unexpected-value", group.position, written, message, (written,))
    least = flag.nargs if isinstance(flag.nargs, int) else 0 if flag.nargs in ("*", "?") else 1
    if len(group.values) < least:
        yield Problem("missing-value", group.position, written, f"{written} needs a value.")


def _value(group: _Group, flag: Flag, values: dict[str, Any]) -> Iterator[Problem]:
    """The problems of the values of ``group``; enters what they mean in ``values``."""
    read: list[Any] = []
    for index, text in enumerate(group.values if flag.takes_value else ()):
        position = group.value_position + index
        try:
            value = types.read(flag, text)
        except ValueError as error:
            reason = f" ({error})" if flag.type not in ("int", "float") else ""
            message = f"{text!r} is no {_type_name(flag)} value for {flag.canonical}{reason}."
            yield Problem("bad-type", position, flag.canonical, message)
            continue
        read.append(value)
        if flag.choices is not None and value not in flag.choices:
            yield _bad_choice(group, flag, text, position)
    if flag is not HELP and flag.action not in ("ignore", "refuse"):
        values.update(_entered(group, flag, read, values))


def _type_name(flag: Flag) -> str:
    names = {"int": "integer", "float": "number", "human_readable_int": "integer"}
    return names.get(flag.type, "JSON")


def _bad_choice(group: _Group, flag: Flag, text: str, position: int) -> Problem:
    choices = [str(choice) for choice in flag.choices or ()]
    nearest = next(iter(get_close_matches(text, choices, n=1)), None)
    shown = ", ".join(choices[:_SHOWN_CHOICES])
    more = f" and {len(choices) - _SHOWN_CHOICES} more" if len(choices) > _SHOWN_CHOICES else ""
    advice = f"did you mean {nearest}? " if nearest else ""
    message = f"{text!r} is no choice of {flag.canonical}: {advice}choose from {shown}{more}."
    fixed = f"{group.written}={nearest}" if group.explicit and group.written else nearest
    fix = (fixed,) if nearest and fixed else None
    return Problem("bad-choice", position, flag.canonical, message, fix)


def _entered(
    group: _Group, flag: Flag, read: list[Any], values: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """The (dest, value) that ``flag`` with the values ``read`` sets."""
    match flag.action:
        case "store_true" | "store_false" | "boolean_optional":
            yield flag.dest, flag.action != "store_false" and not group.negated
        case "store_const":
            yield flag.dest, flag.const
        case "append":
            yield flag.dest, [*values.get(flag.dest, ()), *read]
        case _ if flag.nargs in ("*", "+"):
            yield flag.dest, read
        case _ if read:
            yield flag.dest, read[0]
        case _ if flag.nargs == "?":
            yield flag.dest, flag.const


def _duplicates(groups: list[_Group], table: FlagTable) -> Iterator[Problem]:
    last: dict[str, str] = {}
    for group in groups:
        flag = group.flag
        if flag is None or flag.action in ("append", "ignore", "refuse"):
            continue
        written = group.written or group.words[0]
        if flag.dest in last:
            message = f"{written} overrides the earlier {last[flag.dest]}."
            yield Problem("duplicate-flag", group.position, written, message)
        last[flag.dest] = written


def _missing(groups: list[_Group], table: FlagTable, entry: Entry, end: int) -> Iterator[Problem]:
    """Required flags that are not given.

    ``sglang serve`` looks for the model itself, before it reads prefixes and ``--config``.
    """
    given = {group.flag.dest: group for group in groups if group.flag is not None}
    if "help" in given or (entry == "module" and "config" in given):
        return
    for flag in table.flags:
        group = given.get(flag.dest)
        if flag.required and group is None:
            name = "model" if flag.dest == "model_path" else flag.canonical
            yield Problem("missing-model", end, flag.canonical, f"No {name}: add {flag.canonical}.")
        elif flag.required and entry == "serve" and group and group.match.kind == "prefix":
            message = f"sglang serve needs {flag.canonical} in full, not {group.written}."
            fix = (_with_value(flag.canonical, group),)
            yield Problem("missing-model", group.position, group.written, message, fix)


def _with_value(option: str, group: _Group) -> str:
    return f"{option}={group.values[0]}" if group.explicit else option


def _replacement(new: str | None, group: _Group, table: FlagTable) -> tuple[str, ...] | None:
    """The words that do with ``new`` what ``group`` does; None where more must change."""
    if new is None or re.search(r"[\s<>]", new):
        return None
    words = tuple(_expand_braces(new))
    for word in words:
        option, attached, value = word.partition("=")
        flag = table.find(option)
        if flag is None:
            return None
        takes = len(group.values) if not attached else 1
        if attached and group.values:
            return None
        if flag.takes_value != bool(takes) or not _all_chosen(
            flag, (value,) if attached else group.values
        ):
            return None
    return tuple(_with_value(word, group) for word in words)


def _all_chosen(flag: Flag, values: Sequence[str]) -> bool:
    return flag.choices is None or all(value in map(str, flag.choices) for value in values)


def _expand_braces(text: str) -> Iterator[str]:
    """``--x-{a,b}=c`` -> ``--x-a=c``, ``--x-b=c``."""
    braces = _BRACES.search(text)
    if braces is None:
        yield text
        return
    for part in braces.group(1).split(","):
        yield text[: braces.start()] + part.strip() + text[braces.end() :]
