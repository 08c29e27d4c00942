"""Splits shell text into simple commands, in one pass and without ever giving up.

Knows what decides where words begin and end: quotes, escapes, expansions, comments, operators,
redirections, here-documents, arrays and substitutions (whose commands are found too). It does not
check the grammar of compound commands: ``if`` and ``done`` are words here. A quote that is never
closed ends with its line, so that what follows is still read.
"""

from __future__ import annotations

import re

from gemma4ctl.checking.readers.tokens import Command, Comment, HereDocument, Literal, Script, Token
from gemma4ctl.checking.readers.words import (
    _LINE_REST,
    _NEWLINE,
    _PLACEHOLDER,
    _SPACE,
    WordReader,
)

_REDIRECT = re.compile(r"<<<|<<-?|<>|<&|>>|>&|>\||<|>|&>>|&>")
_OPERATORS = re.compile(r"[;&|)]+|\({3,}")


def read(text: str) -> Script:
    """The commands and comments of ``text``. Never raises; linear in its length."""
    lexer = _Lexer(text)
    lexer.script(nested=False)
    lexer.commands.sort(key=lambda command: command.start)
    return Script(lexer.commands, lexer.comments)


class _Lexer(WordReader):
    # Commands

    def script(self, nested: bool) -> None:
        """Reads commands up to the end or, ``nested``, past the ``)`` that closes them."""
        command: Command | None = None
        parentheses = 0
        while self.at < self.end:
            if space := _SPACE.match(self.text, self.at, self.end):
                self.at = space.end()
                continue
            mark = self.text[self.at]
            if mark in "\r\n":
                command = self._finished(command)
                self.at = self._match(_NEWLINE).end()
                self._read_here_documents()
            elif mark == "#":
                rest = self._match(_LINE_REST)
                self.comments.append(Comment(rest.start(), rest.end()))
                self.at = rest.end()
            elif mark in "<>" or self.text.startswith("&>", self.at):
                command = command or Command(self.at)
                self._redirect(command)
            elif mark in ";&|()":
                command = self._finished(command)
                if nested and mark == ")" and not parentheses:
                    self.at += 1
                    return
                parentheses += self._operators(nested)
            else:
                command = command or Command(self.at)
                command.tokens.append(self._word())
        self._finished(command)

    def _operators(self, nested: bool) -> int:
        """Goes past ``;``, ``&&``, ``((...))`` and so on; how many parentheses it opened."""
        if arithmetic := self._arithmetic(self.at):
            self.at = arithmetic
            return 0
        many = _OPERATORS.match(self.text, self.at, self.end)
        start = self.at
        self.at = many.end() if many and (not nested or many.group()[0] == "(") else self.at + 1
        passed = self.text[start : self.at]
        return passed.count("(") - passed.count(")")

    def _finished(self, command: Command | None) -> Command | None:
        """Keeps ``command``; None, for the one that has not begun."""
        if command is not None:
            self.commands.append(command)
        return None

    def _redirect(self, command: Command) -> None:
        if _PLACEHOLDER.match(self.text, self.at, self.end):
            command.tokens.append(self._word())
            return
        if self.text[self.at + 1 : self.at + 2] == "(" and self.text[self.at] in "<>":
            command.tokens.append(self._word())
            return
        operator = self._match(_REDIRECT)
        self._drop_descriptor(command, operator.start())
        self.at = operator.end()
        while space := _SPACE.match(self.text, self.at, self.end):
            self.at = space.end()
        if self.at >= self.end or self.text[self.at] in "\r\n;&|()<>":
            return
        word = self._word()
        if operator.group() in ("<<", "<<-"):
            self._announce(command, word, operator.group() == "<<-")
        elif operator.group() == "<<<":
            command.here_strings.append(word)
        elif ">" in operator.group() and ">&" not in operator.group():
            command.target = word

    def _drop_descriptor(self, command: Command, at: int) -> None:
        """Removes the ``2`` of ``2>`` from the words."""
        last = command.tokens[-1] if command.tokens else None
        if last and last.end == at and self.text[last.start : last.end].isdigit():
            command.tokens.pop()

    # Here-documents

    def _announce(self, command: Command, word: Token, tabs: bool) -> None:
        delimiter = "".join(part.text for part in word.parts if isinstance(part, Literal))
        quoted = delimiter != self.text[word.start : word.end]
        self.pending.append((command, delimiter, tabs, quoted))

    def _read_here_documents(self) -> None:
        pending, self.pending = self.pending, []
        for command, delimiter, tabs, quoted in pending:
            start = self.at
            end, self.at = self._body(delimiter, tabs)
            command.here_documents.append(HereDocument(start, end, quoted))

    def _body(self, delimiter: str, tabs: bool) -> tuple[int, int]:
        """Where the body from here ends, and where reading goes on."""
        at = self.at
        while at < self.end:
            line = _LINE_REST.match(self.text, at, self.end)
            assert line is not None
            written = line.group().lstrip("\t") if tabs else line.group()
            newline = _NEWLINE.match(self.text, line.end(), self.end)
            after = newline.end() if newline else line.end()
            # A delimiter in a nested or indented place is taken as one, too: an unclosed
            # here-document would hide the rest of the file.
            if written == delimiter:
                return at, after if newline else line.end()
            at = after if newline else self.end
        return self.end, self.end
