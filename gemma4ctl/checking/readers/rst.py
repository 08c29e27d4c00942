"""Reads reStructuredText: the code blocks that hold commands or files which start SGLang."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.code_blocks import Block, read_block
from gemma4ctl.checking.readers.excerpt import Excerpt, Lines
from gemma4ctl.checking.readers.shell import Context
from gemma4ctl.checking.readers.variables import Variables, budget

_DIRECTIVE = re.compile(
    r"[ \t]*\.\. (?:code-block|code|sourcecode|parsed-literal|prompt)::[ \t]*([\w-]*)"
)
_HIGHLIGHT = re.compile(r"[ \t]*\.\. highlight::[ \t]*([\w-]*)")
_OPTION = re.compile(r"[ \t]+:[\w-]+:(?=\s|$)")


def read_rst(path: str, text: str) -> list[Launch]:
    """The launches in the code blocks of ``text``. Variables of one block are known in the next."""
    context = Context(path, "rst", Lines(text), Variables(budget=budget(text)))
    return [
        launch for block in _blocks(text, context.lines) for launch in read_block(block, context)
    ]


def _blocks(text: str, lines: Lines) -> Iterator[Block]:
    """The blocks of code directives and the literal blocks of ``text``, however far indented."""
    written = [text[a:b] for a, b in zip(lines.starts, lines.starts[1:], strict=False)]
    highlighted = ""
    number = 0
    while number < len(written):
        line = written[number].rstrip("\r\n")
        number += 1
        if highlight := _HIGHLIGHT.match(line):
            highlighted = highlight.group(1)
        directive = _DIRECTIVE.match(line)
        if directive is None and not _announces_literal(line):
            continue
        while directive and number < len(written) and _OPTION.match(written[number]):
            number += 1
        end = _end(written, number, _indent(line))
        language = directive.group(1) if directive else highlighted
        yield Block(language.lower(), _code(written, lines, number, end))
        number = end


def _announces_literal(line: str) -> bool:
    """Whether ``line`` ends a paragraph as in "as follows::"."""
    return line.rstrip().endswith("::") and not line.lstrip().startswith(".. ")


def _end(written: list[str], first: int, outer: int) -> int:
    """The number of the line after the block that is indented by more than ``outer``."""
    number = first
    while number < len(written) and (
        not written[number].strip() or _indent(written[number]) > outer
    ):
        number += 1
    return number


def _code(written: list[str], lines: Lines, first: int, end: int) -> Excerpt:
    """The lines of a block without their common indent."""
    common = min((_indent(line) for line in written[first:end] if line.strip()), default=0)
    return Excerpt.joined(
        Excerpt.of(line[cut:], lines.starts[number] + cut)
        for number, line in enumerate(written[first:end], start=first)
        if (cut := min(common, len(line.rstrip("\r\n")))) >= 0
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
