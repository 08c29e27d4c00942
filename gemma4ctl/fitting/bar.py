"""The memory of one GPU as a bar of characters, with a legend; nothing is said by colour alone."""

from __future__ import annotations

from typing import NamedTuple

from rich.text import Text

from gemma4ctl.planning.plan import MemoryStages

GIB = 1024  # MiB
NARROWEST = 20  # columns


class Part(NamedTuple):
    """A piece of the bar."""

    name: str
    mib: int
    sign: str
    style: str


def parts(usage: MemoryStages) -> list[Part]:
    """What takes memory, in the order it is taken; what takes none is left out."""
    named = [
        Part("others", usage.others, "-", "dim"),
        Part("runtime", usage.runtime, "r", "cyan"),
        Part("weights", usage.weights, "W", "blue"),
        Part("draft", usage.draft, "D", "magenta"),
        Part("full KV", usage.full_kv, "F", "green"),
        Part("sliding KV", usage.sliding_kv, "s", "yellow"),
        Part("tables and graphs", usage.tables + usage.graphs, "t", "cyan"),
        Part("free", usage.free, ".", "dim"),
    ]
    return [part for part in named if part.mib > 0]


def bar(usage: MemoryStages, width: int) -> Text:
    """The bar in ``width`` columns, and the legend below it."""
    found = parts(usage)
    text = Text("[")
    for part, columns in zip(found, _columns(found, max(NARROWEST, width) - 2), strict=True):
        text.append(part.sign * columns, style=part.style)
    text.append("]\n")
    entries = [(part, f"{part.sign} {part.name} {part.mib / GIB:,.1f}") for part in found]
    line = 0
    for part, entry in entries:
        if line and line + 3 + len(entry) > width:
            text.append("\n")
            line = 0
        elif line:
            text.append("   ")
            line += 3
        text.append(part.sign, style=part.style).append(entry[1:])
        line += len(entry)
    return text.append(" GiB")


def _columns(found: list[Part], width: int) -> list[int]:
    """Columns of each part, at least one, ``width`` in all: the largest remainders round up."""
    total = sum(part.mib for part in found)
    spare = width - len(found)
    exact = [part.mib / total * spare for part in found]
    counts = [int(value) for value in exact]
    by_rest = sorted(range(len(found)), key=lambda i: counts[i] - exact[i])
    for i in by_rest[: spare - sum(counts)]:
        counts[i] += 1
    return [1 + count for count in counts]
