"""Python source files of an unpacked or packed distribution, and their parsed modules."""

from __future__ import annotations

import ast
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gemma4ctl.errors import UsageError

Definition = ast.expr | ast.ClassDef | ast.FunctionDef


class NotSglangError(UsageError):
    """A wheel or folder that does not hold SGLang's server arguments."""


class SourceTree(Protocol):
    """Files of a distribution, by path relative to its root (``sglang/srt/server_args.py``)."""

    def read(self, path: str) -> str | None:
        """The text of the file ``path``, None where there is none."""

    def names(self, folder: str) -> list[str]:
        """The sorted names of the files and folders directly in ``folder``."""


class FolderTree:
    """The source tree below the folder ``root``, e.g. ``site-packages``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> str | None:
        """The text of the file ``path``, None where there is none."""
        file = self.root / path
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def names(self, folder: str) -> list[str]:
        """The sorted names of the files and folders directly in ``folder``."""
        found = self.root / folder
        return sorted(entry.name for entry in found.iterdir()) if found.is_dir() else []


class WheelTree:
    """The source tree in the wheel ``path``."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path)
        self.paths = frozenset(self.archive.namelist())

    def read(self, path: str) -> str | None:
        """The text of the file ``path``, None where there is none."""
        return self.archive.read(path).decode("utf-8") if path in self.paths else None

    def names(self, folder: str) -> list[str]:
        """The sorted names of the files and folders directly in ``folder``."""
        prefix = folder + "/"
        inside = (path.removeprefix(prefix) for path in self.paths if path.startswith(prefix))
        return sorted({rest.partition("/")[0] for rest in inside})


@dataclass
class Module:
    """A parsed module: what its top level defines and imports.

    ``imports`` maps a local name to (module, name in it); the name is None for ``import module``.
    """

    name: str
    library: Library
    body: list[ast.stmt]
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for statement in self.body:
            self._enter(statement)

    def _enter(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        self.definitions[target.id] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self.definitions[name] = value
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                self.definitions[name] = statement
            case ast.Import() | ast.ImportFrom():
                self.imports |= imported_names(statement)
            case ast.If(body=body) | ast.Try(body=body):
                for inner in body:
                    self._enter(inner)


def imported_names(statement: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str | None]]:
    """Local name -> (module, name in it or None) of one absolute import statement."""
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: (alias.name, None)
            for alias in statement.names
        }
    if statement.level or statement.module is None:
        return {}
    return {alias.asname or alias.name: (statement.module, alias.name) for alias in statement.names}


class Library:
    """The modules of a source tree, parsed when first asked for."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """The module ``name`` (dotted), None where the tree has none."""
        if name not in self._modules:
            self._modules[name] = self._parse(name)
        return self._modules[name]

    def _parse(self, name: str) -> Module | None:
        path = name.replace(".", "/")
        text = self.tree.read(f"{path}.py") or self.tree.read(f"{path}/__init__.py")
        return None if text is None else Module(name, self, ast.parse(text).body)
