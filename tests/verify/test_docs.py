"""docs/verify.md names everything that verify knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gemma4ctl.verify.checks import CHECKS
from gemma4ctl.verify.content import CONTENT
from gemma4ctl.verify.faults import FAULTS

DOCS = (Path(__file__).parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "known"), [("content", CONTENT), ("faults", FAULTS)])
def test_the_tables_are_current(name: str, known: dict[str, str]) -> None:
    table = DOCS.partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", table, re.MULTILINE)
    assert dict(rows) == known


def test_every_check_is_described() -> None:
    table = DOCS.partition("## Checks")[2].partition("\n\nWhat a server")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]
    assert described == [check.name for check in CHECKS]
