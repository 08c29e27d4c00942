"""Results as drawings: throughput against latency, and gains over published figures as bars."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gemma4ctl import drawing
from gemma4ctl.bench.document import BenchResult, Scenario
from gemma4ctl.bench.reports.figures import BY_NAME, number
from gemma4ctl.bench.reports.reference import Reference
from gemma4ctl.bench.summary import spread
from gemma4ctl.errors import UsageError
from gemma4ctl.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MARKER = "gemma4ctl bench"  # in the file, near its start
LONGEST_NAME = 18  # of a scenario beside its bars


class Point(NamedTuple):
    """A scenario in the plane: means and bounds of output tokens a second and TPOT (ms)."""

    name: str
    throughput: float
    throughput_bounds: tuple[float, float]
    tpot: float
    tpot_bounds: tuple[float, float]
    concurrency: int


class Bar(NamedTuple):
    """A gain over a published figure."""

    label: str
    gain: float


def write(result: BenchResult, reference: Reference, path: Path, *, force: bool = False) -> None:
    """Draw ``result`` into ``path``, in the format of its suffix.

    Raises:
        UsageError: the suffix is another one, matplotlib is not installed, nothing was measured,
            somebody else's file is there (``force`` replaces it), or it cannot be written.
    """
    drawing.check_name(path)
    with drawing.style():
        drawing.save(_canvas(result, reference), path, marker=MARKER, force=force)


def svgs(result: BenchResult, reference: Reference) -> tuple[str, ...]:
    """The drawings one by one, as SVG elements in the colour of the text around them."""
    found = []
    with drawing.style():
        for index, draw in enumerate(_panels(result, reference)):
            canvas = drawing.figure(5.6, max(4.2, 1.2 + 0.28 * len(bars(reference))))
            draw(canvas.add_subplot())
            found.append(_inline(canvas, index))
    return tuple(found)


def _canvas(result: BenchResult, reference: Reference) -> Canvas:
    panels = _panels(result, reference)
    height = max(5.2, 2 + 0.28 * len(bars(reference)))
    canvas = drawing.figure(7.2 * len(panels), height)
    canvas.suptitle(heading(result), fontsize=15, fontweight="bold")
    for axes, draw in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes)
    canvas.supxlabel(_source(result, reference), fontsize=9, color=drawing.FAINT)
    return canvas


def _panels(result: BenchResult, reference: Reference) -> list[Any]:
    """What there is to draw: functions of axes.

    Raises:
        UsageError: nothing was measured.
    """
    series = points(result)
    if not series:
        raise UsageError(
            "there is nothing to draw",
            needed="a result with a whole run",
            code="plot-nothing",
        )
    panels = [lambda axes: _draw_plane(axes, series, published(reference))]
    gains = bars(reference)
    if gains:
        panels.append(lambda axes: _draw_bars(axes, gains))
    return panels


def heading(result: BenchResult) -> str:
    """What was measured, in a line."""
    served = result.served
    name = f"Gemma 4 {served.variant}" if served.variant else served.model
    mtp = " with MTP" if served.mtp else ""
    where = (
        f" on {result.hardware.gpu_count} x {result.hardware.platform}" if result.hardware else ""
    )
    return f"{name}{mtp}{where}"


def _source(result: BenchResult, reference: Reference) -> str:
    release = f"SGLang {result.served.release}, " if result.served.release else ""
    sources = ", ".join(dict.fromkeys(row.source for row in reference.rows))
    beside = f"; published: {sources}" if sources else ""
    return f"{release}gemma4ctl {result.gemma4ctl_version}, {result.date[:10]}{beside}"


def points(result: BenchResult) -> dict[str, list[Point]]:
    """The scenarios as points, those of equal lengths as one series in order of concurrency."""
    found: dict[str, list[Point]] = {}
    for scenario in result.scenarios:
        if scenario.whole:
            found.setdefault(_series(scenario), []).append(_point(scenario))
    return {name: sorted(each, key=lambda p: p.concurrency) for name, each in found.items()}


def _series(scenario: Scenario) -> str:
    load = scenario.workload
    least = "" if load.range_ratio == 1 else "up to "
    images = f"{load.images} image{'s' if load.images > 1 else ''}, " if load.images else ""
    return f"{images}{least}{load.input_tokens:,} in, {load.output_tokens:,} out"


def _point(scenario: Scenario) -> Point:
    figures = [run.summary.figures() for run in scenario.whole]
    rate = spread([each["output_throughput"] for each in figures])
    time = spread([each["tpot_ms.mean"] for each in figures])
    return Point(
        name=scenario.workload.name,
        throughput=rate.mean,
        throughput_bounds=(rate.min, rate.max),
        tpot=time.mean,
        tpot_bounds=(time.min, time.max),
        concurrency=scenario.workload.concurrency,
    )


def published(reference: Reference) -> list[tuple[float, float]]:
    """Output tokens a second and TPOT of the comparable published runs that have both."""
    found = [{value.figure: value.published for value in row.values} for row in reference.rows]
    return [(each["output_tok_s"], each["tpot_ms"]) for each in found if "output_tok_s" in each]


def bars(reference: Reference) -> list[Bar]:
    """The gains over published figures, a bar each; one of throughput."""
    return [
        Bar(f"{_short(row.scenario)}: {value.title}", value.gain)
        for row in reference.rows
        for value in row.values
        if value.gain is not None and value.figure != "total_tok_s"
    ]


def _short(name: str) -> str:
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _draw_plane(
    axes: Axes, series: dict[str, list[Point]], rings: Sequence[tuple[float, float]]
) -> None:
    """Throughput to the right, time for a token upwards, both logarithmic: loads differ a lot."""
    for index, (name, found) in enumerate(series.items()):
        colour, marker, line = drawing.SERIES[index % len(drawing.SERIES)]
        axes.errorbar(
            [point.throughput for point in found],
            [point.tpot for point in found],
            xerr=_reach([(p.throughput, p.throughput_bounds) for p in found]),
            yerr=_reach([(p.tpot, p.tpot_bounds) for p in found]),
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=8,
            capsize=3,
            label=name,
            zorder=3,
        )
        for point in found:
            axes.annotate(
                f"{point.concurrency:,} at a time",
                (point.throughput, point.tpot),
                textcoords="offset points",
                xytext=(9, -14) if index % 2 == 0 else (-9, 7),  # off the rising lines
                ha="left" if index % 2 == 0 else "right",
                fontsize=10,
            )
    if rings:
        axes.plot(
            *zip(*rings, strict=True),
            linestyle="none",
            marker="o",
            markersize=16,
            markerfacecolor="none",
            markeredgecolor=drawing.FAINT,
            markeredgewidth=1.5,
            label="published",
        )
    _logarithmic(axes, series)
    axes.set(
        title="Throughput against latency",
        xlabel=f"Output throughput ({BY_NAME['output_throughput'].unit}), more is better",
        ylabel="Time per output token, mean (ms), less is better",
    )
    axes.grid(visible=True, color=drawing.FAINT, alpha=0.25)
    axes.legend(loc="best", frameon=False, fontsize=10)


def _logarithmic(axes: Axes, series: dict[str, list[Point]]) -> None:
    """Logarithmic axes with room around the points, and numbers as people write them."""
    ticker = require("matplotlib.ticker", "plot", "drawing")
    all_points = [point for found in series.values() for point in found]
    for axis, values, least, share in (
        ("x", [point.throughput for point in all_points], 2.0, 0.34),  # labels stand there
        ("y", [point.tpot for point in all_points], 1.5, 0.1),
    ):
        known = [value for value in values if value > 0] or [1.0]
        width = max(known) / min(known)
        room = max(least, width**share)
        getattr(axes, f"set_{axis}scale")("log")
        getattr(axes, f"set_{axis}lim")(min(known) / room, max(known) * room)
        shown = getattr(axes, f"{axis}axis")
        steps = (1, 3) if width > 20 else (1, 2, 5)
        shown.set_major_locator(ticker.LogLocator(subs=steps, numticks=12))
        shown.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
        shown.set_minor_formatter(ticker.NullFormatter())


def _reach(values: Sequence[tuple[float, tuple[float, float]]]) -> list[list[float]]:
    """How far the bounds lie below and above each mean."""
    below = [mean - low for mean, (low, _) in values]
    above = [high - mean for mean, (_, high) in values]
    return [below, above]


def _draw_bars(axes: Axes, gains: Sequence[Bar]) -> None:
    """A bar from 1 to each gain: to the right and solid where better, else left and hatched."""
    places = range(len(gains))
    for place, bar in zip(places, gains, strict=True):
        better = bar.gain >= 1
        axes.barh(
            place,
            bar.gain - 1,
            left=1,
            height=0.7,
            color=drawing.BLUE if better else drawing.VERMILION,
            hatch=None if better else "///",
            edgecolor="white",
        )
        axes.annotate(
            f"{bar.gain:.2f}",
            (max(bar.gain, 1), place),  # never beyond the left end
            textcoords="offset points",
            xytext=(5, 0),
            va="center",
            fontsize=10,
        )
    axes.set_yticks(list(places), [bar.label for bar in gains])
    axes.invert_yaxis()
    axes.axvline(1, color=drawing.INK, linewidth=1)
    reach = 1.35 * max(*(abs(bar.gain - 1) for bar in gains), 0.05)
    axes.set_xlim(max(0, 1 - reach), 1 + reach)
    axes.set(
        title="Beside published figures",
        xlabel="Times as good as published",
    )


def _inline(canvas: Canvas, index: int) -> str:
    """The SVG element of ``canvas`` for a page, from which its size and text colour come."""
    text = io.StringIO()
    with require("matplotlib", "plot", "drawing").rc_context({"svg.fonttype": "none"}):
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg
    )
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>drawing{index}-", svg)  # unique in the page
    return svg.replace(drawing.INK, "currentColor")


def description(result: BenchResult) -> str:
    """The first drawing in words."""
    series = points(result).items()
    return "; ".join(f"{name}: {', '.join(map(_in_words, found))}" for name, found in series)


def _in_words(point: Point) -> str:
    rate, time = number(point.throughput), number(point.tpot)
    return f"{rate} tokens a second at {time} ms a token with {point.concurrency} at a time"
