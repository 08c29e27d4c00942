"""Loading the profile table: the built-in file, overlaid by the user's own.

Mappings merge by key. The lists merge by what identifies an entry (:data:`IDENTITY`), so an
overlay needs only the identifying fields and those that it changes. An entry that the overlay adds
or changes without naming a ``source`` gets the source ``user-file``.

``profiles.json`` is the built-in table ready to validate (:mod:`gemma4ctl.profiles.compiled`): it
spares every command the YAML parser. It counts only while its checksum is that of
``profiles.yaml``.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemma4ctl import folders
from gemma4ctl.profiles.table import Profiles

if TYPE_CHECKING:
    from gemma4ctl.profiles.problems import Overlay

IDENTITY: dict[str, tuple[str, ...]] = {
    "checkpoints": ("variant", "name"),
    "images": ("reference",),
    "cells": ("variant", "platform", "line", "mtp"),
    "auto_sizes": ("since", "below_mib"),
}
_DEFAULTS = {"line": "standard"}
_SOURCED = ("variants", "platforms", "releases", *IDENTITY)
USER_SOURCE = "user-file"
COMPILED_FILE = Path(__file__).with_name("profiles.json")


def load(user: Path | None = None) -> Profiles:
    """The built-in table, overlaid by ``user`` or by the file in the configuration folder.

    Args:
        user: the file of ``--profiles``; None takes :func:`default_user_file` where it exists.

    Raises:
        UsageError: the user's file cannot be read or is invalid; the message holds file, line,
            column, field and the accepted values.
    """
    path = user or default_user_file()
    text = builtin_file().read_text(encoding="utf-8")
    if user is None and not path.is_file():
        return _builtin(text)
    from gemma4ctl.profiles import reading
    from gemma4ctl.profiles.problems import find_problems

    user_text = reading.read_text(path)
    overlay = overlaid(reading.parse_trusted(text), reading.parse(user_text, path), path, user_text)
    problems = find_problems(overlay)
    if problems:
        raise problems.error()
    return Profiles.model_validate({**overlay.data, "hash": text_hash(text, user_text)})


def _builtin(text: str) -> Profiles:
    """The built-in table of ``text``, from its compiled form where that is current."""
    if COMPILED_FILE.is_file():
        compiled = json.loads(COMPILED_FILE.read_text(encoding="utf-8"))
        if compiled.pop("checksum") == checksum(text):
            return Profiles.from_trusted(compiled)
    from gemma4ctl.profiles import reading

    return Profiles.model_validate({**reading.parse_trusted(text), "hash": text_hash(text)})


def builtin_file() -> Path:
    """The table shipped with the package, or at the top of a source checkout."""
    packaged = Path(__file__).with_name("profiles.yaml")
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "profiles.yaml"


def default_user_file() -> Path:
    """``$XDG_CONFIG_HOME/gemma4ctl/profiles.yaml``, by default under ``~/.config``."""
    return folders.config(os.environ) / "profiles.yaml"


def overlaid(base: dict[str, Any], user: dict[Any, Any], path: Path, text: str) -> Overlay:
    """``base`` with the entries of ``user`` merged in; neither is changed."""
    from gemma4ctl.profiles.problems import Overlay

    merged: dict[Any, Any] = dict(base)
    indices: dict[tuple[str, int], int] = {}
    for section, value in _with_sources(user, path).items():
        if section in IDENTITY and isinstance(value, list):
            merged[section], moved = _merge_rows(base[section], value, IDENTITY[section])
            indices |= {(section, index): origin for index, origin in moved.items()}
        else:
            merged[section] = _merge(base.get(section), value)
    return Overlay(merged, path, text, indices)


def _merge(base: Any, user: Any) -> Any:
    """``user`` over ``base``, key by key where both are mappings."""
    if not (isinstance(base, dict) and isinstance(user, dict)):
        return user
    return {**base, **{key: _merge(base.get(key), value) for key, value in user.items()}}


def _merge_rows(
    base: list[Any], user: list[Any], identity: tuple[str, ...]
) -> tuple[list[Any], dict[int, int]]:
    """The rows of both, the user's new ones first, and merged index -> index in ``user``."""
    known = {_key(row, identity): index for index, row in enumerate(base)}
    changed: dict[int, int] = {}
    new: list[int] = []
    for index, row in enumerate(user):
        match = known.get(_key(row, identity)) if isinstance(row, dict) else None
        if match is None:
            new.append(index)
        else:
            changed[match] = index
    rows = [_merge(row, user[changed[i]]) if i in changed else row for i, row in enumerate(base)]
    origins = dict(enumerate(new)) | {len(new) + at: index for at, index in changed.items()}
    return [user[index] for index in new] + rows, origins


def _key(row: dict[str, Any], identity: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(repr(row.get(field, _DEFAULTS.get(field))) for field in identity)


def _with_sources(user: dict[Any, Any], path: Path) -> dict[Any, Any]:
    """``user`` with a source for each entry that names none."""
    result = dict(user)
    for section in _SOURCED:
        rows = user.get(section)
        if isinstance(rows, dict):
            result[section] = {key: _sourced(row) for key, row in rows.items()}
        elif isinstance(rows, list):
            result[section] = [_sourced(row) for row in rows]
    sources = user.get("sources", {})
    if isinstance(sources, dict):
        result["sources"] = {USER_SOURCE: {"title": f"user file {path}"}, **sources}
    return result


def _sourced(row: Any) -> Any:
    return {"source": USER_SOURCE, **row} if isinstance(row, dict) else row


def text_hash(*texts: str) -> str:
    """The SHA-256 of the texts that a table was read from, in hexadecimal."""
    import hashlib

    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()


def checksum(text: str) -> int:
    """The CRC-32 of ``text``, which tells an edited table without the time that hashlib needs."""
    return zlib.crc32(text.encode())
