"""Reads Podman's Quadlet units (``*.container``), as the ``podman run`` that each stands for."""

from __future__ import annotations

from collections.abc import Iterator

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers import lexing, limits
from gemma4ctl.checking.readers.dockerfile import exec_form
from gemma4ctl.checking.readers.excerpt import Excerpt, Field, Lines
from gemma4ctl.checking.readers.shell import Context, read_command
from gemma4ctl.checking.readers.systemd import settings
from gemma4ctl.checking.readers.variables import Variables

# Settings with the option of `podman run` that each value is given with.
_OPTIONS = {
    "AddDevice": "--device",
    "EnvironmentFile": "--env-file",
    "Network": "--network",
    "PublishPort": "--publish",
}


def read_quadlet(path: str, text: str) -> list[Launch]:
    """The launch of the container that the unit ``text`` describes, if it starts SGLang."""
    given = _given(text)
    lines = Lines(text)
    words = [_literal("podman"), _literal("run")]
    for name, option in _OPTIONS.items():
        for value in given.get(name, ()):
            words += [_literal(option), Field(value, (-1, -1), value.offset(0))]
    for value in given.get("Environment", ()):
        for assigned in _words(value):
            words += [_literal("--env"), assigned]
    words += [word for value in given.get("PodmanArgs", ()) for word in _words(value)]
    words += _last(given, "Image") or [_literal("")]
    words += _last(given, "Entrypoint") + _last(given, "Exec")
    return read_command(words, Context(path, "quadlet", lines, Variables()))


def _given(text: str) -> dict[str, list[Excerpt]]:
    """The values of each setting of the container; an empty one takes back those before it."""
    found: dict[str, list[Excerpt]] = {}
    for setting in settings(text):
        limits.step()
        if setting.section == "Container":
            value = setting.value.stripped()
            limits.text(value.text)
            values = found.setdefault(setting.name, [])
            if value.text:
                values.append(value)
            else:
                values.clear()
    return found


def _last(given: dict[str, list[Excerpt]], name: str) -> list[Field]:
    """The words of the last value of a setting that has one value."""
    values = given.get(name, [])
    return list(_words(values[-1])) if values else []


def _words(value: Excerpt) -> Iterator[Field]:
    """``value`` as words: those of a JSON list, or as systemd divides it."""
    listed = exec_form(value)
    if listed is not None:
        yield from listed
        return
    variables = Variables()
    for command in lexing.read(value.text).commands:
        for token in command.tokens:
            yield from variables.fields(token, value)


def _literal(text: str) -> Field:
    """A word that the unit does not hold as such."""
    return Field(Excerpt.of(text, -1), (-1, -1), 0)
