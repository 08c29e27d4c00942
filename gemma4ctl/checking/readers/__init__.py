"""Readers: find every SGLang launch in a file, word by word, with its place.

:func:`read` chooses the reader by the file's name and content. Whatever the text, they return what
is plain in it; only what is far beyond a file that people write is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemma4ctl.checking.launch import Launch
    from gemma4ctl.checking.readers.excerpt import Excerpt
    from gemma4ctl.checking.readers.shell import Context

Reader = Callable[[str, str], "list[Launch]"]

MAX_EMBEDDING = 4  # files in files in files
_embedding: ContextVar[int] = ContextVar("embedding", default=0)

_SHEBANG = re.compile(r"\ufeff?#![^\r\n]*\b(?:ba|da|k|z)?sh\b")
_SBATCH = re.compile(r"^#SBATCH\b", re.MULTILINE)
_UNIT = re.compile(r"^\[(?:Service|Container)\][ \t]*\r?$", re.MULTILINE)
_CONTAINER_UNIT = re.compile(r"^\[Container\][ \t]*\r?$", re.MULTILINE)
_FROM = re.compile(
    r"\ufeff?(?:[ \t]*(?:#[^\r\n]*)?\r?\n|ARG [^\r\n]*\r?\n)*FROM [^\r\n]+", re.ASCII
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_MANIFEST = re.compile(r"^(?:apiVersion|services|version|kind|x-[\w-]+):", re.MULTILINE)


def read(path: Path | None, text: str) -> list[Launch]:
    """The SGLang launches in ``text``, the content of ``path`` (None: standard input), in order.

    Raises:
        UsageError: ``text`` is beyond :mod:`~gemma4ctl.checking.readers.limits`.
    """
    if "sglang" not in text:
        return []
    from gemma4ctl.checking.readers import limits
    from gemma4ctl.checking.readers.facts import annotated

    name = str(path) if path is not None else ""
    with limits.one_file(text):
        return annotated(_reader(name, text)(name or "-", text), text)


def embedded_file(name: str, body: Excerpt, context: Context) -> list[Launch]:
    """The launches in ``body``, the content of a file ``name`` that stands inside another file."""
    from gemma4ctl.checking.readers.shell import read_script

    reader = _reader(name, body.text)
    if reader in (_text, _shell):
        return read_script(body, context)
    depth = _embedding.get()
    if depth == MAX_EMBEDDING:
        return []
    outer = _embedding.set(depth + 1)
    try:
        found = reader(context.path, body.text)
    finally:
        _embedding.reset(outer)
    return [body.relocated(launch, context.lines)._replace(kind=context.kind) for launch in found]


def _reader(name: str, text: str) -> Reader:
    """The reader for a file called ``name`` ("" where that is unknown) with this ``text``."""
    base, suffix = PurePath(name).name, PurePath(name).suffix.lower()
    if suffix in _BY_SUFFIX:
        reader = _BY_SUFFIX[suffix]
        return _slurm if reader is _shell and _SBATCH.search(text) else reader
    if base.startswith(("Dockerfile", "Containerfile")):
        return _dockerfile
    return _by_content(text, known=bool(suffix))


def _by_content(text: str, known: bool) -> Reader:
    """The reader for a text whose name does not tell; ``known``: it has a suffix of its own."""
    if _SHEBANG.match(text):
        return _slurm if _SBATCH.search(text) else _shell
    if _UNIT.search(text):
        return _unit
    if known:
        return _text
    if _FROM.match(text):
        return _dockerfile
    if _MANIFEST.search(text):
        return _yaml
    return _markdown if _FENCE.search(text) else _text


def _markdown(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.markdown import read_markdown

    return read_markdown(path, text)


def _dockerfile(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.dockerfile import read_dockerfile

    return read_dockerfile(path, text)


def _rst(path: str, text: str) -> list[Launch]:
    from gemma4ctl.checking.readers.rst import read_rst

    return read_rst(path, text)


def _unit(path: str, text: str) -> list[Launch]:
    if _CONTAINER_UNIT.search(text):
        from gemma4ctl.checking.readers.quadlet import read_quadlet

        return read_quadlet(path, text)
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


_BY_SUFFIX: dict[str, Reader] = {
    **dict.fromkeys((".md", ".mdx", ".markdown"), _markdown),
    **dict.fromkeys((".dockerfile", ".containerfile"), _dockerfile),
    **dict.fromkeys((".yml", ".yaml", ".json", ".jsonc"), _yaml),
    **dict.fromkeys((".sbatch", ".slurm"), _slurm),
    **dict.fromkeys((".sh", ".bash", ".zsh", ".ksh", ".dash", ".command"), _shell),
    **dict.fromkeys((".service", ".container"), _unit),
    ".rst": _rst,
}
