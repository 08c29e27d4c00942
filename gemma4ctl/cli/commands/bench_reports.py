"""``gemma4ctl bench compare``, ``reference`` and ``report``: what stored results say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma4ctl.cli.options import ForceOption, JsonOption

if TYPE_CHECKING:
    from gemma4ctl.bench.document import BenchResult

WORSE = 4  # exit status: a figure is below what was asked for

PlatformOption = Annotated[
    str | None,
    typer.Option("--platform", metavar="NAME", help="The GPU, where the results do not tell."),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the results: .svg or .png."),
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a report as a web page.")
]
ResultsArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Results of `bench -o`.")]


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Results of `bench -o`.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Later ones.")],
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below",
            metavar="GAIN",
            help="Exit with status 4 when a figure is below this, noise considered: 0.97.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare two results: how many times as good the new one is, and what is noise.

    Example: gemma4ctl bench compare before.json after.json --fail-below 0.97
    """
    from gemma4ctl.bench import document
    from gemma4ctl.bench.reports import tables
    from gemma4ctl.bench.reports.compare import compare as compared
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.cli.show import console, print_json

    found = compared(document.read(old), document.read(new))
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        console().print(tables.comparison(found))
    worse = found.below(fail_below) if fail_below is not None else ()
    for row in worse:
        say(f"{row.scenario}: {row.figure} is {row.gain:.3f} times as good, below {fail_below:g}")
    raise typer.Exit(WORSE if worse else 0)


def reference(
    file: ResultsArgument, platform: PlatformOption = None, json: JsonOption = False
) -> None:
    """Show results beside the published figures of the same variant, GPU and load.

    Example: gemma4ctl bench reference e2b.json
    """
    from gemma4ctl.bench import document
    from gemma4ctl.bench.reports import tables
    from gemma4ctl.bench.reports.reference import beside_published
    from gemma4ctl.cli.show import console, print_json

    found = beside_published(document.read(file), platform)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        console().print(tables.reference(found))


def report(
    file: ResultsArgument,
    plot: PlotOption = None,
    html: HtmlOption = None,
    platform: PlatformOption = None,
    force: ForceOption = False,
) -> None:
    """Draw stored results, or write them as a web page.

    Example: gemma4ctl bench report e2b.json --html e2b.html
    """
    from gemma4ctl.bench import document
    from gemma4ctl.errors import UsageError

    if plot is None and html is None:
        raise UsageError("there is nothing to write", needed="--plot FILE or --html FILE")
    write(document.read(file), plot, html, platform=platform, force=force)


def check(plot: Path | None, html: Path | None, *, force: bool) -> None:
    """Refuse what :func:`write` could not write, before anything is measured."""
    from gemma4ctl import drawing
    from gemma4ctl.bench.reports import page
    from gemma4ctl.bench.reports.plot import MARKER
    from gemma4ctl.rendering.files import check_new

    if plot is not None:
        drawing.check_name(plot)
        drawing.style()
        check_new(plot, marker=MARKER, force=force)
    if html is not None:
        check_new(html, marker=page.MARKER, force=force)


def write(
    result: BenchResult,
    plot: Path | None,
    html: Path | None,
    *,
    platform: str | None = None,
    force: bool = False,
) -> None:
    """Write the drawing and the page of ``result`` that were asked for."""
    from gemma4ctl.bench.reports import page
    from gemma4ctl.bench.reports.plot import write as draw
    from gemma4ctl.bench.reports.reference import beside_published
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.rendering.files import write_new

    published = beside_published(result, platform)
    if plot is not None:
        draw(result, published, plot, force=force)
        say(f"drawing: {plot}")
    if html is not None:
        write_new(html, page.html(result, published), marker=page.MARKER, force=force)
        say(f"report: {html}")
