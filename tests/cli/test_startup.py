"""Short commands stay short: what they must not import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import ROOT

HEAVY = {"torch", "sglang", "transformers"}
SUGGEST = "suggest --model 26B-A4B --mtp --hardware H200 --json"


def imported(words: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr))\n"
        "from gemma4ctl.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        ("--help", {*HEAVY, "rich", "jinja2", "yaml", "pydantic.main", "gemma4ctl.model"}),
        ("suggest --help", {*HEAVY, "rich", "jinja2", "yaml", "gemma4ctl.model"}),
        (SUGGEST, {*HEAVY, "rich", "jinja2", "yaml", "pynvml", "amdsmi"}),
    ],
)
def test_imports(words: str, unwanted: set[str]) -> None:
    modules = imported(words)
    assert "gemma4ctl.cli.app" in modules
    assert not modules & unwanted


def test_only_the_module_of_the_named_command_is_imported() -> None:
    folder = "gemma4ctl.cli.commands."
    assert {name for name in imported(SUGGEST) if name.startswith(folder)} == {f"{folder}suggest"}


def test_an_interruption_while_modules_are_imported_shows_no_traceback() -> None:
    code = (
        "import builtins, gemma4ctl.cli\n"
        "ours = builtins.__import__\n"
        "def interrupted(name, *more):\n"
        "    if name == 'typer':\n"
        "        raise KeyboardInterrupt\n"
        "    return ours(name, *more)\n"
        "builtins.__import__ = interrupted\n"
        "gemma4ctl.cli.main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (130, b"")


def test_a_closed_stdout_is_no_error() -> None:
    words = f"{sys.executable} -m gemma4ctl {SUGGEST} >&-"
    done = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_detection_imports_nothing_heavy() -> None:
    assert not imported("suggest --model E2B --json") & {*HEAVY, "rich", "jinja2", "yaml"}
