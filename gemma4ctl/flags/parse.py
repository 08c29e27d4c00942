"""Judges the arguments of ``sglang serve`` with a flag table, as SGLang's own parser would.

The meaning of words is argparse's (prefixes, ``--opt=value``, arities, negative numbers, ``--``);
unlike argparse, all problems of a command line are found, each with its position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, Literal, NamedTuple

from gemma4ctl.flags import history, types
from gemma4ctl.flags.fixes import replacement, with_value
from gemma4ctl.flags.grouping import Entry, Group, canonical, groups
from gemma4ctl.flags.table import HELP, MODEL_TYPE, Flag, FlagTable

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

_SHOWN_CHOICES = 12
_QUOTE = Repr()
_QUOTE.maxstring = 80


class Problem(NamedTuple):
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


class Parsed(NamedTuple):
    """What a command line says: ``values`` by dest, the ``given`` options, all ``problems``."""

    values: dict[str, Any]
    given: list[Given]
    problems: list[Problem]

    @property
    def accepted(self) -> bool:
        """Whether SGLang's parser accepts the command line."""
        return not any(problem.refused for problem in self.problems)


def parse(argv: Sequence[str], table: FlagTable, entry: Entry = "serve") -> Parsed:
    """What ``argv``, the words after ``sglang serve``, means to the release of ``table``."""
    found = groups(argv, table, entry)
    read_type = next((group for group in reversed(found) if group.flag is MODEL_TYPE), None)
    parsed = Parsed({}, [], [])
    for group in found:
        if group.flag is not None:
            parsed.given.append(Given(group.position, group.written, canonical(group, table)))
        if group.flag is not MODEL_TYPE or group is read_type:
            parsed.problems.extend(_group_problems(group, table, parsed.values))
    parsed.problems.extend(_duplicates(found))
    parsed.problems.extend(_missing(found, table, entry, len(argv)))
    parsed.problems.sort(key=lambda problem: problem.position)
    return parsed


def split(argv: Sequence[str], table: FlagTable, entry: Entry = "serve") -> list[Words]:
    """The words of ``argv`` in order, each option with its values, nothing left out."""
    return [
        Words(group.flag.dest if group.flag else None, canonical(group, table), group.words)
        for group in groups(argv, table, entry)
    ]


def _group_problems(group: Group, table: FlagTable, values: dict[str, Any]) -> Iterator[Problem]:
    """The problems of ``group`` alone; enters its value in ``values``."""
    if group.flag is None:
        yield _no_flag(group, table)
        return
    if not group.written and not table.positional_model:
        yield _positional_model(group, table)
    yield from _spelling(group, table)
    yield from _arity_problem(group)
    yield from _value(group, group.flag, values)


def _no_flag(group: Group, table: FlagTable) -> Problem:
    written, at = group.written, group.position
    if not written:
        word = group.words[0]
        return Problem("unexpected-value", at, word, f"{_shown(word)} belongs to no flag.")
    where = history.whereabouts(written, table)
    if where is not None:
        new = history.successor(written, table)
        fix = replacement(new, group, table)
        advice = f"; use {new}" if new else ""
        return Problem("removed-flag", at, written, f"{written} {where}{advice}.", fix)
    if group.match.kind == "ambiguous":
        meanings = ", ".join(group.match.candidates)
        return Problem("ambiguous-prefix", at, written, f"{written} could mean {meanings}.")
    nearest = group.match.nearest
    advice = f" Did you mean {nearest}?" if nearest else ""
    fix = (with_value(nearest, group),) if nearest else None
    message = f"SGLang {table.release} has no flag {written}.{advice}"
    return Problem("unknown-flag", at, written, message, fix)


def _positional_model(group: Group, table: FlagTable) -> Problem:
    model = group.words[0]
    message = f"SGLang {table.release} takes the model only as --model-path {model}."
    return Problem("unexpected-value", group.position, model, message, ("--model-path", model))


def _spelling(group: Group, table: FlagTable) -> Iterator[Problem]:
    flag, written, at = group.flag, group.written, group.position
    assert flag is not None
    if group.match.kind == "prefix":
        full = canonical(group, table)
        message = f"{written} works only as a prefix of {full}; a new flag can make it ambiguous."
        yield Problem("abbreviated-flag", at, written, message, (with_value(full, group),))
    if flag.action == "refuse":
        fix = replacement(flag.replacement, group, table)
        yield Problem("removed-flag", at, written, flag.error or "", fix)
    elif flag.deprecated:
        advice = f"; use {flag.replacement}" if flag.replacement else ""
        message = f"{written} is deprecated in SGLang {table.release}{advice}."
        fix = replacement(flag.replacement, group, table)
        yield Problem("deprecated-flag", at, written, message, fix)


def _arity_problem(group: Group) -> Iterator[Problem]:
    flag, written = group.flag, group.written
    assert flag is not None
    if flag.nargs == 0 and group.explicit:
        message = f"{written} takes no value."
        yield Problem("unexpected-value", group.position, written, message, (written,))
    least = flag.nargs if isinstance(flag.nargs, int) else 0 if flag.nargs in ("*", "?") else 1
    if len(group.values) < least:
        yield Problem("missing-value", group.position, written, f"{written} needs a value.")


def _value(group: Group, flag: Flag, values: dict[str, Any]) -> Iterator[Problem]:
    """The problems of the values of ``group``; enters what they mean in ``values``."""
    read: list[Any] = []
    for index, text in enumerate(group.values if flag.takes_value else ()):
        position = group.value_position + index
        try:
            value = types.read(flag, text)
        except ValueError as error:
            reason = f" ({error})" if flag.type not in ("int", "float") else ""
            message = f"{_shown(text)} is no {_type_name(flag)} value for {flag.canonical}{reason}."
            yield Problem("bad-type", position, flag.canonical, message)
            continue
        read.append(value)
        if flag.choices is not None and value not in flag.choices:
            yield _bad_choice(group, flag, text, position)
    if flag is not HELP and flag.action not in ("ignore", "refuse"):
        values.update(_entered(group, flag, read, values))


def _shown(text: str) -> str:
    """``text`` quoted, its middle left out where it is long."""
    return _QUOTE.repr(text)


def _type_name(flag: Flag) -> str:
    names = {"int": "integer", "float": "number", "human_readable_int": "integer"}
    return names.get(flag.type, "JSON")


def _bad_choice(group: Group, flag: Flag, text: str, position: int) -> Problem:
    choices = [str(choice) for choice in flag.choices or ()]
    begun = [choice for choice in choices if choice.startswith(text)]  # fp8 is two of them
    close = begun if len(begun) > 1 else get_close_matches(text, choices, n=1)
    nearest = close[0] if len(close) == 1 else None
    first = ", ".join(choices[:_SHOWN_CHOICES])
    more = f" and {len(choices) - _SHOWN_CHOICES} more" if len(choices) > _SHOWN_CHOICES else ""
    advice = f"did you mean {' or '.join(close)}? " if close else ""
    message = f"{_shown(text)} is no choice of {flag.canonical}: {advice}choose from {first}{more}."
    fixed = f"{group.written}={nearest}" if group.explicit and group.written else nearest
    fix = (fixed,) if nearest and fixed else None
    return Problem("bad-choice", position, flag.canonical, message, fix)


def _entered(
    group: Group, flag: Flag, read: list[Any], values: dict[str, Any]
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


def _duplicates(found: list[Group]) -> Iterator[Problem]:
    last: dict[str, str] = {}
    for group in found:
        flag = group.flag
        if flag is None or flag.action in ("append", "ignore", "refuse"):
            continue
        written = group.written or group.words[0]
        if flag.dest in last:
            message = f"{written} overrides the earlier {last[flag.dest]}."
            yield Problem("duplicate-flag", group.position, written, message)
        last[flag.dest] = written


def _missing(found: list[Group], table: FlagTable, entry: Entry, end: int) -> Iterator[Problem]:
    """Required flags that are not given.

    ``sglang serve`` looks for the model itself, before it reads prefixes and ``--config``.
    """
    given = {group.flag.dest: group for group in found if group.flag is not None}
    if "help" in given or (entry == "module" and "config" in given):
        return
    for flag in table.required:
        group = given.get(flag.dest)
        if group is None:
            name = "model" if flag.dest == "model_path" else flag.canonical
            yield Problem("missing-model", end, flag.canonical, f"No {name}: add {flag.canonical}.")
        elif entry == "serve" and group.match.kind == "prefix":
            message = f"sglang serve needs {flag.canonical} in full, not {group.written}."
            fix = (with_value(flag.canonical, group),)
            yield Problem("missing-model", group.position, group.written, message, fix)
