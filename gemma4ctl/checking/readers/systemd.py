"""Reads systemd units: ``ExecStart`` with ``Environment`` and specifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers import lexing, limits
from gemma4ctl.checking.readers.excerpt import Excerpt, Lines
from gemma4ctl.checking.readers.shell import Context, read_script
from gemma4ctl.checking.readers.variables import Value, Variables, budget

_SETTING = re.compile(r"[ \t\ufeff]*([A-Za-z]+)[ \t]*=[ \t]*")
_SECTION = re.compile(r"[ \t\ufeff]*\[([^\]\r\n]*)\]")
_PREFIXES = re.compile(r"[-@:+!|]*")
_SPECIFIER = re.compile(r"%%|%[A-Za-z]|\$\$")
_COMMANDS = ("ExecStart", "ExecStartPre", "ExecStartPost")


class Setting(NamedTuple):
    """``name=value`` in a ``section``, continuation lines included."""

    section: str
    name: str
    value: Excerpt


def read_systemd(path: str, text: str) -> list[Launch]:
    """The launches of the unit ``text``."""
    given = list(settings(text))
    variables = Variables(budget=budget(text))
    for setting in given:
        limits.step()
        if setting.name == "Environment":
            limits.text(setting.value.text)
            _set_environment(setting.value, variables)
    context = Context(path, "systemd", Lines(text), variables)
    found: list[Launch] = []
    for setting in given:
        if setting.name in _COMMANDS and "sglang" in setting.value.text:
            prefixes = _PREFIXES.match(setting.value.text)
            start = prefixes.end() if prefixes else 0
            found += read_script(setting.value.cut(start, len(setting.value.text)), context)
    return found


def _set_environment(value: Excerpt, variables: Variables) -> None:
    """``Environment="A=b c" D=e``: quotes may stand around the whole assignment."""
    for command in lexing.read(value.text).commands:
        for token in command.tokens:
            word = variables.text(token, value)
            name, equals, rest = word.text.partition("=")
            if equals:
                start = len(name) + 1
                variables.set(name, Value(word.cut(start, start + len(rest))))
                variables.export(name)


def settings(text: str) -> Iterator[Setting]:
    """The settings of the unit ``text``, in order."""
    lines = Lines(text)
    section = ""
    number, count = 0, len(lines.starts) - 1
    while number < count:
        start, end = lines.starts[number], lines.starts[number + 1]
        number += 1
        if title := _SECTION.match(text, start, end):
            section = title.group(1)
        head = _SETTING.match(text, start, end)
        if head is None:
            continue
        pieces = [Excerpt.of(text[head.end() : end], head.end())]
        while text[start:end].rstrip("\r\n").endswith("\\") and number < count:
            following, after = lines.starts[number], lines.starts[number + 1]
            number += 1
            if text[following:after].lstrip()[:1] in ("#", ";"):
                continue
            start, end = following, after
            pieces.append(Excerpt.of(text[start:end], start))
        yield Setting(section, head.group(1), _with_specifiers(Excerpt.joined(pieces)))


def _with_specifiers(value: Excerpt) -> Excerpt:
    """``value`` with ``%i`` and the like marked as known only at run time."""
    pieces, start = [], 0
    for found in _SPECIFIER.finditer(value.text):
        pieces.append(value.cut(start, found.start()))
        start = found.end()
        if found.group() in ("%%", "$$"):
            pieces.append(value.cut(found.start() + 1, found.end()))
        else:
            pieces.append(Excerpt.unknown(found.group(), value.offset(found.start())))
    return Excerpt.joined([*pieces, value.cut(start, len(value.text))])
