"""Capacity against the length of requests, for the candidate splits of the KV cache.

Requests at once on the left, their tokens together on the right. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gemma4ctl import drawing
from gemma4ctl.capacity.workload import uniform
from gemma4ctl.errors import UsageError
from gemma4ctl.fitting.document import FitDocument, VariantFit
from gemma4ctl.fitting.outcome import Outcome, Planner
from gemma4ctl.fitting.rows import for_length, published
from gemma4ctl.planning.request import Request

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKER = "gemma4ctl fit"  # in the file, near its start
SHORTEST = 512  # tokens
STEPS = 4  # points from one length to twice that
BEST = "best split for each length"


class Point(NamedTuple):
    """Requests of ``tokens`` that run at once."""

    tokens: int
    requests: int


class Curve(NamedTuple):
    """What one split holds, by length."""

    name: str
    points: tuple[Point, ...]


def write(
    document: FitDocument, request: Request, planner: Planner, path: Path, *, force: bool = False
) -> None:
    """Draw the capacity of the only variant of ``document`` into ``path``.

    Raises:
        UsageError: the suffix is neither .svg nor .png, matplotlib is not installed, memory is
            not modelled, or the file is somebody else's or cannot be written.
    """
    drawing.check_name(path)
    one = document.variants[0]
    if not one.lengths:
        raise UsageError(
            "there is nothing to draw",
            needed="a platform whose memory is modelled",
            found=one.reason,
            code="plot-nothing",
        )
    with drawing.style():
        canvas = drawing.figure(12.4, 5.4)
        canvas.suptitle(_heading(one, document), fontsize=15, fontweight="bold")
        left, right = canvas.subplots(1, 2)
        found = curves(planner, request, [row.tokens for row in one.lengths])
        _draw(left, found, "Requests at once", lambda point: point.requests)
        _draw(right, found, "Tokens of all requests", lambda point: point.requests * point.tokens)
        handles, labels = left.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        drawing.save(canvas, path, marker=MARKER, force=force)


def curves(planner: Planner, request: Request, lengths: Sequence[int]) -> list[Curve]:
    """The published split, those for ``lengths``, and the best split for each length."""
    asked = planner.outcome(request)
    places = _places(asked.situation.context)
    usual = published(planner, asked)
    plans = [("published values", usual)]
    plans += [(f"split for {_short(n)}", for_length(planner, asked, n)) for n in lengths]
    fixed = [Curve(name, _points(plan, places)) for name, plan in plans if plan]
    each = [for_length(planner, asked, tokens) for tokens in places]
    pairs = zip(each, places, strict=True)
    best = [point for plan, tokens in pairs if plan for point in _points(plan, [tokens])]
    return [*fixed, Curve(BEST, tuple(best))]


def _points(plan: Outcome, places: Sequence[int]) -> tuple[Point, ...]:
    held = [(tokens, plan.held(uniform(tokens))) for tokens in places]
    return tuple(Point(tokens, found.requests) for tokens, found in held if found)


def _places(most: int) -> list[int]:
    """Lengths from the shortest to ``most``, each a fixed factor longer."""
    steps = (int(SHORTEST * 2 ** (n / STEPS)) for n in range(32 * STEPS))
    return [*takewhile(lambda tokens: tokens < most, steps), most]


def _draw(axes: Axes, found: Sequence[Curve], title: str, value: Any) -> None:
    for index, curve in enumerate(found):
        best = curve.name == BEST
        colour, marker, line = drawing.SERIES[index % len(drawing.SERIES)]
        known = [point for point in curve.points if point.requests]
        axes.plot(
            [point.tokens for point in known],
            [value(point) for point in known],
            color=drawing.INK if best else colour,
            marker=None if best else marker,
            linestyle="-" if best else line,
            linewidth=4 if best else 1.6,
            alpha=0.35 if best else 1,
            zorder=1 if best else 2,
            markersize=5,
            markevery=STEPS,
            label=curve.name,
        )
    axes.set(title=title, xlabel="Tokens of each request, prompt and answer")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _ticks(axes, found)
    axes.grid(visible=True, color=drawing.FAINT, alpha=0.25)


def _ticks(axes: Axes, found: Sequence[Curve]) -> None:
    """Lengths as 1k, 4k, ...; numbers as people write them."""
    low, high = axes.get_ylim()
    longest = max((point.tokens for curve in found for point in curve.points), default=SHORTEST)
    places = [1024 * 4**n for n in range(12) if 1024 * 4**n <= longest]
    drawing.ticks(axes, "x", [float(n) for n in places], [_short(n) for n in places])
    steps = [float(step * 10**n) for n in range(10) for step in (1, 2, 5)]
    shown = [value for value in steps if low <= value <= high]
    drawing.ticks(axes, "y", shown, [_plain(value) for value in shown])


def _plain(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,.0f}"


def _short(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"


def _heading(one: VariantFit, document: FitDocument) -> str:
    where = f"{one.gpus} x {document.hardware.platform}" if document.hardware else ""
    return f"Gemma 4 {one.variant} ({one.checkpoint}) on {where}, SGLang {one.release}"
