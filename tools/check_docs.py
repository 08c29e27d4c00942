#!/usr/bin/env python3
"""Generates the table of findings in ``docs/check.md``: ``tools/check_docs.py [--check]``.

``--check`` fails when the table is stale.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gemma4ctl.checking.codes import FLAG_CODES, RULE_CODES, Code
from gemma4ctl.profiles.generated import write_or_check

FILE = Path(__file__).parents[1] / "docs" / "check.md"
PLACE = re.compile(r"(?<=<!-- codes -->\n).*(?=<!-- end of codes -->)", re.DOTALL)


def document(page: str) -> str:
    """``page`` with the tables of today."""
    tables = (
        "\nOf every model, by the flags of the release:\n",
        *table(FLAG_CODES),
        "\nOf Gemma 4, by the rules:\n",
        *table(RULE_CODES),
        "",
    )
    made, count = PLACE.subn(lambda _: "\n".join(tables), page)
    if count != 1:
        raise SystemExit(f"{FILE} has no place for the codes")
    return made


def table(codes: dict[str, Code]) -> list[str]:
    """The lines of a table of ``codes``."""
    rows = (f"| `{name}` | {code.level} | {code.summary} |" for name, code in codes.items())
    return ["| code | level | meaning |", "|---|---|---|", *rows]


if __name__ == "__main__":
    text = document(FILE.read_text(encoding="utf-8"))
    sys.exit(write_or_check(FILE, text, "tools.check_docs", sys.argv[1:]))
