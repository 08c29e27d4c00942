"""Which releases have a flag: ``history.json`` maps every option string to its first and last one.

Generated from the tables by ``tools/flag_tables.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from gemma4ctl.flags.table import FlagTable, load

FILE = Path(__file__).with_name("history.json")

Span = tuple[str, str]


@lru_cache(maxsize=1)
def spans() -> dict[str, Span]:
    """Option string -> (first, last release that has it)."""
    data = json.loads(FILE.read_text(encoding="utf-8"))
    return {option: (first, last) for option, (first, last) in data.items()}


def spans_of(tables: Iterable[FlagTable]) -> dict[str, Span]:
    """Option string -> (first, last release that has it) in ``tables``, oldest first."""
    found: dict[str, Span] = {}
    for table in tables:
        for flag in table.flags:
            for option in flag.options:
                first, _ = found.get(option, (table.release, ""))
                found[option] = (first, table.release)
    return dict(sorted(found.items()))


def to_text(found: dict[str, Span]) -> str:
    """The file text of ``found``: JSON, one option a line."""
    lines = (f"{json.dumps(option)}: {json.dumps(span)}" for option, span in found.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def whereabouts(option: str, table: FlagTable) -> str | None:
    """Why ``option`` is not in ``table`` although other releases have it; None where none has."""
    from packaging.version import InvalidVersion, Version

    span = spans().get(option)
    if span is None:
        return None
    first, last = span
    try:
        release = Version(table.release)
    except InvalidVersion:
        return f"exists in SGLang {first} to {last}, not in {table.release}"
    if release < Version(first):
        return f"was added in SGLang {first}, and this is {table.release}"
    if release > Version(last):
        return f"was removed from SGLang after {last}, and this is {table.release}"
    return f"exists in SGLang {first} to {last}, not in {table.release}"


def successor(option: str, table: FlagTable) -> str | None:
    """What to write in ``table``'s release for ``option``, which other releases have.

    The replacement that SGLang named when it deprecated the flag (or the flag that this one was to
    replace), else the flag that sets the same value; None where there is neither.
    """
    first, last = spans()[option]
    old = load(last).by_option[option]
    if old.replacement is not None:
        return _current(old.replacement, table)
    predecessors = (flag for flag in load(first).flags if flag.replacement == option)
    predecessor = next((flag for flag in predecessors if table.find(flag.canonical)), None)
    same = predecessor or table.flag_of(old.dest)
    return same.canonical if same is not None else None


def _current(replacement: str, table: FlagTable) -> str | None:
    """``replacement`` as ``table``'s release has it, which may have replaced it in turn."""
    option, attached, value = replacement.partition("=")
    flag = table.find(option.partition(" ")[0])
    if flag is not None and flag.replacement is not None:
        return _current(flag.replacement, table)
    if flag is not None:
        impossible = attached and flag.choices is not None and value not in flag.choices
        return None if impossible else replacement
    return successor(option, table) if option in spans() else None
