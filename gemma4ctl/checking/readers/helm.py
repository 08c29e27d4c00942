"""Helm values: flags for SGLang as lists, maps and strings, beside or below an image of SGLang."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemma4ctl.checking.readers import kubernetes
from gemma4ctl.checking.readers.containers import image_vendor, serves_sglang
from gemma4ctl.checking.readers.excerpt import Excerpt, Field
from gemma4ctl.checking.readers.yaml_containers import (
    FLAGS_OF_SGLANG,
    Declared,
    image_name,
    item,
    words,
)
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Node, Scalar, mappings

_ARGUMENTS = re.compile(r"(?i).*(?:args|arguments|flags|options|params)")
_MODEL_KEY = re.compile(r"(?i)model[_-]?(?:path|name|id|repo|uri)?")
_FLAG_KEY = re.compile(r"(?:--)?[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MODEL_FLAGS = ("--model-path", "--model")
# Below an image that stands further up, flags are SGLang's only where one of these is among them.
_TELLING = {*_MODEL_FLAGS, *FLAGS_OF_SGLANG}


def containers(root: Node | None, text: str) -> Iterator[tuple[list[Node], Declared]]:
    """The flags found beside each image of SGLang: the nodes that hold them, and the container."""

    def with_image(node: Mapping, outer: str | None) -> str | None:
        return image_name(node.get("image"), text) or outer

    for node, image in mappings(root, _image_of_parts(root, text), with_image):
        if serves_sglang(image):
            yield from _flags(node, text, image)


def _image_of_parts(root: Node | None, text: str) -> str | None:
    """The image in one of the maps of ``root``, such as ``global``, where it is of SGLang."""
    parts = root.items() if isinstance(root, Mapping) else ()
    images = (image_name(part.get("image"), text) for _, part in parts if isinstance(part, Mapping))
    return next((image for image in images if serves_sglang(image)), None)


def _flags(values: Mapping, text: str, image: str | None) -> Iterator[tuple[list[Node], Declared]]:
    """The flags in ``values``, as the arguments of one server that runs in ``image``."""
    nodes: list[Node] = []
    fields: list[Field] = []
    for key, value in values.items():
        if not _ARGUMENTS.fullmatch(key.value):
            continue
        found = _mapped(value, text) if isinstance(value, Mapping) else _listed(value, text)
        if found:
            nodes.append(value)
            fields += found
    flags = {field.text.partition("=")[0] for field in fields}
    if not flags or (values.get("image") is None and not flags & _TELLING):
        return
    if not flags.intersection(_MODEL_FLAGS):
        fields = [*_model(values, text), *fields]
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


def _listed(value: Node, text: str) -> list[Field]:
    """A list or a string that begins with a flag."""
    fields = words(value, text, lambda written: written)
    return fields if fields and fields[0].text.startswith(("--", MASK)) else []


def _mapped(value: Mapping, text: str) -> list[Field]:
    """A map from flags, with or without their dashes, to values."""
    found: list[Field] = []
    for key, given in value.items():
        if not isinstance(given, Scalar) or not _FLAG_KEY.fullmatch(key.value):
            continue
        dashed = key.value.startswith("--")
        switch = given.value == "true" or (dashed and given.value == "" and given.style)
        if given.value in ("false", "", "null") and not switch:
            continue
        name = key.value if dashed else "--" + key.value.replace("_", "-")
        span = (key.start, key.end) if dashed else (-1, -1)
        found.append(Field(Excerpt.of(name, key.start), span, key.start, "yaml"))
        if not switch:
            found.append(item(given, text, lambda written: written))
    return found


def _model(values: Mapping, text: str) -> list[Field]:
    """The model that another key of ``values`` names, or that a template adds."""
    for key, value in values.items():
        if _MODEL_KEY.fullmatch(key.value) and isinstance(value, Scalar) and "/" in value.value:
            flag = Field(Excerpt.of(_MODEL_FLAGS[0], key.start), (-1, -1), key.start, "yaml")
            return [flag, Field(excerpt(value, text), (-1, -1), value.start, "yaml")]
    return [Field(Excerpt.unknown(MASK, values.start), (-1, -1), values.start, "yaml")]
