"""Add a measured row to the user's own profile table, keeping everything else in it as it is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from gemma4ctl import folders
from gemma4ctl.extras import require
from gemma4ctl.profiles.load import IDENTITY, load
from gemma4ctl.rendering.files import check_new, write_new

HEAD = "# Your own rows of gemma4ctl's profile table; `gemma4ctl profiles schema` describes them.\n"
BACKUP = ".bak"
WIDTH = 4096  # of a line, so that rows are not broken


def add(path: Path, row: Mapping[str, Any], key: str, evidence: Mapping[str, str]) -> Path | None:
    """Put ``row`` among the cells of the table in ``path``, and ``evidence`` among its sources.

    A row of the same variant, platform, line and MTP is replaced. Comments and order are kept; the
    new file is checked before it takes the place of the old one, of which a copy stays.

    Args:
        path: the table; made where there is none.
        row: the fields of a :class:`gemma4ctl.profiles.table.Cell`.
        key: the name of the evidence, which ``row`` gives as its source.
        evidence: the fields of a :class:`gemma4ctl.profiles.table.Source`.

    Returns:
        The copy of the old file; None where there was none.

    Raises:
        UsageError: the file cannot be written, is no valid table, or ruamel.yaml is missing.
    """
    path = path.resolve()  # a link stays a link
    folders.make(path.parent, private=True)
    with _locked(path.parent):
        text = _added(path, row, key, evidence)
        _check(path, text)
        backup = path.with_name(path.name + BACKUP) if path.exists() else None
        if backup is not None:
            write_new(backup, path.read_bytes(), marker="", force=True, mode=_mode(path))
        write_new(path, text, marker="", force=True, mode=_mode(path))
    return backup


def check(path: Path) -> None:
    """Refuse a table that :func:`add` could not write; makes nothing.

    Raises:
        UsageError: its folder cannot be made, or the file cannot be written.
    """
    place = path.resolve()
    while not place.parent.exists():
        place = place.parent
    check_new(place, marker="", force=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other searches from changing a table in ``folder`` at the same time."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check(path: Path, text: str) -> None:
    """Refuse ``text`` unless it is a table that can be loaded."""
    draft = path.with_name(f".{path.name}.checked")
    write_new(draft, text, marker="", force=True)
    try:
        load(draft)
    finally:
        draft.unlink()


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o644


def _added(path: Path, row: Mapping[str, Any], key: str, evidence: Mapping[str, str]) -> str:
    """The text of the table with the row and its evidence."""
    yaml = _yaml()
    old = path.read_text(encoding="utf-8") if path.is_file() else HEAD
    table = yaml.load(old)
    head = old if table is None else ""  # a text of comments alone
    table = yaml.map() if table is None else table
    if table.get("sources") is None:
        table["sources"] = yaml.map()
    table["sources"][key] = _flow(yaml, evidence)
    if table.get("cells") is None:
        table["cells"] = yaml.seq()
    cells = table["cells"]
    same = [place for place, cell in enumerate(cells) if _identity(cell) == _identity(row)]
    if same:
        cells[same[0]] = _flow(yaml, row)
    else:
        cells.append(_flow(yaml, row))
    stream = StringIO()
    yaml.dump(table, stream)
    return head + stream.getvalue()


def _yaml() -> Any:
    """A reader and writer that keeps comments, quotes and order."""
    ruamel = require("ruamel.yaml", "tune", "changing your profile table")
    yaml = ruamel.YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _flow(yaml: Any, fields: Mapping[str, Any]) -> Any:
    """``fields`` as a mapping on one line."""
    mapping = yaml.map(**fields)
    mapping.fa.set_flow_style()
    return mapping


def _identity(cell: Mapping[str, Any]) -> tuple[object, ...]:
    defaults = {"line": "standard"}
    return tuple(cell.get(name, defaults.get(name)) for name in IDENTITY["cells"])
