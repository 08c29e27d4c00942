"""What a reader finds in a file: SGLang launches, word by word, with their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

# `sglang serve`, `python -m sglang.launch_server`, or a router that starts workers itself.
Entry = Literal["serve", "module", "router"]

# How a word is written in the file, and so how a replacement must be quoted.
Style = Literal["shell", "json", "yaml"]

# In an environment: more variables are set than the file says, by names and values unknown.
UNNAMED = "*"


class Place(NamedTuple):
    """A place in a file: 1-based line and column (in characters)."""

    line: int
    column: int


class Word(NamedTuple):
    """One word of a command.

    ``text`` is what SGLang would receive. ``start`` and ``end`` are character offsets in the file
    of the word as written, quotes included; -1 where it is not written there as one piece (it came
    out of a variable). ``certain`` is False where part of it is known only at run time (a variable
    without a value in the file, a template): such a word is never judged for its value.
    """

    text: str
    place: Place
    start: int = -1
    end: int = -1
    style: Style = "shell"
    certain: bool = True


class Launch(NamedTuple):
    """One SGLang launch.

    ``words`` stand after ``sglang serve`` (or the module's name). ``environment`` is what the file
    sets for it, by value where known (None: set, value unknown; :data:`UNNAMED`: more is set).
    ``image`` is the container image it runs in. ``release`` is the SGLang release that the file
    itself names (image tag, ``pip install sglang==``), ``vendor`` the GPU vendor it asks for.
    ``published``: True or False where a container file says whether its port is published beyond
    the loopback, None where ``--host`` decides. ``directives`` come from a comment
    ``gemma4ctl: hardware=H100 gpus=2 sglang=0.5.16``, or from what the file asks for;
    ``ignore=CODE,CODE`` there silences findings.
    """

    path: str
    kind: str  # "shell", "markdown", "dockerfile", "compose", "kubernetes", "helm", "systemd", ...
    entry: Entry
    words: tuple[Word, ...]
    place: Place
    environment: Mapping[str, str | None] = {}
    image: str | None = None
    release: str | None = None
    vendor: Literal["nvidia", "amd", "intel"] | None = None
    published: bool | None = None
    directives: Mapping[str, str] = {}

    @property
    def argv(self) -> tuple[str, ...]:
        """The words as SGLang would receive them."""
        return tuple(word.text for word in self.words)
