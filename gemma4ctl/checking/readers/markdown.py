"""Reads Markdown and MDX: the code blocks that hold commands or files which start SGLang."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.code_blocks import Block, read_block
from gemma4ctl.checking.readers.excerpt import Excerpt, Lines
from gemma4ctl.checking.readers.shell import Context
from gemma4ctl.checking.readers.variables import Variables, budget

_LANGUAGE = re.compile(r"\{?\.?([\w-]*)")
_TAG = re.compile(r"^[ \t]*</?[A-Za-z][^\r\n]*>[ \t]*(?=\r?$)", re.MULTILINE)


def read_markdown(path: str, text: str) -> list[Launch]:
    """The launches in the code blocks of ``text``. Variables of one block are known in the next."""
    variables = Variables(budget=budget(text))
    lines = Lines(text)
    context = Context(path, "markdown", lines, variables)
    blocks = _blocks(text, lines, indented=not path.lower().endswith(".mdx"))
    return [launch for block in blocks for launch in read_block(block, context)]


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
