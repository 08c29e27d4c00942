"""The files that `check` is timed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from typer.testing import CliRunner

from gemma4ctl.cli.app import app


def test_they_have_no_findings(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """A finding ends the command with another status, and so the measurement."""
    script("check_time").commands(tmp_path)
    files = sorted(map(str, tmp_path.glob("*.yaml")))
    assert len(files) == 2
    found = CliRunner().invoke(app, ["check", *files])
    assert found.exit_code == 0, found.output
