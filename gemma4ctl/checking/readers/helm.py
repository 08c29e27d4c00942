"""Helm values: flags for SGLang as lists and maps beside an image of SGLang."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemma4ctl.checking.readers import kubernetes
from gemma4ctl.checking.readers.containers import image_vendor
from gemma4ctl.checking.readers.excerpt import Excerpt, Field
from gemma4ctl.checking.readers.yaml_containers import Declared, image_name, item
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Node, Scalar, Sequence

_ARGUMENTS = re.compile(r"(?i).*(?:args|arguments|flags|options|params)")
_MODEL_KEY = re.compile(r"(?i)model[_-]?(?:path|name|id|repo|uri)?")
_FLAG_KEY = re.compile(r"(?:--)?[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MODEL_FLAGS = ("--model-path", "--model")


def containers(root: Node | None, text: str) -> Iterator[tuple[list[Node], Declared]]:
    """The flags found beside each image of SGLang: the nodes that hold them, and the container."""
    waiting = [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node is None or isinstance(node, Scalar) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            waiting += reversed(node.items)
            continue
        if "sglang" in (image_name(node.get("image"), text) or ""):
            yield from _flags(node, text)
        waiting += [value for _, value in reversed(list(node.items()))]


def _flags(values: Mapping, text: str) -> Iterator[tuple[list[Node], Declared]]:
    """The flags in ``values``, as the arguments of one server."""
    nodes: list[Node] = []
    fields: list[Field] = []
    for key, value in values.items():
        if not _ARGUMENTS.fullmatch(key.value):
            continue
        found = _listed(value, text) if isinstance(value, Sequence) else _mapped(value, text)
        if found:
            nodes.append(value)
            fields += found
    if not fields:
        return
    if not any(field.text.partition("=")[0] in _MODEL_FLAGS for field in fields):
        fields = [*_model(values, text), *fields]
    image = image_name(values.get("image"), text)
    vendor, gpus = kubernetes.gpu_resources(values)
    yield (
        nodes,
        Declared(
            kind="helm",
            fields=tuple(fields),
            environment=kubernetes.environment(values, text),
            image=image,
            vendor=vendor or image_vendor(image),
            published=values.mapping("service").text("type") in kubernetes.OPEN_SERVICES,
            gpus=gpus,
            hardware=kubernetes.hardware(values),
            only_flags=True,
        ),
    )


def _listed(value: Sequence, text: str) -> list[Field]:
    """A list that begins with a flag."""
    scalars = [entry for entry in value.items if isinstance(entry, Scalar)]
    if not scalars or not scalars[0].value.startswith(("--", MASK)):
        return []
    return [item(entry, text, lambda written: written) for entry in scalars]


def _mapped(value: Node, text: str) -> list[Field]:
    """A map from flags, with or without their dashes, to values."""
    found: list[Field] = []
    for key, given in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(given, Scalar) or not _FLAG_KEY.fullmatch(key.value):
            continue
        if given.value in ("false", "") or given.value == "null":
            continue
        dashed = key.value.startswith("--")
        name = key.value if dashed else "--" + key.value.replace("_", "-")
        span = (key.start, key.end) if dashed else (-1, -1)
        found.append(Field(Excerpt.of(name, key.start), span, key.start, "yaml"))
        if given.value != "true":
            found.append(item(given, text, lambda written: written))
    return found


def _model(values: Mapping, text: str) -> list[Field]:
    """The model that another key of ``values`` names, or that a template adds."""
    for key, value in values.items():
        if _MODEL_KEY.fullmatch(key.value) and isinstance(value, Scalar) and "/" in value.value:
            flag = Field(Excerpt.of(_MODEL_FLAGS[0], key.start), (-1, -1), key.start, "yaml")
            return [flag, Field(excerpt(value, text), (-1, -1), value.start, "yaml")]
    return [Field(Excerpt.unknown(MASK, values.start), (-1, -1), values.start, "yaml")]
