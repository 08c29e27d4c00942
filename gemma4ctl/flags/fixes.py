"""Words to put in the place of a wrong or deprecated option."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gemma4ctl.flags.grouping import Group
from gemma4ctl.flags.table import Flag, FlagTable

_BRACES = re.compile(r"\{([^{}]*)\}")


def with_value(option: str, group: Group) -> str:
    """``option`` with the value attached that ``group`` has attached to its own."""
    return f"{option}={group.values[0]}" if group.explicit else option


def replacement(new: str | None, group: Group, table: FlagTable) -> tuple[str, ...] | None:
    """The words that do with ``new`` what ``group`` does; None where more must change."""
    if new is None or re.search(r"[\s<>]", new):
        return None
    words = tuple(_expand_braces(new))
    if not all(_does_the_same(word, group, table) for word in words):
        return None
    return tuple(with_value(word, group) for word in words)


def _does_the_same(word: str, group: Group, table: FlagTable) -> bool:
    """Whether ``word`` can stand before the values of ``group``, its own value included."""
    option, attached, value = word.partition("=")
    flag = table.find(option)
    if flag is None or (attached and group.values):
        return False
    values = (value,) if attached else group.values
    return flag.takes_value == bool(values) and _all_chosen(flag, values)


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
