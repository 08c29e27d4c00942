"""Readers: find every SGLang launch in a file, word by word, with its place.

:func:`read` chooses the reader by the file's name and content. All of them are total: whatever the
text, they return what is plain in it and raise nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemma4ctl.checking.launch import Launch
    from gemma4ctl.checking.readers.excerpt import Excerpt
    from gemma4ctl.checking.readers.shell import Context

Reader = Callable[[str, str], "list[Launch]"]

_SHELL = (".sh", ".bash", ".zsh", ".ksh", ".dash", ".command")
_SLURM = (".sbatch", ".slurm")
_YAML = (".yml", ".yaml", ".json", ".jsonc")
_SHEBANG = re.compile(r"\ufeff?#![^\r\n]*\b(?:ba|da|k|z)?sh\b")
_SBATCH = re.compile(r"^#SBATCH\b", re.MULTILINE)
_UNIT = re.compile(r"^\[Service\][ \t]*\r?$", re.MULTILINE)
_FROM = re.compile(
    r"\ufeff?(?:[ \t]*(?:#[^\r\n]*)?\r?\n|ARG [^\r\n]*\r?\n)*FROM [^\r\n]+", re.ASCII
)
_MANIFEST = re.compile(r"^(?:apiVersion|services|version|kind|x-[\w-]+):", re.MULTILINE)


def read(path: Path | None, text: str) -> list[Launch]:
    """The SGLang launches in ``text``, the content of ``path`` (None: standard input), in order."""
    if "sglang" not in text:
        return []
    from gemma4ctl.checking.readers.facts import annotated

    name = str(path) if path is not None else ""
    return annotated(_reader(name, text)(name or "-", text), text)


def embedded_file(name: str, body: Excerpt, context: Context) -> list[Launch]:
    """The launches in ``body``, the content of a file ``name`` that stands inside another file."""
    from gemma4ctl.checking.readers.shell import read_script

    reader = _reader(name, body.text)
    if reader in (_text, _shell):
        return read_script(body, context)
    found = reader(context.path, body.text)
    return [replace(body.relocated(launch, context.lines), kind=context.kind) for launch in found]


def _reader(name: str, text: str) -> Reader:
    """The reader for a file called ``name`` ("" where that is unknown) with this ``text``."""
    base, suffix = PurePath(name).name, PurePath(name).suffix.lower()
    if suffix in (".md", ".mdx", ".markdown"):
        return _markdown
    if base.startswith(("Dockerfile", "Containerfile")) or suffix in (
        ".dockerfile",
        ".containerfile",
    ):
        return _dockerfile
    if suffix == ".service" or base.endswith(".service.d") or _UNIT.search(text):
        return _systemd
    if suffix in _YAML:
        return _yaml
    if suffix in _SLURM or _SBATCH.search(text):
        return _slurm
    if suffix in _SHELL or _SHEBANG.match(text):
        return _shell
    return _text if suffix else _by_content(text)


def _by_content(text: str) -> Reader:
    """The reader for a text without a telling name."""
    if _FROM.match(text):
        return _dockerfile
    if _MANIFEST.search(text):
        return _yaml
    if re.search(r"^[ \t]*(?:```|~~~)", text, re.MULTILINE):
        return _markdown
    return _text


def _markdown(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.markdown import read_markdown

    return read_markdown(path, text)


def _dockerfile(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.dockerfile import read_dockerfile

    return read_dockerfile(path, text)


def _systemd(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.systemd import read_systemd

    return read_systemd(path, text)


def _yaml(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.yaml_files import read_yaml

    return read_yaml(Path(path), text)


def _slurm(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.shell import read_shell

    return read_shell(path, text, kind="slurm")


def _shell(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.shell import read_shell

    return read_shell(path, text)


def _text(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.text import read_text

    return read_text(path, text)
