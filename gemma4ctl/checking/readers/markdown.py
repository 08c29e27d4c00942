"""Reads Markdown and MDX: the code blocks that hold commands or files which start SGLang."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.excerpt import Excerpt, Lines
from gemma4ctl.checking.readers.shell import PROMPT, Context, read_lines, read_script
from gemma4ctl.checking.readers.variables import Variables, budget

_SHELLS = frozenset(["bash", "sh", "shell", "zsh", "bat", "shellscript", "slurm", "sbatch"])
_SESSIONS = frozenset(["console", "shell-session", "shellsession", "terminal", "sh-session"])
_UNKNOWN = frozenset(["", "text", "txt", "none", "plain", "plaintext"])
_FILES = {
    "compose": "compose.yaml",
    "containerfile": "Containerfile",
    "docker": "Dockerfile",
    "dockerfile": "Dockerfile",
    "docker-compose": "compose.yaml",
    "ini": "unit.service",
    "json": "file.json",
    "service": "unit.service",
    "systemd": "unit.service",
    "yaml": "file.yaml",
    "yml": "file.yaml",
}
_LANGUAGE = re.compile(r"\{?\.?([\w-]*)")
_CONTINUED = re.compile(r"\\[ \t]*$")
_GOING_ON = re.compile(r"[ \t]*>(?: |$)")
_TAG = re.compile(r"^[ \t]*</?[A-Za-z][^\r\n]*>[ \t]*$", re.MULTILINE)
_FIRST_PROMPT = re.compile(r"^" + PROMPT.pattern, re.MULTILINE)


class Block(NamedTuple):
    """A code block: its language, lower case, and its text."""

    language: str
    code: Excerpt


def read_markdown(path: str, text: str) -> list[Launch]:
    """The launches in the code blocks of ``text``. Variables of one block are known in the next."""
    variables = Variables(budget=budget(text))
    lines = Lines(text)
    context = Context(path, "markdown", lines, variables)
    found: list[Launch] = []
    for block in _blocks(text, lines, indented=not path.lower().endswith(".mdx")):
        if "sglang" in block.code.text or block.language in _SHELLS:
            found += _read_block(block, context)
    return found


def _read_block(block: Block, context: Context) -> list[Launch]:
    from gemma4ctl.checking.readers import embedded_file

    language = block.language
    if language in _FILES:
        return embedded_file(_FILES[language], block.code, context)
    if language in _SHELLS | _SESSIONS | _UNKNOWN and _FIRST_PROMPT.search(block.code.text):
        typed, printed = _session(block.code)
        return [*read_script(typed, context), *read_lines(printed, context)]
    if language in _SHELLS | _SESSIONS:
        return read_script(block.code, context)
    return read_lines(block.code, context) if language in _UNKNOWN else []


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


def _blocks(text: str, lines: Lines, indented: bool) -> Iterator[Block]:
    """The code blocks of ``text``; ``indented``: four spaces make one, which MDX does not have."""
    from markdown_it import MarkdownIt

    # Only blocks matter. HTML tags are blanked, so that fences in <details> or <Tabs> are found.
    parser = MarkdownIt("commonmark").disable(["inline", "html_block", "reference"])
    if not indented:
        parser.disable("code")
    for token in parser.parse(_TAG.sub("", text)):
        if token.map is None or token.type not in ("fence", "code_block"):
            continue
        language = _LANGUAGE.match(token.info.strip().lower())
        first = token.map[0] + (token.type == "fence")
        code = _placed(token.content, text, lines, first)
        yield Block(language.group(1) if language else "", code)


def _placed(content: str, text: str, lines: Lines, first: int) -> Excerpt:
    """``content`` with the place of each line, which is what its line of ``text`` ends with."""
    pieces: list[Excerpt] = []
    for number, line in enumerate(content.split("\n"), start=first):
        if number >= len(lines.starts):
            break
        begin, end = lines.starts[number], lines.end(number + 1)
        written = text[begin:end].rstrip("\r\n")
        if written.endswith(line):
            pieces.append(
                Excerpt.of(
                    text[begin + len(written) - len(line) : end], begin + len(written) - len(line)
                )
            )
        else:
            pieces.append(Excerpt.of(line + "\n", -1))
    return Excerpt.joined(pieces)
