"""What can still be read of a document that is no YAML: the keys that say what a container runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import yaml

from gemma4ctl.checking.readers.yaml_tree import Mapping, Node, compose
from gemma4ctl.errors import UsageError

MAX_REREADS = 2  # how often, on average, a character may be read
MAX_FRAGMENTS = 5_000
_KEY = re.compile(
    r"^(?P<indent>[ ]*(?:- +)?)"
    r"(?P<name>image|command|entrypoint|environment|env|ports|run|\w*args)[ ]*:(?=[ \t\r\n])",
    re.MULTILINE | re.IGNORECASE,
)
_LINE = re.compile(r"(?P<indent>[ ]*)(?P<dash>- )?[^\r\n]*(?:\r\n|\r|\n|\Z)")


def fragments(text: str, base: int) -> Iterator[Node]:
    """Maps of the keys found in ``text``, which stands at offset ``base`` of its file.

    Keys of the same indentation are one map until one of them comes again.
    """
    group: list[tuple[Node, Node]] = []
    names: set[str] = set()
    column = -1
    budget = MAX_REREADS * len(text)
    for key in islice(_KEY.finditer(text), MAX_FRAGMENTS):
        end = _end(text, key.end(), len(key["indent"]))
        budget -= end - key.start()
        if budget < 0:
            break
        pair = _pair(text, key, end, base)
        if pair is None:
            continue
        if key["name"] in names or len(key["indent"]) != column:
            yield Mapping(group)
            group, names, column = [], set(), len(key["indent"])
        group.append(pair)
        names.add(key["name"])
    yield Mapping(group)


def _pair(text: str, key: re.Match[str], end: int, base: int) -> tuple[Node, Node] | None:
    """The key and its value, which ends at ``end``; None where they cannot be read either."""
    start, indent = key.start("name"), len(key["indent"])
    try:
        node = compose(" " * indent + text[start:end], base + start - indent)
    except (yaml.YAMLError, UnicodeEncodeError, UsageError):
        return None
    return node.pairs[0] if isinstance(node, Mapping) and node.pairs else None


def _end(text: str, start: int, indent: int) -> int:
    """Where the value ends of a key that is indented by ``indent`` and ends at ``start``."""
    line = _LINE.match(text, start)
    at = line.end() if line else start
    while at < len(text) and (line := _LINE.match(text, at)):
        blank = line[0].lstrip()[:1] in ("", "#")
        deeper = len(line["indent"]) > indent or (len(line["indent"]) == indent and line["dash"])
        if not blank and not deeper:
            break
        at = line.end()
    return at
