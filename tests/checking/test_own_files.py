"""This project's own pages and examples, checked by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gemma4ctl.checking.files import Target, check, expand
from gemma4ctl.checking.judge import Options

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRINTED = re.findall(r"^sglang serve \\\n(?:  .* \\\n)*  .*\n", README, re.MULTILINE)


def test_every_page_and_example_is_clean() -> None:
    folders = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs", "tests/rendering")]
    found = [Target(str(path), path).examine(Options()) for path in expand(folders)]
    assert not [one.error for one in found if one.error]
    assert not [finding for one in found for finding in one.findings if finding.level != "note"]
    assert sum(one.launches for one in found) >= 30


@pytest.mark.parametrize("command", PRINTED)
def test_every_command_that_the_readme_prints_is_clean(command: str) -> None:
    found = check(Path("printed.sh"), command, Options())
    assert (found.launches, found.findings) == (1, ())


def test_the_readme_prints_commands() -> None:
    assert len(PRINTED) >= 3
