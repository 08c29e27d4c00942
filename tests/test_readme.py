"""The README and the generated pages say what the program does: examples are run and compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from gemma4ctl import errors
from gemma4ctl.cli.app import app
from gemma4ctl.settings import OPTIONS, PREFIX

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
WILDCARD = "..."


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def examples() -> Iterator[tuple[str, list[str]]]:
    """Each command of the pages' console blocks, with the lines that it prints."""
    pages = [README, *(page.read_text(encoding="utf-8") for page in sorted(ROOT.glob("docs/*.md")))]
    for block in (block for page in pages for block in blocks("console", page)):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = example.splitlines()
            yield command, output


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found, f"README has no section {title}"
    return found[1]


def table(title: str) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the README shows."""
    for block in blocks("yaml"):
        name, content = block.split("\n", 1)
        (tmp_path / name.removeprefix("# ")).write_text(content, encoding="utf-8")
    return tmp_path


def printed(command: str, folder: Path) -> list[str]:
    """What a person sees of ``command``, without colour or space at the ends of lines."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((PREFIX, "HF_", "XDG_"))
    }
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"COLUMNS": "80", "TERM": "dumb", "HOME": "/home/user", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return [line.rstrip() for line in done.stdout.strip("\n").splitlines()]


def matches(expected: list[str], actual: list[str]) -> bool:
    """Whether ``actual`` is ``expected``, whose wildcard lines stand for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == WILDCARD else re.escape(line) + "\n" for line in expected
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in actual)) is not None


@pytest.mark.parametrize(("command", "expected"), list(examples()))
def test_examples_print_what_the_pages_show(
    command: str, expected: list[str], folder: Path
) -> None:
    actual = printed(command, folder)
    assert matches(expected, actual), "\n".join(actual)


def test_the_comparison_can_fail() -> None:
    assert matches(["a", WILDCARD, "d"], ["a", "b", "c", "d"])
    assert not matches(["a", WILDCARD, "d"], ["a", "b", "c"])
    assert not matches(["a"], ["a", "b"])


def test_the_main_commands_are_shown() -> None:
    shown = {command.split()[1] for command, _ in examples()}
    assert {"suggest", "docker", "profiles", "--help"} <= shown


def test_two_commands_do_everything() -> None:
    commands = [line for line in README.splitlines() if line.startswith("pip install ")]
    assert len(commands) == 2
    assert "gemma4ctl suggest" in commands[0]
    assert commands[1].endswith("pytest")


def test_every_command_is_described() -> None:
    described = {row[0].strip("`").split()[1] for row in table("Commands")}
    root: Any = get_command(app)
    assert described == set(root.commands)


def test_every_variable_is_listed() -> None:
    listed = re.findall(rf"`({PREFIX}\w+)`", "".join(row[1] for row in table("Configuration")))
    assert sorted(listed) == sorted(PREFIX + name.upper() for name in OPTIONS)


def test_every_exit_code_is_listed() -> None:
    kinds = [errors.Gemma4ctlError, *errors.Gemma4ctlError.__subclasses__()]
    assert [int(row[0]) for row in table("Exit codes")] == sorted(
        {0, *(kind.exit_code for kind in kinds)}
    )


def test_every_dependency_is_justified() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {(r.name, str(r.specifier)) for r in map(Requirement, project["dependencies"])}
    listed = {
        (re.sub(r"\[([^]]+)\].*", r"\1", name), f">={bound}")
        for name, bound, purpose in table("Dependencies")
        if purpose
    }
    assert listed == declared


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize("tool", ["cli_docs", "rules_docs", "check_docs"])
def test_generated_pages_are_current(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def commands(command: Any) -> Iterator[Any]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from commands(child)


def test_every_command_and_option_has_help() -> None:
    everything = list(commands(get_command(app)))
    assert all(command.help for command in everything)
    assert not [p.name for command in everything for p in command.params if not p.help]
