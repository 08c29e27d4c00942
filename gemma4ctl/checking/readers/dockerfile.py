"""Reads Dockerfiles: what their stages run, with ENV, ARG, and the image they come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers import lexing, limits
from gemma4ctl.checking.readers.containers import image_vendor
from gemma4ctl.checking.readers.excerpt import Excerpt, Field, Lines
from gemma4ctl.checking.readers.shell import Context, read_command, read_script
from gemma4ctl.checking.readers.variables import Value, Variables, assignment, budget

_INSTRUCTION = re.compile(r"[ \t\ufeff]*([A-Za-z]+)[ \t]+")
_COMMENT = re.compile(r"[ \t]*#")
_ESCAPE_DIRECTIVE = re.compile(r"\ufeff?#[ \t]*escape[ \t]*=[ \t]*`", re.IGNORECASE)
_HERE_DOCUMENT = re.compile(r"<<-?[ \t]*([\"']?)([A-Za-z_]\w*)\1")
_OPTION = re.compile(r"--[a-z-]+=\S*[ \t]*")
_BLANK_IN_LIST = re.compile(r"(?:[ \t\r\n]|\\[ \t]*\r?\n)*")


class Instruction(NamedTuple):
    """``name`` in upper case and what follows it, continuation lines included."""

    name: str
    body: Excerpt


@dataclass
class Stage:
    """A build stage up to here."""

    image: str | None
    variables: Variables = field(default_factory=Variables)
    environment: dict[str, str | None] = field(default_factory=dict)
    entrypoint: Excerpt | None = None
    command: Excerpt | None = None
    own: bool = False  # it says itself what it runs

    def copy(self) -> Stage:
        """A stage that goes on from this one."""
        return replace(
            self, variables=self.variables.copy(), environment=dict(self.environment), own=False
        )


def read_dockerfile(path: str, text: str) -> list[Launch]:
    """The launches of every stage of ``text`` that sets CMD or ENTRYPOINT, and of RUN."""
    reader = _Dockerfile(Context(path, "dockerfile", Lines(text), Variables()), budget(text))
    for instruction in instructions(text):
        reader.take(instruction)
    reader.finish()
    return reader.found


class _Dockerfile:
    def __init__(self, context: Context, allowance: int) -> None:
        self.context = context
        self.arguments = Variables(budget=allowance)  # ARG before the first FROM
        self.stages: dict[str, Stage] = {}
        self.stage = Stage(None, self.arguments)
        self.found: list[Launch] = []

    def take(self, instruction: Instruction) -> None:
        """Follows one instruction."""
        name, body = instruction
        limits.step()
        if name != "RUN":
            limits.text(body.text)
        if name == "FROM":
            self.finish()
            self._begin(body)
        elif name in ("ENV", "ARG"):
            self._set(body, exported=name == "ENV")
        elif name == "ENTRYPOINT":
            self.stage.entrypoint, self.stage.command, self.stage.own = body, None, True
        elif name == "CMD":
            self.stage.command, self.stage.own = body, True
        elif name == "RUN" and "sglang" in body.text:
            options = _OPTION.match(body.text)
            script = body.cut(options.end() if options else 0, len(body.text))
            self.found += read_script(script, self._context())

    def finish(self) -> None:
        """Ends the stage: what it runs is now known."""
        stage = self.stage
        if not stage.own:
            return
        entrypoint = exec_form(stage.entrypoint)
        command = exec_form(stage.command)
        if stage.entrypoint is not None and entrypoint is None:
            self.found += read_script(stage.entrypoint, self._context())
        elif stage.command is not None and command is None:
            self.found += self._shell_command(entrypoint or [], stage.command)
        else:
            words = [*(entrypoint or []), *(command or [])]
            if words and command is None:  # the arguments come with `docker run`
                words.append(Field(Excerpt.unknown("$@"), (-1, -1), words[-1].offset))
            self.found += read_command(words, self._context())

    def _shell_command(self, entrypoint: list[Field], script: Excerpt) -> list[Launch]:
        """CMD in shell form: a script, which the entrypoint gets as its last argument."""
        found = read_script(script, self._context())
        return found or read_command(entrypoint, self._context())

    def _context(self) -> Context:
        stage = self.stage
        return self.context._replace(
            variables=stage.variables,
            environment=dict(stage.environment),
            image=stage.image,
            vendor=image_vendor(stage.image),
        )

    def _begin(self, body: Excerpt) -> None:
        words = [word for word in _words(body, self.arguments) if word.text[:2] != "--"]
        name = words[0].text if words else ""
        known = self.stages.get(name.lower())
        if known is not None:
            self.stage = known.copy()
        else:
            image = name if words and words[0].certain else None
            self.stage = Stage(image, self.arguments.copy())
        if len(words) > 2 and words[1].text.lower() == "as":
            self.stages[words[2].text.lower()] = self.stage

    def _set(self, body: Excerpt, exported: bool) -> None:
        """``ENV A=b C=d``, ``ENV A b``, ``ARG A``, ``ARG A=b``."""
        stage = self.stage
        for name, value in _pairs(body, stage.variables):
            if value is None:  # a bare ARG takes what stands before the first FROM
                value = self.arguments.get(name)
            stage.variables.set(name, value)
            if exported:
                known = value is not None and value.text.certain
                stage.environment[name] = value.text.text if value and known else None


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of ``text``; comments inside them are left out."""
    escape = "`" if _ESCAPE_DIRECTIVE.match(text) else "\\"
    lines = Lines(text)
    number, count = 0, len(lines.starts) - 1
    while number < count:
        start, end = lines.starts[number], lines.starts[number + 1]
        number += 1
        head = _INSTRUCTION.match(text, start, end)
        if head is None:
            continue
        pieces = [Excerpt.of(text[head.end() : end], head.end())]
        line = text[head.end() : end]
        while _goes_on(line, escape) and number < count:
            start, end = lines.starts[number], lines.starts[number + 1]
            number += 1
            if _COMMENT.match(text, start, end) or not text[start:end].strip():
                continue
            line = text[start:end]
            pieces.append(Excerpt.of(line, start))
        body = Excerpt.joined(pieces)
        name = head.group(1).upper()
        if name == "RUN" and (document := _HERE_DOCUMENT.search(body.text)):
            after = _document_end(text, lines, number, document.group(2))
            begin, until = lines.starts[number], lines.starts[after]
            body = Excerpt.joined([body, Excerpt.of(text[begin:until], begin)])
            number = after
        yield Instruction(name, _run_document(body) if name == "RUN" else body)


def _goes_on(line: str, escape: str) -> bool:
    return line.rstrip().endswith(escape)


def _document_end(text: str, lines: Lines, number: int, delimiter: str) -> int:
    """The number of the line after the one that holds ``delimiter`` alone."""
    for line in range(number, len(lines.starts) - 1):
        if text[lines.starts[line] : lines.starts[line + 1]].strip() == delimiter:
            return line + 1
    return len(lines.starts) - 1


def _run_document(body: Excerpt) -> Excerpt:
    """The script of ``RUN <<EOF``; any other body as it is."""
    document = _HERE_DOCUMENT.match(body.text)
    if document is None:
        return body
    start = body.text.find("\n") + 1
    end = body.text.rstrip().rfind("\n") + 1
    closed = body.text[end:].strip() == document.group(2)
    return body.cut(start, max(start, end if closed else len(body.text)))


def exec_form(body: Excerpt | None) -> list[Field] | None:
    """The words of the exec form ``["a", "b"]``; None where ``body`` is no such list."""
    if body is None:
        return None
    text = body.text
    at = _after_blank(text, 0)
    if text[at : at + 1] != "[":
        return None
    fields: list[Field] = []
    at = _after_blank(text, at + 1)
    while text[at : at + 1] == '"':
        try:
            value, end = scanstring(text, at + 1, False)
        except ValueError:
            return None
        fields.append(_json_field(body, at, end, value))
        at = _after_blank(text, end)
        if text[at : at + 1] == ",":
            at = _after_blank(text, at + 1)
    closed = text[at : at + 1] == "]" and not text[at + 1 :].strip()
    return fields if closed else None


def _after_blank(text: str, at: int) -> int:
    blank = _BLANK_IN_LIST.match(text, at)
    return blank.end() if blank else at


def _json_field(body: Excerpt, start: int, end: int, value: str) -> Field:
    """A string of the exec form, written from ``start`` to ``end`` with its quotes."""
    plain = body.text[start + 1 : end - 1] == value
    text = body.cut(start + 1, end - 1) if plain else Excerpt.of(value, -1)
    return Field(text, body.span(start, end), body.offset(start), "json")


def _words(body: Excerpt, variables: Variables) -> list[Field]:
    commands = lexing.read(body.text).commands
    tokens = commands[0].tokens if commands else []
    return [field for token in tokens for field in variables.fields(token, body)]


def _pairs(body: Excerpt, variables: Variables) -> Iterator[tuple[str, Value | None]]:
    commands = lexing.read(body.text).commands
    tokens = commands[0].tokens if commands else []
    if tokens and assignment(tokens[0], body) is None:
        name = body.text[tokens[0].start : tokens[0].end]
        rest = body.cut(tokens[0].end, len(body.text)).stripped()
        yield name, Value(rest) if rest.text else None
        return
    for token in tokens:
        if assigned := assignment(token, body):
            yield assigned[0], Value(variables.text(assigned[2], body))
