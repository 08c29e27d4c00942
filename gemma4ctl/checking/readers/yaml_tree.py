"""YAML as a tree whose scalars know where they are written, within fixed bounds.

The tree is built from the parser's events, so that depth, size and aliases are bounded: an alias
is the node it names, never a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import yaml

from gemma4ctl.errors import UsageError

MAX_NODES = 100_000
MAX_DEPTH = 60
MAX_MERGED = 100  # maps in one map
# Stands for each character of a template expression, whose value is known only at run time.
MASK = "\ue000"

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml where it is there
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor and a tag, before a scalar

_Known = TypeVar("_Known")


class Scalar:
    """A scalar: its value, and the offsets in the file of the scalar as written.

    ``style`` is "" (plain), "'", '"', "|" or ">".
    """

    def __init__(self, value: str, start: int, end: int, style: str) -> None:
        self.value = value
        self.start = start
        self.end = end
        self.style = style


class Sequence:
    """A list."""

    def __init__(self, start: int) -> None:
        self.items: list[Node] = []
        self.start = start


class Mapping:
    """A map. Merged maps (``<<``) give the keys that it does not have itself."""

    def __init__(self, pairs: list[tuple[Node, Node]] | None = None, start: int = 0) -> None:
        self.pairs = [] if pairs is None else pairs
        self.start = start

    def items(self) -> Iterator[tuple[Scalar, Node]]:
        """The keys with their values, merged ones included, each key once."""
        return iter(self._by_name.values())

    def get(self, name: str) -> Node | None:
        """The value of the key ``name``, or None."""
        return self._by_name[name][1] if name in self._by_name else None

    @cached_property
    def _by_name(self) -> dict[str, tuple[Scalar, Node]]:
        found: dict[str, tuple[Scalar, Node]] = {}
        for mapping in self._with_merged():
            for key, value in mapping.pairs:
                if isinstance(key, Scalar) and key.value != "<<":
                    found.setdefault(key.value, (key, value))
        return found

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
            if len(found) > MAX_MERGED:
                raise _too_large()
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
        needed=f"at most {MAX_DEPTH} levels, {MAX_NODES} nodes, {MAX_MERGED} maps merged in one",
        remedies=["check only the part of it that starts SGLang"],
        code="yaml-too-large",
    )


def mappings(
    root: Node | None, known: _Known, learn: Callable[[Mapping, _Known], _Known]
) -> Iterator[tuple[Mapping, _Known]]:
    """Each mapping under ``root`` once, in the order of the file, with what is known at it.

    That is what was ``known`` outside of it and what ``learn`` adds from the mapping itself.
    """
    waiting = [(root, known)]
    seen: set[int] = set()
    while waiting:
        node, outer = waiting.pop()
        if node is None or isinstance(node, Scalar) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            waiting += [(entry, outer) for entry in reversed(node.items)]
            continue
        inner = learn(node, outer)
        yield node, inner
        waiting += [(value, inner) for _, value in reversed(list(node.items()))]
