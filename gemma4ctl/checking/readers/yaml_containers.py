"""Containers as YAML files declare them: what they run, and where."""

from __future__ import annotations

import re
from collections import abc
from typing import Literal, NamedTuple

from gemma4ctl.checking.readers import lexing, limits
from gemma4ctl.checking.readers.containers import Vendor, serves_sglang
from gemma4ctl.checking.readers.excerpt import Excerpt, Field
from gemma4ctl.checking.readers.tokens import Token
from gemma4ctl.checking.readers.variables import Variables
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Node, Scalar, Sequence

# With --model-path among them, flags are for SGLang.
FLAGS_OF_SGLANG = {"--tp-size", "--mem-fraction-static", "--attention-backend"}
Kind = Literal["compose", "kubernetes", "helm", "workflow", "yaml"]
Resolve = abc.Callable[[Excerpt], Excerpt]


class Declared(NamedTuple):
    """One declared container: the words that it is started with, and what is known of its place.

    ``image`` is as written where all of it is known. ``published`` is as in
    :class:`~gemma4ctl.checking.launch.Launch`. ``gpus`` is how many it asks for, ``hardware`` the
    platform's name where the file pins it. ``only_flags``: the words are known to be flags.
    """

    kind: Kind
    fields: tuple[Field, ...]
    environment: abc.Mapping[str, str | None] = {}
    image: str | None = None
    vendor: Vendor | None = None
    published: bool | None = None
    gpus: int | None = None
    hardware: str | None = None
    only_flags: bool = False

    @property
    def runs_sglang_itself(self) -> bool:
        """Whether its words can only be flags, for an image that starts SGLang by itself."""
        if self.only_flags or self.kind not in ("compose", "kubernetes") or not self.fields:
            return self.only_flags
        if not self.fields[0].text.startswith("--"):
            return False
        return serves_sglang(self.image) or (self.image is None and self._has_flags_of_sglang)

    @property
    def _has_flags_of_sglang(self) -> bool:
        """Whether its words can hardly be for anything else, as in a patch that names no image."""
        flags = {field.text.partition("=")[0] for field in self.fields}
        return "--model-path" in flags and bool(flags & FLAGS_OF_SGLANG)

    @property
    def directives(self) -> dict[str, str]:
        """What it says about its hardware."""
        found = {"gpus": str(self.gpus or ""), "hardware": self.hardware or ""}
        return {name: value for name, value in found.items() if value}


def words(node: Node | None, text: str, resolve: Resolve) -> list[Field]:
    """The words of a command that is written as a list or as one string."""
    if isinstance(node, Sequence):
        limits.step(len(node.items))
        return [item(entry, text, resolve) for entry in node.items if isinstance(entry, Scalar)]
    if isinstance(node, Scalar):
        limits.text(node.value)
        value = resolve(excerpt(node, text))
        variables = Variables()
        tokens = _first_command(value.text)
        return [found for token in tokens for found in variables.fields(token, value)]
    return []


def _first_command(text: str) -> list[Token]:
    """The words of ``text`` up to an operator: a container's command goes on over line ends."""
    tokens: list[Token] = []
    for command in lexing.read(text).commands:
        if tokens and text[tokens[-1].end : command.start].strip():
            break
        tokens += command.tokens
    return tokens


def item(scalar: Scalar, text: str, resolve: Resolve) -> Field:
    """One item of a list as one word."""
    written = excerpt(scalar, text)
    value = resolve(written)
    replaceable = value is written and scalar.style not in ("|", ">")
    span = (scalar.start, scalar.end) if replaceable else (-1, -1)
    return Field(value, span, scalar.start, "yaml")


def image_name(node: Node | None, text: str, resolve: Resolve = lambda value: value) -> str | None:
    """The image that ``node`` names, as one reference or as repository and tag."""
    if isinstance(node, Scalar):
        return known(resolve(excerpt(node, text)))
    if not isinstance(node, Mapping) or not (repository := node.text("repository")):
        return None
    parts = [node.text("registry") or "", repository]
    name = "/".join(part for part in parts if part)
    tag = node.text("tag")
    return None if MASK in f"{name}{tag}" else f"{name}:{tag}" if tag else name


def known(value: Excerpt) -> str | None:
    """The text of ``value``, None where part of it is unknown."""
    return value.text if value.certain else None


def count(node: Node | None) -> int | None:
    """``node`` as a number of GPUs, None where it is none."""
    value = node.value if isinstance(node, Scalar) else ""
    return int(value) if re.fullmatch(r"[1-9]\d{0,3}", value) else None
