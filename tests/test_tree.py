"""The shape of the source tree: where things are, how large they are, and that all are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemma4ctl.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gemma4ctl"
TESTS = ROOT / "tests"
LONGEST_FILE = 400  # lines
MODULES = sorted(PACKAGE.rglob("*.py"))
AHEAD: set[str] = set()  # ready and tested, for commands that are still to come
BY_NAME = {
    *(f"gemma4ctl.cli.commands.{name}" for name in COMMANDS),
    # SGLang loads these two: an entry point, and the modules of a package
    "gemma4ctl.sglang_model.plugin",
    "gemma4ctl.sglang_model.models.gemma4",
}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> Iterator[str]:
    """The modules that ``file`` imports, and every name it takes from them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(file, node)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def absolute(file: Path, node: ast.ImportFrom) -> str:
    """The module that ``file`` imports from, relative or not."""
    base = ".".join(file.relative_to(ROOT).parts[: -node.level]) if node.level else ""
    return ".".join(part for part in (base, node.module) if part)


def is_command(file: Path) -> bool:
    """Whether ``python -m`` runs it."""
    return 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")


def test_the_package_was_found() -> None:
    assert {"gemma4ctl", "gemma4ctl.planning.rules", "gemma4ctl.cli.app"} <= {
        module_name(file) for file in MODULES
    }


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_no_file_is_too_long(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_every_module_says_what_it_holds(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_every_module_is_used() -> None:
    used = {name for file in MODULES for name in imported(file) if name != module_name(file)}
    packages = {module_name(file.parent / "__init__.py") for file in MODULES}
    unused = {
        module_name(file)
        for file in MODULES
        if not is_command(file) and module_name(file) not in used | packages
    }
    assert unused == AHEAD | BY_NAME


def test_every_package_has_a_folder_of_tests() -> None:
    packages = {file.parent.relative_to(PACKAGE) for file in PACKAGE.glob("*/__init__.py")}
    without = {str(name) for name in packages if not any((TESTS / name).rglob("test_*.py"))}
    assert not without


def test_every_test_stands_where_its_source_does() -> None:
    sources = (PACKAGE, ROOT)  # tests/tools is for tools/
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    strays = {
        str(folder) for folder in folders if not any((root / folder).is_dir() for root in sources)
    }
    assert not strays
