"""Reads shell scripts: which SGLang launches they hold, with the variables they set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers import lexing, limits
from gemma4ctl.checking.readers.containers import Container, Vendor
from gemma4ctl.checking.readers.excerpt import Excerpt, Field, Lines
from gemma4ctl.checking.readers.programs import Call, call, may_start
from gemma4ctl.checking.readers.tokens import Command, HereDocument, Literal, Token
from gemma4ctl.checking.readers.variables import Value, Variables, assignment, budget

MAX_DEPTH = 4  # of scripts in scripts
MAX_LENGTH = 128 * 1024  # characters; of longer scripts only the lines that name SGLang are read

_KEYWORDS = frozenset(["if", "then", "elif", "else", "while", "until", "do", "!", "{", "}"])
_KEYWORDS |= {"time", "coproc", "function"}
_OPENING = frozenset(["if", "while", "until", "for", "case", "select"])
_CLOSING = frozenset(["fi", "done", "esac"])
_DECLARING = frozenset(["export", "declare", "typeset", "local", "readonly"])
_OTHER_LANGUAGES = re.compile(r"python[0-9.]*|perl|ruby|node|psql|mysql|php|R")
_REFERENCE = re.compile(r"\$[\w{@*]")
_ESCAPE_IN_DOCUMENT = re.compile(r"\\(?=[$`\\])")
_LOGICAL_LINE = re.compile(r"(?:[^\r\n\\]|\\\r\n|\\[\s\S])*(?:\r\n|\r|\n|$)")
PROMPT = re.compile(r"[ \t]*(?:\([\w.-]{1,40}\) )?(?:[\w.@:~/-]{1,80})?[$%❯] ")


class Context(NamedTuple):
    """Where a script stands: the file, the container, and what is known of its variables."""

    path: str
    kind: str
    lines: Lines
    variables: Variables
    environment: Mapping[str, str | None] = {}
    image: str | None = None
    vendor: Vendor | None = None
    published: bool | None = None
    depth: int = 0

    def inside(self, box: Container | None) -> Context:
        """The context of what runs in ``box``, which does not inherit the environment."""
        if box is None:
            return self
        return self._replace(
            environment=box.environment,
            image=box.image,
            vendor=box.vendor,
            published=box.published,
        )


def read_shell(path: str, text: str, kind: str = "shell") -> list[Launch]:
    """The launches of the shell script ``text``."""
    variables = Variables(budget=budget(text))
    return read_script(Excerpt.of(text), Context(path, kind, Lines(text), variables))


def read_script(source: Excerpt, context: Context) -> list[Launch]:
    """The launches of the script ``source``; its assignments stay in ``context.variables``."""
    if context.depth > MAX_DEPTH:
        return []
    source = _shortened(source)
    limits.script(len(source.text))
    return list(_Script(source, context).launches())


def read_lines(source: Excerpt, context: Context) -> list[Launch]:
    """The launches of ``source``, a text of which only some lines are commands.

    Each line (with the lines it continues on) is read alone, without its prompt, so that an
    apostrophe in prose hides nothing. A launch there has at least one option: "sglang serve starts
    the server" is prose.
    """
    found: list[Launch] = []
    source = _shortened(source)
    for line in _LOGICAL_LINE.finditer(source.text):
        if "sglang" not in line.group() and "=" not in line.group():
            continue
        prompt = PROMPT.match(line.group())
        start = line.start() + (prompt.end() if prompt else 0)
        launches = read_script(source.cut(start, line.end()), context)
        found += [
            launch for launch in launches if any(word.text[:1] == "-" for word in launch.words)
        ]
    return found


def read_command(fields: list[Field], context: Context) -> list[Launch]:
    """The launches of one command line, given as its words."""
    found = call(fields)
    return list(_launches(found, context)) if found else []


def embedded(token: Token, source: Excerpt) -> Excerpt:
    """The text of ``token`` without its quotes, expansions left as written: a script in it."""
    return Excerpt.joined(
        source.cut(part.start, part.start + len(part.text))
        if isinstance(part, Literal)
        else source.cut(part.start, part.end)
        for part in token.parts
    )


def _shortened(source: Excerpt) -> Excerpt:
    """``source``, or where that is too long its lines that name SGLang, as many as may be read."""
    if len(source.text) <= MAX_LENGTH:
        return source
    pieces, length = [], 0
    for line in _LOGICAL_LINE.finditer(source.text):
        length += len(line.group()) if "sglang" in line.group() else 0
        if length > MAX_LENGTH:
            break
        if "sglang" in line.group():
            pieces.append(source.cut(line.start(), line.end()))
    return Excerpt.joined(pieces)


def _launches(found: Call, context: Context) -> Iterator[Launch]:
    inner = context.inside(found.container)
    environment = {**inner.environment, **found.environment}
    if found.entry is not None and found.at is not None:
        limits.launch(len(found.words))
        yield Launch(
            path=inner.path,
            kind=inner.kind,
            entry=found.entry,
            words=tuple(word.word(inner.lines) for word in found.words),
            place=inner.lines.place(found.at.offset),
            environment=environment,
            image=inner.image,
            vendor=inner.vendor,
            published=inner.published,
        )
    for script in found.scripts:
        deeper = inner._replace(environment=environment, depth=inner.depth + 1)
        yield from read_script(script.script or script.value, deeper)


class _Script:
    """One script while it is read, command by command."""

    def __init__(self, source: Excerpt, context: Context) -> None:
        self.source = source
        self.context = context
        self.variables = context.variables
        self.blocks = 0  # open if, for, while, case
        self.exports_all = False

    def launches(self) -> Iterator[Launch]:
        for command in lexing.read(self.source.text).commands:
            yield from self._command(command)

    def _command(self, command: Command) -> Iterator[Launch]:
        words = self._without_keywords(command.tokens)
        assignments = list(takewhile(lambda t: assignment(t, self.source), words))
        words = words[len(assignments) :]
        if words:
            yield from self._program(words, assignments)
        else:
            for token in assignments:
                self._assign(token)
        yield from self._documents(command, words)

    def _without_keywords(self, tokens: list[Token]) -> list[Token]:
        for index, token in enumerate(tokens):
            text = self._written(token)
            self.blocks += (text in _OPENING) - (text in _CLOSING and self.blocks > 0)
            if text not in _KEYWORDS:
                return tokens[index:]
        return []

    def _written(self, token: Token) -> str:
        return self.source.text[token.start : token.end]

    # Variables

    def _assign(self, token: Token, *, export: bool = False) -> None:
        assigned = assignment(token, self.source)
        if assigned is None:
            return
        name, adds, right = assigned
        value = self._value(right)
        if adds:
            self.variables.append(name, value)
        else:
            self.variables.set(name, value, perhaps=self.blocks > 0)
        if export or self.exports_all:
            self.variables.export(name)

    def _value(self, token: Token) -> Value:
        if token.items is None:
            return Value(self.variables.text(token, self.source))
        fields = [f for item in token.items for f in self.variables.fields(item, self.source)]
        return Value(Excerpt.of("", -1), tuple(fields))

    def _prefix(self, tokens: list[Token]) -> dict[str, str | None]:
        """The environment that assignments before a command set for it."""
        found: dict[str, str | None] = {}
        for token in tokens:
            assigned = assignment(token, self.source)
            if assigned is not None:
                value = self.variables.text(assigned[2], self.source)
                found[assigned[0]] = value.text if value.certain else None
        return found

    def _declare(self, program: str, tokens: list[Token]) -> None:
        exports = program == "export" or any(self._written(t) == "-x" for t in tokens)
        for token in tokens:
            if assignment(token, self.source):
                self._assign(token, export=exports)
            elif exports and self._written(token)[:1] != "-":
                self.variables.export(self._written(token))

    # Programs

    def _program(self, tokens: list[Token], assignments: list[Token]) -> Iterator[Launch]:
        program = self._written(tokens[0])
        if program in _DECLARING:
            self._declare(program, tokens[1:])
        elif program in ("unset", "read", "for", "select", "mapfile", "readarray"):
            for token in tokens[1:]:
                self.variables.set(self._written(token), None)
        elif program == "set":
            self.exports_all = any(self._written(t) in ("-a", "-o") for t in tokens[1:])
        elif may_start(program) and any(self._concerns(token) for token in tokens):
            fields = [f for t in tokens for f in self._fields(t)]
            limits.step(len(fields))
            context = self.context._replace(environment=self._environment(assignments))
            found = call(fields)
            yield from _launches(found, context) if found else ()

    def _fields(self, token: Token) -> list[Field]:
        """The words of ``token``, with the script in it where it may be one."""
        fields = self.variables.fields(token, self.source)
        if len(fields) == 1 and "sglang" in fields[0].text and not fields[0].certain:
            return [fields[0]._replace(script=embedded(token, self.source))]
        return fields

    def _concerns(self, token: Token) -> bool:
        written = self._written(token)
        return "sglang" in written or _REFERENCE.search(written) is not None

    def _environment(self, assignments: list[Token]) -> dict[str, str | None]:
        exported = self.variables.environment()
        return {**self.context.environment, **exported, **self._prefix(assignments)}

    # Scripts in here-documents

    def _documents(self, command: Command, tokens: list[Token]) -> Iterator[Launch]:
        """What stands in here-documents, be it run now or written to a file."""
        program = self._written(tokens[0]) if tokens else ""
        if _OTHER_LANGUAGES.fullmatch(program):
            return
        name = self._target(command, tokens)
        context = self.context._replace(depth=self.context.depth + 1)
        for document in command.here_documents:
            if "sglang" in self.source.text[document.start : document.end]:
                yield from self._document(name, self._body(document), context)
        for text in command.here_strings:
            yield from read_script(embedded(text, self.source), context)

    def _document(self, name: str, body: Excerpt, context: Context) -> Iterator[Launch]:
        from gemma4ctl.checking.readers import embedded_file

        if context.depth <= MAX_DEPTH:
            yield from embedded_file(name, body, context)

    def _target(self, command: Command, tokens: list[Token]) -> str:
        """The name of the file that the command writes, "" where it writes none."""
        if command.target is not None:
            return self.variables.text(command.target, self.source).text
        if tokens and any(self._written(token) == "tee" for token in tokens[:2]):
            return self._written(tokens[-1])
        return ""

    def _body(self, document: HereDocument) -> Excerpt:
        """The text that the here-document stands for."""
        body = self.source.cut(document.start, document.end)
        if document.quoted or "\\" not in body.text:
            return body
        pieces, start = [], 0
        for escape in _ESCAPE_IN_DOCUMENT.finditer(body.text):
            if escape.start() < start:
                continue  # this backslash is itself escaped
            pieces.append(body.cut(start, escape.start()))
            pieces.append(body.cut(escape.end(), escape.end() + 1))
            start = escape.end() + 1
        return Excerpt.joined([*pieces, body.cut(start, len(body.text))])
