"""The words of a shell text: quotes, escapes, expansions, arrays and substitutions."""

from __future__ import annotations

import re

from gemma4ctl.checking.readers.tokens import (
    Command,
    Comment,
    Literal,
    Parameter,
    Part,
    Token,
    Unknown,
)

MAX_DEPTH = 8  # of substitutions in substitutions; deeper ones are taken as plain text
MAX_EXPANSION = 1_000  # characters of one ${...} or ((...))
_RESCANS = 2  # how often, on average, a character may be read again after an unclosed quote
_SPACE = re.compile(r"(?:[ \t\ufeff]|\\\r?\n|\\\r)+")
_PLAIN = re.compile(r"[^ \t\r\n\\'\"$`;&|()<>]+")
_IN_DOUBLE = re.compile(r"[^\"\\$`]+")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_LINE_REST = re.compile(r"[^\r\n]*")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]", re.ASCII)
_ASSIGNED_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=\(", re.ASCII)
_PLACEHOLDER = re.compile(r"<[A-Za-z][^<>\r\n\"'`$|;&]{0,80}>")
_BRACE = re.compile(r"[{}]")


class _UnclosedQuoteError(Exception):
    """A quote that nothing closes."""


class WordReader:
    """Reads the words of a shell text; a subclass reads the commands that they form."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.end = len(text)
        self.depth = 0
        self.commands: list[Command] = []
        self.comments: list[Comment] = []
        self.pending: list[tuple[Command, str, bool, bool]] = []  # here-documents not yet read
        self.quote_end = -1  # how far the quote that is being read may reach
        self.rescans_left = _RESCANS * len(text)

    def script(self, nested: bool) -> None:
        """Reads commands up to the end or, ``nested``, past the ``)`` that closes them."""
        raise NotImplementedError

    # Words

    def _word(self) -> Token:
        array = _ASSIGNED_ARRAY.match(self.text, self.at, self.end)
        if array:
            name = Literal(array.group()[:-1], self.at, quoted=False)
            self.at = array.end()
            items = self._items()
            return Token((name,), array.start(), self.at, items)
        return self._plain_word()

    def _plain_word(self) -> Token:
        """A word that is no array."""
        start = self.at
        parts: list[Part] = []
        while self.at < self.end and self._part(parts):
            pass
        if self.at == start:  # nothing that a word can begin with: take it as it is
            parts.append(Literal(self.text[start], start, quoted=False))
            self.at += 1
        return Token(tuple(parts), start, self.at)

    def _items(self) -> tuple[Token, ...]:
        """The words of an array up to its ``)``; where nothing closes it, those of its line."""
        items: list[Token] = []
        start, commands = self.at, len(self.commands)
        while self.at < self.end:
            if space := _SPACE.match(self.text, self.at, self.end):
                self.at = space.end()
            elif self.text[self.at] in "\r\n":
                self.at += 1
            elif self.text[self.at] == "#":
                rest = self._match(_LINE_REST)
                self.comments.append(Comment(rest.start(), rest.end()))
                self.at = rest.end()
            elif self.text[self.at] == ")":
                self.at += 1
                return tuple(items)
            elif self.text[self.at] in ";&|(" or self.rescans_left <= 0:
                return tuple(items)  # no array after all
            else:
                items.append(self._plain_word())
        self.rescans_left -= self.at - start
        self.at = start
        self.at = self._match(_LINE_REST).end()
        del self.commands[commands:]
        return tuple(item for item in items if item.end <= self.at)

    def _part(self, parts: list[Part]) -> bool:
        """Reads the next piece of a word; False where the word has ended."""
        if plain := _PLAIN.match(self.text, self.at, self.end):
            parts.append(Literal(plain.group(), self.at, quoted=False))
            self.at = plain.end()
            return True
        mark = self.text[self.at]
        if mark in "'\"":
            self._quote(parts, mark)
        elif mark == "\\":
            self._escape(parts)
        elif mark == "$":
            self._dollar(parts, quoted=False)
        elif mark == "`":
            self._backquote(parts, quoted=False)
        elif mark in "<>" and self.text[self.at + 1 : self.at + 2] == "(" and self._can_nest():
            self._substitution(parts, self.at, quoted=False)
        elif mark == "<" and (placeholder := _PLACEHOLDER.match(self.text, self.at, self.end)):
            parts.append(Unknown(self.at, placeholder.end(), quoted=False))
            self.at = placeholder.end()
        else:
            return False
        return True

    def _escape(self, parts: list[Part]) -> None:
        newline = _NEWLINE.match(self.text, self.at + 1, self.end)
        if newline:
            self.at = newline.end()
        elif self.at + 1 < self.end:
            parts.append(Literal(self.text[self.at + 1], self.at + 1, quoted=True))
            self.at += 2
        else:
            parts.append(Literal("\\", self.at, quoted=True))
            self.at += 1

    # Quotes

    def _quote(self, parts: list[Part], mark: str) -> None:
        start, end, depth, pending = self.at, self.end, self.depth, self.pending
        outer, counts = self.quote_end, (len(self.commands), len(self.comments), len(parts))
        if self.rescans_left <= 0:
            self.end = self._match(_LINE_REST).end()
        self.quote_end = self.end
        self.at += 1
        try:
            if mark == "'":
                self._single(parts)
            else:
                self._double(parts)
        except _UnclosedQuoteError:
            if outer == self.quote_end:
                raise  # nothing can close the outer one either
            self.rescans_left -= self.quote_end - start
            self.depth, self.pending = depth, pending
            del self.commands[counts[0] :], self.comments[counts[1] :], parts[counts[2] :]
            self.at = start
            self.at = self._match(_LINE_REST).end()
            parts.append(Unknown(start, self.at, quoted=True))
        finally:
            self.end, self.quote_end = end, outer

    def _single(self, parts: list[Part]) -> None:
        close = self.text.find("'", self.at, self.end)
        if close < 0:
            raise _UnclosedQuoteError
        parts.append(Literal(self.text[self.at : close], self.at, quoted=True))
        self.at = close + 1

    def _double(self, parts: list[Part]) -> None:
        parts.append(Literal("", self.at, quoted=True))
        while self.at < self.end:
            if plain := _IN_DOUBLE.match(self.text, self.at, self.end):
                parts.append(Literal(plain.group(), self.at, quoted=True))
                self.at = plain.end()
                continue
            mark = self.text[self.at]
            if mark == '"':
                self.at += 1
                return
            if mark == "\\":
                self._escape_in_double(parts)
            elif mark == "$":
                self._dollar(parts, quoted=True)
            else:
                self._backquote(parts, quoted=True)
        raise _UnclosedQuoteError

    def _escape_in_double(self, parts: list[Part]) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following in ("\n", "\r"):
            self._escape(parts)
        elif following and following in '"\\$`':
            parts.append(Literal(following, self.at + 1, quoted=True))
            self.at += 2
        else:
            parts.append(Literal("\\", self.at, quoted=True))
            self.at += 1

    def _ansi_quote(self, parts: list[Part]) -> None:
        """``$'...'``; its escapes other than of quotes and backslashes are left as written."""
        self.at += 2
        parts.append(Literal("", self.at, quoted=True))
        begin = self.at
        while self.at < self.end and self.text[self.at] != "'":
            step = 2 if self.text[self.at] == "\\" else 1
            self.at += step
        self.at = min(self.at, self.end)
        written = self.text[begin : self.at]
        parts.append(
            Unknown(begin, self.at, quoted=True)
            if "\\" in written
            else Literal(written, begin, quoted=True)
        )
        self.at = min(self.at + 1, self.end)

    # Expansions

    def _dollar(self, parts: list[Part], quoted: bool) -> None:
        following = self.text[self.at + 1 : self.at + 2] if self.at + 1 < self.end else ""
        if following == "(":
            if arithmetic := self._arithmetic(self.at + 1):
                parts.append(Unknown(self.at, arithmetic, quoted))
                self.at = arithmetic
                return
            if self._can_nest():
                self._substitution(parts, self.at, quoted)
                return
        elif following == "{" and self._braces(parts, quoted):
            return
        elif following == "'" and not quoted:
            self._ansi_quote(parts)
            return
        elif name := _NAME.match(self.text, self.at + 1, self.end):
            parts.append(Parameter(name.group(), self.at, name.end(), quoted))
            self.at = name.end()
            return
        parts.append(Literal("$", self.at, quoted))
        self.at += 1

    def _arithmetic(self, at: int) -> int:
        """Where the ``((...))`` that begins at ``at`` ends; 0 where there is none."""
        if not self.text.startswith("((", at) or self.text.startswith("(((", at):
            return 0
        close = self.text.find("))", at, min(self.end, at + MAX_EXPANSION))
        return close + 2 if close > 0 and "\n" not in self.text[at:close] else 0

    def _can_nest(self) -> bool:
        return self.depth < MAX_DEPTH

    def _substitution(self, parts: list[Part], start: int, quoted: bool) -> None:
        """``$(...)``, ``<(...)``: reads its commands and goes on behind it."""
        pending, self.pending = self.pending, []
        self.at += 2
        self.depth += 1
        self.script(nested=True)
        self.depth -= 1
        self.pending = pending
        parts.append(Unknown(start, self.at, quoted))

    def _backquote(self, parts: list[Part], quoted: bool) -> None:
        start = self.at
        close = self.text.find("`", start + 1, self.end)
        if close < 0 or not self._can_nest():
            parts.append(Literal("`", start, quoted))
            self.at = start + 1
            return
        end, pending = self.end, self.pending
        self.end, self.at, self.pending = close, start + 1, []
        self.depth += 1
        self.script(nested=False)
        self.depth -= 1
        self.end, self.at, self.pending = end, close + 1, pending
        parts.append(Unknown(start, self.at, quoted))

    def _braces(self, parts: list[Part], quoted: bool) -> bool:
        """``${...}``; False where nothing closes it nearby."""
        close = self._closing_brace(self.at + 2)
        if close < 0:
            return False
        start, self.at = self.at, close + 1
        name = _NAME.match(self.text, start + 2, close)
        if name is None or (name.group() in "#!" and name.end() < close):
            parts.append(Unknown(start, self.at, quoted))
            return True
        modifier = self.text[name.end() : close]
        if modifier in ("", "[@]", "[*]"):
            every = modifier == "[@]"
            parts.append(Parameter(name.group(), start, self.at, quoted, every))
        elif modifier[:2] in (":-", ":=") or modifier[:1] in "-=":
            begin = name.end() + (2 if modifier[0] == ":" else 1)
            default = self._default(begin, close)
            parts.append(Parameter(name.group(), start, self.at, quoted, False, default))
        elif modifier[:2] == ":?" or modifier[:1] == "?":
            parts.append(Parameter(name.group(), start, self.at, quoted))
        else:
            parts.append(Unknown(start, self.at, quoted))
        return True

    def _closing_brace(self, start: int) -> int:
        depth = 1
        reach = MAX_EXPANSION if self.rescans_left > 0 else 40
        for brace in _BRACE.finditer(self.text, start, min(self.end, start + reach)):
            depth += 1 if brace.group() == "{" else -1
            if not depth:
                return brace.start()
        self.rescans_left -= reach
        return -1

    def _default(self, start: int, end: int) -> tuple[Part, ...]:
        """The pieces of the text of a default value."""
        if not self._can_nest():
            return (Unknown(start, end, quoted=False),)
        parts: list[Part] = []
        after, limit = self.at, self.end
        self.at, self.end = start, end
        self.depth += 1
        while self.at < end:
            if not self._part(parts):
                parts.append(Literal(self.text[self.at], self.at, quoted=False))
                self.at += 1
        self.depth -= 1
        self.at, self.end = after, limit
        return tuple(parts)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at, self.end)
        assert found is not None, "callers look before they match"
        return found
