"""What differs between two matrices, flag by flag; equal changes are told once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gemma4ctl.errors import UsageError
from gemma4ctl.matrix.cases import Case, Part
from gemma4ctl.matrix.document import AXES, KIND
from gemma4ctl.rendering.command import ENTRY, lines

SHOWN = 5  # cases named below a change


class Change(NamedTuple):
    """A change: the lines that tell it, and the cases that it happened to."""

    kind: str  # "added", "removed" or "changed"
    lines: tuple[str, ...]
    cases: tuple[Case, ...]


def read(path: Path) -> dict[str, Any]:
    """The matrix that ``gemma4ctl matrix --format json`` wrote to ``path``.

    Raises:
        UsageError: it cannot be read, or is something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, getattr(error, "strerror", None) or "no JSON") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _refused(path, "no matrix")
    if document.get("schema_version") != 1:
        raise _refused(path, f"schema version {document.get('schema_version')}")
    return document


def _refused(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} cannot be compared with",
        needed="a file of `gemma4ctl matrix --format json -o FILE`, schema version 1",
        found=found,
        code="matrix-file",
    )


def changes(old: Mapping[str, Any], new: Mapping[str, Any], part: Part) -> list[Change]:
    """The changes from ``old`` to ``new`` within ``part``, the most frequent first."""
    before, after = _entries(old, part), _entries(new, part)
    found: dict[tuple[str, tuple[str, ...]], list[Case]] = {}
    for case in before | after:
        was, now = before.get(case), after.get(case)
        if was != now:
            kind = "added" if was is None else "removed" if now is None else "changed"
            told = tuple(_told(was or (), now or ()))
            found.setdefault((kind, told), []).append(case)
    made = [Change(kind, told, tuple(cases)) for (kind, told), cases in found.items()]
    return sorted(made, key=lambda change: -len(change.cases))


def _entries(document: Mapping[str, Any], part: Part) -> dict[Case, tuple[str, ...]]:
    """What the matrix says of each case of ``part``, a line a fact."""
    commands = {name: tuple(_command(c)) for name, c in document["commands"].items()}
    entries: dict[Case, tuple[str, ...]] = {}
    for row in (*document["plans"], *document["refusals"]):
        case = Case(**{axis: row[axis] for axis in AXES})
        case = case._replace(modalities=tuple(case.modalities))
        if not part.has(case.variant, case.platform, case.release):
            continue
        entries[case] = (f"refused: {row['code']}",) if "code" in row else _plan(row, commands)
    return entries


def _plan(row: Mapping[str, Any], commands: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    about = [f"GPUs: {row['gpus']}", f"image: {row['image']}"]
    about += [f"warning: {code}" for code in row["warnings"]]
    return (*commands[row["command"]], *about)


def _command(command: Mapping[str, Any]) -> Iterator[str]:
    """Environment and argv, a variable or a flag a line."""
    yield from (f"{name}={value}" for name, value in command["env"].items())
    yield from (" ".join(words) for words in lines(command["argv"], head=len(ENTRY)))


def _told(was: tuple[str, ...], now: tuple[str, ...]) -> Iterator[str]:
    """The lines that went and came; the order where only that changed."""
    told = [f"- {line}" for line in was if line not in now]
    told += [f"+ {line}" for line in now if line not in was]
    yield from told or ("the same flags in another order",)


def to_text(found: list[Change]) -> str:
    """The changes for reading; "" for none."""
    return "".join(f"{line}\n" for change in found for line in _change_lines(change))


def _change_lines(change: Change) -> Iterator[str]:
    count = len(change.cases)
    yield f"{count:,} {'entry' if count == 1 else 'entries'} {change.kind}:"
    yield from (f"  {line}" for line in change.lines)
    yield from (f"    {case}" for case in change.cases[:SHOWN])
    if count > SHOWN:
        yield f"    and {count - SHOWN:,} more"
