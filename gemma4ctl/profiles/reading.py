"""Safe reading of profile files: YAML to plain data, and where in the file each value stands.

Only plain YAML is accepted: no tags, no anchors or aliases, no duplicate keys, a bounded size and
depth. Every fault is a :class:`~gemma4ctl.errors.UsageError` that names the file and the position.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from gemma4ctl.errors import UsageError

MAX_BYTES = 1 << 20
MAX_DEPTH = 12

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """The safe loader, with dates left as text."""

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in _BASE.yaml_implicit_resolvers.items()
    }


class _StrictLoader(_Loader):
    """The same, refusing duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(str(key.value))
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_text(path: Path) -> str:
    """The text of ``path``; UsageError when it cannot be read, is too large or not UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot read the profile file",
            found=error.strerror or str(error),
            remedies=["check the path given to --profiles"],
            code="profiles-unreadable",
        ) from error
    if len(data) > MAX_BYTES:
        raise _fault(path, None, f"the file has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(path, None, f"not UTF-8 text (byte {error.start})") from error


def parse_trusted(text: str) -> dict[str, Any]:
    """Plain data of the built-in table, which the tests have checked with :func:`parse`."""
    data: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    return data


def parse(text: str, path: Path) -> dict[Any, Any]:
    """Plain data of a profile file; an empty file is an empty mapping.

    Raises:
        UsageError: the text is not plain YAML, or its top level is not a mapping.
    """
    try:
        _refuse_tricks(text, path)
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        raise _fault(path, error.problem_mark or error.context_mark, _sentence(error)) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _fault(path, None, " ".join(str(error).split())) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _fault(path, None, f"the top level is a {type(data).__name__}, not a mapping")
    return data


def position(text: str, location: Sequence[str | int]) -> tuple[int, int]:
    """Line and column (from 1) of the value at ``location``, or of its nearest present parent."""
    node = yaml.compose(text, Loader=_Loader)
    mark = node.start_mark if node else None
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == step), None)
            if not found:
                break
            mark, node = found[0].start_mark, found[1]
        elif isinstance(node, yaml.SequenceNode) and step in range(len(node.value)):
            node = node.value[int(step)]
            mark = node.start_mark
        else:
            break
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _refuse_tricks(text: str, path: Path) -> None:
    """Refuse aliases, tags and deep nesting before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _fault(path, event.start_mark, "anchors and aliases are not accepted")
        tag = getattr(event, "tag", None)
        if tag:
            raise _fault(path, event.start_mark, f"the tag {tag!r} is not accepted")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _fault(path, event.start_mark, f"nested deeper than {MAX_DEPTH} levels")


def _sentence(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.problem, error.context) if part)


def _fault(path: Path, mark: Any, message: str) -> UsageError:
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    return UsageError(
        f"{where}: {message}",
        needed="a YAML mapping in the shape of `gemma4ctl profiles schema`",
        remedies=[f"correct the file, then run gemma4ctl profiles validate {path}"],
        code="profiles-invalid",
    )
