"""The pre-commit hook and the GitHub Action."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INSTALL, CHECK = ACTION["runs"]["steps"]
STUB = '#!/bin/sh\nprintf "%s\\n" "$@"\nexit 4\n'


def test_the_hook_passes_files_to_the_command() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["id"] == "gemma4ctl-check"
    assert (hook["entry"], hook["language"]) == ("gemma4ctl check", "python")
    assert hook["pass_filenames"] is True


def test_every_input_is_described_and_reaches_the_script_as_a_variable() -> None:
    assert all(one["description"] for one in ACTION["inputs"].values())
    expected = {
        name.upper().replace("-", "_"): f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]
    }
    assert CHECK["env"] == expected
    for step in (INSTALL, CHECK):
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A runner whose gemma4ctl prints its arguments and fails."""
    program = tmp_path / "gemma4ctl" / "bin" / "gemma4ctl"
    program.parent.mkdir(parents=True)
    program.write_text(STUB)
    program.chmod(0o755)
    return tmp_path


def run(step: Any, runner: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does."""
    given = dict.fromkeys(CHECK["env"], "") | {"FILES": ".", "FORMAT": "github"} | variables
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=runner,
        env={**os.environ, **given, "RUNNER_TEMP": str(runner)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_defaults_check_everything(runner: Path) -> None:
    done = run(CHECK, runner)
    assert done.stdout.splitlines() == ["check", "--format", "github", "."]
    assert done.returncode == 4


def test_all_inputs_are_passed_on(runner: Path) -> None:
    done = run(
        CHECK,
        runner,
        FILES="a b.sh\n-x.sh\n\nc.md\n",
        FORMAT="sarif",
        HARDWARE="H100",
        GPUS="2",
        SGLANG_VERSION="all",
        OUTPUT="out file.sarif",
    )
    assert (done.stdout, done.returncode) == ("", 4)
    words = ["check", "--format", "sarif", "--sglang-version", "all"]
    expected = [*words, "--hardware", "H100", "--gpus", "2", "a b.sh", "./-x.sh", "c.md"]
    assert (runner / "out file.sarif").read_text().splitlines() == expected


def test_nothing_in_an_input_is_run(runner: Path) -> None:
    hostile = '$(touch broken) `touch broken`; touch broken "'
    done = run(CHECK, runner, FILES=hostile, HARDWARE=hostile, FORMAT=hostile)
    assert done.stdout.splitlines()[2:] == [hostile, "--hardware", hostile, hostile]
    assert not (runner / "broken").exists()


def test_the_action_installs_itself(runner: Path) -> None:
    """Its folder is installed into an environment of its own."""
    python, bin_folder = runner / "bin" / "python3", runner / "gemma4ctl" / "bin"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho python3 "$@"\n')
    pip = bin_folder / "pip"
    pip.write_text('#!/bin/sh\necho pip "$@"\n')
    for program in (python, pip):
        program.chmod(0o755)
    path = f"{python.parent}:{os.environ['PATH']}"
    done = run(INSTALL, runner, PATH=path, GITHUB_ACTION_PATH="/actions/gemma 4")
    assert done.stdout.splitlines() == [
        f"python3 -m venv {bin_folder.parent}",
        "pip install --quiet --disable-pip-version-check /actions/gemma 4",
    ]


def test_the_package_has_the_command_that_both_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gemma4ctl", "check", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--sglang-version" in done.stdout
