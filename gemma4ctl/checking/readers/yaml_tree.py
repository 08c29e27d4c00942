"""YAML as a tree whose scalars know where they are written, within fixed bounds.

The tree is built from the parser's events, so that depth, size and aliases are bounded: an alias
is the node it names, never a copy of it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from gemma4ctl.checking.launch import Place
from gemma4ctl.errors import UsageError

MAX_NODES = 300_000
MAX_DEPTH = 60
# Stands for each character of a template expression, whose value is known only at run time.
MASK = "\ue000"

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml where it is there
_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANKS = re.compile(r"\s*")
_WORD = re.compile(r"\S+")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor and a tag, before a scalar
_FLOW_PIECE = {  # by style
    "": re.compile(r"(?P<escape>(?!))|(?P<blanks>\s+)|\S+"),
    "'": re.compile(r"(?P<escape>'')|(?P<blanks>\s+)|[^'\s]+"),
    '"': re.compile(
        r"(?P<escape>\\(?:x.{2}|u.{4}|U.{8}|(?:\r\n?|\n)[ \t]*|.))|(?P<blanks>\s+)|[^\\\s]+"
    ),
}


class Source:
    """A file's text, and the line and column of each of its characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def place(self, offset: int) -> Place:
        """The line and column of the character at ``offset``."""
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)


@dataclass(frozen=True, eq=False)
class Scalar:
    """A scalar: its value, and the offsets in the file of the scalar as written."""

    value: str
    start: int
    end: int
    style: str  # "" (plain), "'", '"', "|" or ">"


@dataclass(frozen=True, eq=False)
class Sequence:
    """A list."""

    items: list[Node] = field(default_factory=list)
    start: int = 0


@dataclass(frozen=True, eq=False)
class Mapping:
    """A map. Merged maps (``<<``) give the keys that it does not have itself."""

    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    start: int = 0

    def items(self) -> Iterator[tuple[Scalar, Node]]:
        """The keys with their values, merged ones included, each key once."""
        seen: set[str] = set()
        for mapping in self._with_merged():
            for key, value in mapping.pairs:
                if isinstance(key, Scalar) and key.value != "<<" and key.value not in seen:
                    seen.add(key.value)
                    yield key, value

    def get(self, name: str) -> Node | None:
        """The value of the key ``name``, or None."""
        return next((value for key, value in self.items() if key.value == name), None)

    def text(self, name: str) -> str | None:
        """The value of the key ``name`` where it is a scalar, or None."""
        node = self.get(name)
        return node.value if isinstance(node, Scalar) else None

    def mapping(self, name: str) -> Mapping:
        """The map under the key ``name``, empty where there is none."""
        node = self.get(name)
        return node if isinstance(node, Mapping) else Mapping()

    def _with_merged(self) -> list[Mapping]:
        """This map and those merged into it, each once, nearest first."""
        found: list[Mapping] = []
        waiting: list[Node] = [self]
        known: set[int] = set()
        while waiting:
            node = waiting.pop(0)
            if isinstance(node, Sequence):
                waiting = node.items + waiting
            if not isinstance(node, Mapping) or id(node) in known:
                continue
            known.add(id(node))
            found.append(node)
            merged = (v for k, v in node.pairs if isinstance(k, Scalar) and k.value == "<<")
            waiting = [*merged, *waiting]
        return found


Node = Scalar | Sequence | Mapping


def compose(text: str, base: int = 0) -> Node | None:
    """The tree of one YAML document that stands at offset ``base`` of its file; None: empty.

    Raises:
        yaml.YAMLError: the text is no YAML.
        UsageError: it nests too deeply or holds too many nodes to be a deployment.
    """
    base += len(text) - len(text := text.removeprefix("\ufeff"))
    anchors: dict[str | None, Node] = {}
    open_nodes: list[list[Node]] = [[]]  # the children read so far, of each open node
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if count > MAX_NODES or len(open_nodes) > MAX_DEPTH:
            raise _too_large()
        if isinstance(event, yaml.CollectionEndEvent):
            _close(open_nodes)
        elif isinstance(event, yaml.NodeEvent):
            node = _node(event, text, base, anchors)
            open_nodes[-1].append(node)
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append([])
    return open_nodes[0][0] if open_nodes[0] else None


def _node(event: Any, text: str, base: int, anchors: dict[str | None, Node]) -> Node:
    """The node that ``event`` starts or names."""
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return anchors.get(event.anchor, Scalar("", base + start, base + end, ""))
    node: Node
    if isinstance(event, yaml.ScalarEvent):
        start = _PROPERTIES.match(text, start, end).end()  # type: ignore[union-attr]
        node = Scalar(event.value, base + start, base + end, event.style or "")
    elif isinstance(event, yaml.SequenceStartEvent):
        node = Sequence(start=base + start)
    else:
        node = Mapping(start=base + start)
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _close(open_nodes: list[list[Node]]) -> None:
    """Gives the innermost open node the children read for it."""
    children = open_nodes.pop()
    node = open_nodes[-1][-1]
    if isinstance(node, Sequence):
        node.items.extend(children)
    elif isinstance(node, Mapping):
        node.pairs.extend(zip(children[::2], children[1::2], strict=False))


def _too_large() -> UsageError:
    return UsageError(
        "the YAML is too large to be a deployment",
        needed=f"at most {MAX_DEPTH} levels and {MAX_NODES} nodes",
        remedies=["check only the part of it that starts SGLang"],
        code="yaml-too-large",
    )


class Written:
    """Where the characters of a scalar's value are written in the file."""

    def __init__(self, scalar: Scalar, source: Source) -> None:
        self._source = source
        self._start = scalar.start
        text = source.text[scalar.start : scalar.end]
        pieces = _block_pieces if scalar.style in ("|", ">") else _flow_pieces
        # Runs of characters that stand in the file as in the value: (in the value, in the file,
        # length), in order.
        self._runs: list[tuple[int, int, int]] = []
        for value, written, length in pieces(scalar, text):
            self._append(value, scalar.start + written, length)
        self._values = [value for value, _, _ in self._runs]

    def _append(self, value: int, written: int, length: int) -> None:
        if self._runs:
            first, at, _ = self._runs[-1]
            if written - value == at - first:
                self._runs[-1] = (first, at, value + length - first)
                return
        self._runs.append((value, written, length))

    def offset(self, index: int) -> int:
        """The offset in the file of the character ``index`` of the value, or nearly that."""
        run = bisect_right(self._values, index) - 1
        if run < 0:
            return self._start
        value, written, length = self._runs[run]
        return written + min(index - value, length)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The offsets of ``value[start:end]``, or (-1, -1) where it is not written as such."""
        run = bisect_right(self._values, start) - 1
        if run < 0 or start >= end:
            return -1, -1
        value, written, length = self._runs[run]
        if end > value + length:
            return -1, -1
        return written + start - value, written + end - value

    def place(self, index: int) -> Place:
        """The line and column of the character ``index`` of the value."""
        return self._source.place(self.offset(index))


def _block_pieces(scalar: Scalar, text: str) -> Iterator[tuple[int, int, int]]:
    header = _LINE_END.search(text)
    at = header.end() if header else len(text)
    for word in _WORD.finditer(scalar.value):
        at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]
        yield word.start(), at, len(word[0])
        at += len(word[0])


def _flow_pieces(scalar: Scalar, text: str) -> Iterator[tuple[int, int, int]]:
    quoted = scalar.style in ("'", '"')
    inner = slice(1, -1) if quoted else slice(None)
    value = 0
    for piece in _FLOW_PIECE[scalar.style].finditer(text[inner]):
        escape, blanks = piece["escape"], piece["blanks"]
        length = len(piece[0])
        if escape is not None:
            length = 0 if escape[-1] in "\r\n\t " and _LINE_END.search(escape) else 1
        elif blanks is not None and (breaks := len(_LINE_END.findall(blanks))):
            length = max(1, breaks - 1)  # folded
        exact = escape is None and length == len(piece[0])
        yield value, piece.start() + quoted, length if exact else 0
        value += length
