"""``gemma4ctl profiles`` and where it takes a table of one's own from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Result

Cli = Callable[..., Result]

OWN = """schema_version: 1
platforms:
  LAB:
    {title: A card of the lab, vendor: nvidia, architecture: sm_90, memory_mib: 40000}
"""


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_list_and_show_know_a_table_of_ones_own(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    table = tmp_path / "own.yaml"
    table.write_text(OWN)
    words = ("--profiles", str(table)) if by == "flag" else ()
    if by == "environment":
        monkeypatch.setenv("GEMMA4CTL_PROFILES", str(table))
    listed = cli("profiles", "list", "platforms", "--json", *words).json
    assert "LAB" in {row["name"] for row in listed["platforms"]}
    shown = cli("profiles", "show", "LAB", "--json", *words).json
    assert shown["memory_mib"] == 40000
