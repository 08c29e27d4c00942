"""Add a measured row to the user's own profile table, keeping everything else in it as it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from gemma4ctl.errors import UsageError
from gemma4ctl.extras import require
from gemma4ctl.profiles.load import IDENTITY, load
from gemma4ctl.rendering.files import write_new

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
    text = _added(path, row, key, evidence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.checked")
        draft.write_text(text, encoding="utf-8")
        try:
            load(draft)
        finally:
            draft.unlink()
        backup = None
        if path.exists():
            backup = path.with_name(path.name + BACKUP)
            shutil.copy2(path, backup)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be changed",
            needed="a folder and file that you can write to",
            found=error.strerror or str(error),
            code="profiles-unwritable",
        ) from error
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    write_new(path, text, marker="", force=True, mode=mode)
    return backup


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
