"""Reads code blocks of documents by their language: scripts, sessions, files of other kinds."""

from __future__ import annotations

import re
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.excerpt import Excerpt
from gemma4ctl.checking.readers.shell import PROMPT, Context, read_lines, read_script

_SHELLS = frozenset(["bash", "sh", "shell", "zsh", "shellscript", "slurm", "sbatch"])
_SESSIONS = frozenset(["console", "shell-session", "shellsession", "terminal", "sh-session"])
_CONTINUATIONS = {  # what ends a line that goes on, in the shells of Windows
    **dict.fromkeys(("bat", "batch", "cmd"), "^"),
    **dict.fromkeys(("powershell", "ps1", "pwsh"), "`"),
}
_UNKNOWN = frozenset(["", "text", "txt", "none", "plain", "plaintext"])
_FILES = {
    "compose": "compose.yaml",
    "containerfile": "Containerfile",
    "docker": "Dockerfile",
    "dockerfile": "Dockerfile",
    "docker-compose": "compose.yaml",
    "ini": "unit.service",
    "json": "file.json",
    "quadlet": "unit.container",
    "service": "unit.service",
    "systemd": "unit.service",
    "yaml": "file.yaml",
    "yml": "file.yaml",
}
_WINDOWS_PROMPT = re.compile(r"^(?:(?:PS )?[A-Z]:\\[^>\r\n]*>|>>)", re.MULTILINE)
_CONTINUED = re.compile(r"\\[ \t]*$")
_GOING_ON = re.compile(r"[ \t]*>(?: |$)")
_FIRST_PROMPT = re.compile(r"^" + PROMPT.pattern, re.MULTILINE)


class Block(NamedTuple):
    """A code block: its language, lower case, and its text."""

    language: str
    code: Excerpt


def read_block(block: Block, context: Context) -> list[Launch]:
    """The launches in ``block``; its variables stay in ``context``."""
    from gemma4ctl.checking.readers import embedded_file

    language = block.language
    if language in _CONTINUATIONS:
        block = _as_of_a_shell(block)
        language = "sh"
    if "sglang" not in block.code.text and language not in _SHELLS:
        return []
    if language in _FILES:
        return embedded_file(_FILES[language], block.code, context)
    if language in _SHELLS | _SESSIONS | _UNKNOWN and _FIRST_PROMPT.search(block.code.text):
        typed, printed = _session(block.code)
        return [*read_script(typed, context), *read_lines(printed, context)]
    if language in _SHELLS | _SESSIONS:
        return read_script(block.code, context)
    return read_lines(block.code, context) if language in _UNKNOWN else []


def _as_of_a_shell(block: Block) -> Block:
    """``block`` with the continued lines of a shell of Windows continued as in others."""
    mark = re.escape(_CONTINUATIONS[block.language])
    text = re.sub(rf"(?<=\s){mark}(?=\r?\n)", r"\\", block.code.text)
    text = _WINDOWS_PROMPT.sub(lambda prompt: " " * len(prompt[0]), text)
    return Block("sh", block.code._replace(text=text))


def _session(session: Excerpt) -> tuple[Excerpt, Excerpt]:
    """What was typed in a ``session``, and what was printed, which may show commands, too.

    Typed are lines after a prompt, with those they continue on.
    """
    typed: list[Excerpt] = []
    printed: list[Excerpt] = []
    start, going_on = 0, False
    for line in session.text.splitlines(keepends=True):
        prompt = (_GOING_ON if going_on else PROMPT).match(line)
        skipped = prompt.end() if prompt else 0
        lines = typed if prompt or going_on else printed
        lines.append(session.cut(start + skipped, start + len(line)))
        going_on = lines is typed and _CONTINUED.search(line.rstrip("\r\n")) is not None
        start += len(line)
    return Excerpt.joined(typed), Excerpt.joined(printed)
