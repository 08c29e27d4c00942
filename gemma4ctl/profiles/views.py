"""What ``gemma4ctl profiles`` shows: plain data for ``--json``, which the command line renders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemma4ctl.errors import UsageError
from gemma4ctl.model import Model
from gemma4ctl.profiles import reading
from gemma4ctl.profiles.load import builtin_file, overlaid
from gemma4ctl.profiles.lookup import platform_name, release_name, variant_name
from gemma4ctl.profiles.problems import find_problems
from gemma4ctl.profiles.table import Profiles

Row = dict[str, Any]


def list_rows(profiles: Profiles) -> dict[str, list[Row]]:
    """Short rows of each kind of entry: variants, checkpoints, ..., images, cells."""
    return {
        "variants": [
            {
                "name": name,
                "title": row.title,
                "parameters": row.parameters,
                "modalities": list(row.modalities),
                "max_context": row.max_context,
                "min_release": row.min_release,
            }
            for name, row in profiles.variants.items()
        ],
        "checkpoints": [
            {
                "variant": row.variant,
                "name": row.name,
                "id": row.id,
                "weight_bytes": row.weight_bytes,
                "status": row.status,
            }
            for row in profiles.checkpoints
        ],
        "platforms": [
            {
                "name": name,
                "title": row.title,
                "architecture": row.architecture,
                "memory_mib": row.memory_mib,
                "published_cells": sum(cell.platform == name for cell in profiles.cells),
                "like": row.like,
            }
            for name, row in profiles.platforms.items()
        ],
        "releases": [
            {
                "name": name,
                "date": row.date,
                "transformers": row.transformers,
                "mtp": row.mtp,
                "default": name == profiles.default_release,
            }
            for name, row in profiles.releases.items()
        ],
        "images": [
            {
                "reference": row.reference,
                "vendor": row.vendor,
                "release": row.release,
                "status": row.status,
            }
            for row in profiles.images
        ],
        "cells": [
            {
                "variant": row.variant,
                "platform": row.platform,
                "line": row.line,
                "mtp": row.mtp,
                "tp": row.tp,
                "mem_fraction": row.mem_fraction,
                "status": row.status,
            }
            for row in profiles.cells
        ],
    }


def show(profiles: Profiles, name: str) -> Row:
    """Everything about one variant, platform or release, with its sources written out.

    Raises:
        UsageError: nothing has that name.
    """
    for find, describe in (
        (variant_name, _variant),
        (platform_name, _platform),
        (release_name, _release),
    ):
        try:
            found = find(profiles, name)
        except UsageError:
            continue
        return _with_sources(profiles, describe(profiles, found))
    raise UsageError(
        f"the profile table has no entry {name}",
        needed="a variant, a platform or a release",
        remedies=["gemma4ctl profiles list"],
        code="profile-unknown",
    )


def validate(path: Path) -> list[str]:
    """The problems of a user's profile file, each with file, line, column and field.

    Raises:
        UsageError: the file cannot be read, or is no YAML mapping.
    """
    text = reading.read_text(path)
    base = reading.parse_trusted(builtin_file().read_text(encoding="utf-8"))
    return list(find_problems(overlaid(base, reading.parse(text, path), path, text)).sentences)


def _variant(profiles: Profiles, name: str) -> Row:
    return {
        "kind": "variant",
        "name": name,
        **_dump(profiles.variants[name]),
        "checkpoints": [_dump(row) for row in profiles.checkpoints if row.variant == name],
        "cells": [_dump(row) for row in profiles.cells if row.variant == name],
    }


def _platform(profiles: Profiles, name: str) -> Row:
    return {
        "kind": "platform",
        "name": name,
        **_dump(profiles.platforms[name]),
        "cells": [_dump(row) for row in profiles.cells if row.platform == name],
    }


def _release(profiles: Profiles, name: str) -> Row:
    return {
        "kind": "release",
        "name": name,
        **_dump(profiles.releases[name]),
        "images": [_dump(row) for row in profiles.images if row.release == name],
    }


def _dump(entry: Model) -> Row:
    """The fields of an entry that say something."""
    return entry.model_dump(mode="json", exclude_defaults=True)


def _with_sources(profiles: Profiles, row: Row) -> Row:
    """``row`` with the sources that it names, written out under ``sources``."""
    nested = [item for value in row.values() if isinstance(value, list) for item in value]
    names = [item["source"] for item in (row, *nested) if isinstance(item, dict)]
    return {
        **row,
        "sources": {name: _dump(profiles.sources[name]) for name in dict.fromkeys(names)},
    }
