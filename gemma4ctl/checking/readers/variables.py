"""The variables of a script as far as its text tells them, and the words that come out of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gemma4ctl.checking.readers.excerpt import Excerpt, Field
from gemma4ctl.checking.readers.tokens import Literal, Parameter, Part, Token, Unknown

MAX_EXPORTED = 256  # variables of the environment that are followed
MAX_VALUE = 16 * 1024  # characters of one variable that are followed
_WORD = re.compile(r"[^ \t\r\n]+")
_SAFE = re.compile(r"[\w@%+=:,./-]+")  # means the same with any quoting
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)


class Value(NamedTuple):
    """What a variable holds: one text, or the words of an array (then ``fields``)."""

    text: Excerpt
    fields: tuple[Field, ...] | None = None

    @property
    def size(self) -> int:
        """Its length in characters."""
        return len(self.text.text) + sum(len(field.text) for field in self.fields or ())


class Variables:
    """Values by name. What is unknown may still be set by whoever runs the script.

    ``budget`` bounds the characters that all expansions together may give, so that variables that
    double each other stay harmless: beyond it everything is unknown.
    """

    def __init__(self, values: Mapping[str, str | None] | None = None, budget: int = 256 * 1024):
        self._values: dict[str, Value | None] = {}
        self._exported: dict[str, None] = {}
        self.budget = budget
        for name, value in (values or {}).items():
            self._values[name] = None if value is None else Value(Excerpt.of(value, -1))
            self.export(name)

    def get(self, name: str) -> Value | None:
        """The value of ``name``; None where it is unknown."""
        return self._values.get(name)

    def set(self, name: str, value: Value | None, *, perhaps: bool = False) -> None:
        """Assigns. ``perhaps``: in a branch, so a second, different value leaves it unknown."""
        before = self._values.get(name)
        if perhaps and name in self._values and before != value:
            extends = before and value and value.text.text.startswith(before.text.text)
            value = value if extends and before and before.fields is None else None
        self._values[name] = value if value is None or value.size <= MAX_VALUE else None

    def export(self, name: str) -> None:
        """Makes ``name`` part of the environment."""
        if len(self._exported) < MAX_EXPORTED:
            self._exported[name] = None

    def append(self, name: str, value: Value | None) -> None:
        """``name+=value``."""
        before = self._values.get(name)
        if name not in self._values:
            self.set(name, value)
        elif before is None or value is None:
            self._values[name] = None
        else:
            fields = None
            if before.fields is not None or value.fields is not None:
                fields = (*(before.fields or ()), *(value.fields or ()))
            joined = Value(Excerpt.joined([before.text, value.text]), fields)
            self._values[name] = joined if self._spend(joined.size) else None

    def copy(self) -> Variables:
        """The same variables, to go on separately; the budget is halved between the two."""
        self.budget //= 2
        other = Variables(budget=self.budget)
        other._values.update(self._values)
        other._exported.update(self._exported)
        return other

    def environment(self) -> dict[str, str | None]:
        """The exported variables; None where the value is unknown."""
        return {name: _known(self._values.get(name)) for name in self._exported}

    # Expansion

    def fields(self, token: Token, source: Excerpt) -> list[Field]:
        """The words that ``token`` of the text ``source`` becomes; none where it vanishes."""
        if token.items is not None:  # NAME=(...) where no assignment can stand
            text = Excerpt.unknown(source.text[token.start : token.end])
            return [Field(text, (-1, -1), source.offset(token.start))]
        builder = _Fields(token, source)
        for part in token.parts:
            self._expand(part, builder)
        return builder.done()

    def text(self, token: Token, source: Excerpt) -> Excerpt:
        """``token`` as one text, as on the right of ``=``: not split into words."""
        return Excerpt.joined(self._joined(token.parts, source))

    def _expand(self, part: Part, builder: _Fields) -> None:
        if not isinstance(part, Parameter):
            builder.add(_written(part, builder.source), part.quoted)
            return
        value = self.get(part.name)
        if value is not None and not self._spend(value.size):
            value = None
        if value is not None and value.fields is not None and (part.every or not part.quoted):
            builder.splice(value.fields)
        elif value is not None:
            builder.expand(value.text, part.quoted)
        elif part.default is not None and part.name not in self._values:
            builder.expand(Excerpt.joined(self._joined(part.default, builder.source)), part.quoted)
        else:
            builder.unknown(part)

    def _joined(self, parts: tuple[Part, ...], source: Excerpt) -> Iterator[Excerpt]:
        for part in parts:
            if not isinstance(part, Parameter):
                yield _written(part, source)
                continue
            value = self.get(part.name)
            if value is not None and self._spend(value.size):
                yield _flat(value)
            elif value is None and part.default is not None and part.name not in self._values:
                yield from self._joined(part.default, source)
            else:
                yield _unknown(part, source)

    def _spend(self, size: int) -> bool:
        self.budget -= size
        return self.budget >= 0


def budget(text: str) -> int:
    """How many characters the expansions of a script may give together."""
    return len(text) + 256 * 1024


def assignment(token: Token, source: Excerpt) -> tuple[str, bool, Token] | None:
    """Name, whether it is ``+=``, and the value of an assignment ``token``; None for others."""
    first = token.parts[0]
    if not isinstance(first, Literal) or first.quoted:
        return None
    found = _ASSIGNMENT.match(first.text)
    if found is None:
        return None
    rest = Literal(first.text[found.end() :], first.start + found.end(), quoted=False)
    value = token._replace(parts=(rest, *token.parts[1:]), start=rest.start)
    return found.group(1), bool(found.group(2)), value


class _Fields:
    """Puts words together from the pieces of one token."""

    def __init__(self, token: Token, source: Excerpt) -> None:
        self.token = token
        self.source = source
        self.words: list[Field] = []
        self.pieces: list[Excerpt] = []
        self.kept = False  # a quote keeps an empty word
        self.literal = True

    def add(self, piece: Excerpt, quoted: bool) -> None:
        """A piece that is written in the token."""
        self.kept = self.kept or quoted
        self.pieces.append(piece)

    def unknown(self, part: Parameter) -> None:
        """A piece that stands for a value nobody knows."""
        self.kept = True
        self.pieces.append(_unknown(part, self.source))

    def expand(self, value: Excerpt, quoted: bool) -> None:
        """The value of a variable, split into words where it is not quoted."""
        self.literal = False
        if quoted or not any(run.certain for run in value.runs):
            self.add(value, quoted=True)
            return
        text = value.text
        if text[:1] in _BLANK:
            self._end()
        for number, word in enumerate(_WORD.finditer(text)):
            if number:
                self._end()
            self.pieces.append(value.cut(word.start(), word.end()))
        if text[-1:] in _BLANK:
            self._end()

    def splice(self, fields: tuple[Field, ...]) -> None:
        """The words of an array; those in its middle stand where they are written."""
        self.literal = False
        for number, field in enumerate(fields):
            if number:
                self._end()
            if not self.pieces and number not in (0, len(fields) - 1):
                self.words.append(field)
                continue
            self.pieces.append(field.value)
            self.kept = True
        self._restore(fields)

    def _restore(self, fields: tuple[Field, ...]) -> None:
        """Where the token is nothing but the array, all its words keep their places."""
        if len(self.token.parts) == 1 or all(
            not part.text for part in self.token.parts if isinstance(part, Literal)
        ):
            self.words, self.pieces, self.kept = list(fields), [], False

    def _end(self) -> None:
        """Ends the word that is being put together."""
        if not self.pieces and not self.kept:
            return
        value = Excerpt.joined(self.pieces)
        self.words.append(Field(value, self._span(value), self._offset(value)))
        self.pieces, self.kept = [], False

    def _span(self, value: Excerpt) -> tuple[int, int]:
        if self.literal:
            return self.source.span(self.token.start, self.token.end)
        return value.span(0, len(value.text)) if _SAFE.fullmatch(value.text) else (-1, -1)

    def _offset(self, value: Excerpt) -> int:
        span = self._span(value)
        return span[0] if span[0] >= 0 else self.source.offset(self.token.start)

    def done(self) -> list[Field]:
        """All words."""
        if any(piece.text for piece in self.pieces) or self.kept:
            self._end()
        return self.words


_BLANK = (" ", "\t", "\r", "\n")


def _written(part: Literal | Unknown, source: Excerpt) -> Excerpt:
    if isinstance(part, Literal):
        return source.cut(part.start, part.start + len(part.text))
    return _unknown(part, source)


def _unknown(part: Parameter | Unknown, source: Excerpt) -> Excerpt:
    return Excerpt.unknown(source.text[part.start : part.end], source.offset(part.start))


def _flat(value: Value) -> Excerpt:
    if value.fields is None:
        return value.text
    spaced = [piece for field in value.fields for piece in (field.value, Excerpt.of(" ", -1))]
    return Excerpt.joined(spaced[:-1])


def _known(value: Value | None) -> str | None:
    return value.text.text if value is not None and value.text.certain else None
