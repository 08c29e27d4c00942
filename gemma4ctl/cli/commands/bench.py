"""``gemma4ctl bench``: how fast an endpoint answers."""

from __future__ import annotations

import gc
import signal
import sys
from enum import Enum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from gemma4ctl.cli.commands import bench_reports
from gemma4ctl.cli.commands.bench_reports import HtmlOption, PlotOption
from gemma4ctl.cli.help import command_app
from gemma4ctl.cli.options import ApiKeyFileOption, ForceOption, JsonOption, UrlOption

if TYPE_CHECKING:
    from gemma4ctl.bench.document import BenchResult
    from gemma4ctl.bench.payload import Api
    from gemma4ctl.bench.session import Way
    from gemma4ctl.bench.workload import Workload
    from gemma4ctl.endpoint.facts import Facts
    from gemma4ctl.planning.plan import Plan

FAILED = 4  # exit status: a request failed
INTERRUPTED = 130  # exit status

app = command_app(invoke_without_command=True)
app.command("compare")(bench_reports.compare)
app.command("reference")(bench_reports.reference)
app.command("report")(bench_reports.report)


class Client(str, Enum):
    """What sends the requests."""

    auto = "auto"
    builtin = "builtin"
    sglang = "sglang"


@app.callback()
def bench(
    ctx: typer.Context,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            metavar="NAME",
            help="text-c1, text-c100, image-c1, image-c100; repeatable (default: all that the "
            "endpoint takes). Any other name is for a load of your own.",
        ),
    ] = None,
    input_tokens: Annotated[
        int | None,
        typer.Option("--input-tokens", metavar="N", min=1, help="Your own load: prompt length."),
    ] = None,
    output_tokens: Annotated[
        int | None,
        typer.Option("--output-tokens", metavar="N", min=1, help="Your own load: answer length."),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests",
            metavar="N",
            min=1,
            help="Your own load: requests (10 for each at a time).",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", metavar="N", min=1, help="Your own load: how many at a time."
        ),
    ] = None,
    range_ratio: Annotated[
        float | None,
        typer.Option(
            "--range-ratio",
            metavar="RATIO",
            min=0,
            max=1,
            help="Your own load: shortest by longest length (default 1: all the same).",
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", metavar="N", min=0, help="Your own load: 720p images in each request."
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, max=(1 << 32) - 1, help="Decides lengths and content."
        ),
    ] = 1,
    repeat: Annotated[
        int,
        typer.Option(
            "--repeat", metavar="N", min=1, help="Runs of each scenario, to see the noise."
        ),
    ] = 1,
    client: Annotated[
        Client,
        typer.Option("--client", help="auto: SGLang's bench_serving where SGLang is installed."),
    ] = Client.auto,
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="ShareGPT conversations for SGLang's client.",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            "--warmup", metavar="N", min=0, help="Requests before each run of the built-in client."
        ),
    ] = None,
    flush: Annotated[
        bool, typer.Option("--flush/--no-flush", help="Empty the prefix cache before each run.")
    ] = True,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0.1, help="Seconds of silence that fail a request."
        ),
    ] = 600.0,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="The server's plan, to keep with the results."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the results as JSON."),
    ] = None,
    plot: PlotOption = None,
    html: HtmlOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Measure throughput and latency of a running endpoint.

    The scenarios are those of SGLang's published Gemma 4 figures; with --input-tokens and
    --output-tokens it is a load of your own. Exit status 4: a request failed. After Ctrl-C the
    results so far are kept.

    Example: gemma4ctl bench --scenario text-c1 --repeat 3 -o e2b.json
    """
    if ctx.invoked_subcommand is not None:
        return
    from gemma4ctl.bench.choice import Shape, workloads
    from gemma4ctl.bench.measure import choose_api
    from gemma4ctl.bench.session import Way
    from gemma4ctl.endpoint.address import endpoint as endpoint_at
    from gemma4ctl.endpoint.facts import read_facts
    from gemma4ctl.endpoint.presence import require_model
    from gemma4ctl.rendering.planfile import read_plan

    gc.enable()  # the command line turns it off
    shape = Shape(input_tokens, output_tokens, requests, concurrency, range_ratio, images)
    workloads(scenario or (), shape, seed=seed, images=None)  # refuse before asking the server
    planned = read_plan(plan) if plan else None
    _check_outputs(output, plot, html, force=force)
    endpoint = endpoint_at(url, api_key_file)
    facts = read_facts(endpoint)
    model = require_model(endpoint, facts)
    python = _python(client)
    chosen = workloads(scenario or (), shape, seed=seed, images=facts.has_images)
    way = Way(
        endpoint=endpoint,
        model=model,
        python=python,
        dataset=dataset,
        repeat=repeat,
        warmup=warmup,
        flush=flush,
        silence_s=timeout,
    )
    wanted = [(workload, choose_api(facts, workload)) for workload in chosen]
    result = _blank(way, facts, planned)
    found = _run(way, wanted, result, output, force=force)
    _show(found, output, json=json)
    if plot or html:
        bench_reports.write(found, plot, html, force=force)
    if not found.complete:
        raise typer.Exit(INTERRUPTED)
    failures = sum(run.summary.failures for each in found.scenarios for run in each.runs)
    raise typer.Exit(FAILED if failures else 0)


def _check_outputs(
    output: Path | None, plot: Path | None, html: Path | None, *, force: bool
) -> None:
    """Refuse files that cannot be written before anything is measured."""
    from gemma4ctl.bench.document import MARKER
    from gemma4ctl.rendering.files import check_new

    if output is not None:
        check_new(output, marker=MARKER, force=force)
    bench_reports.check(plot, html, force=force)


def _python(client: Client) -> str | None:
    """The interpreter of SGLang's own client; None: the built-in one measures."""
    from gemma4ctl.bench.client import require_packages
    from gemma4ctl.bench.sglang_serving import python_with_sglang
    from gemma4ctl.errors import UsageError

    python = None if client is Client.builtin else python_with_sglang()
    if python is None and client is not Client.sglang:
        require_packages()
    if python is None and client is Client.sglang:
        raise UsageError(
            "SGLang's client needs SGLang here",
            needed="an `sglang` command on PATH, with its Python",
            remedies=["--client builtin, which has the same metrics"],
            code="bench-no-sglang",
        )
    return python


def _blank(way: Way, facts: Facts, plan: Plan | None) -> BenchResult:
    """Results with everything but figures."""
    from datetime import datetime, timezone

    from gemma4ctl import __version__
    from gemma4ctl.bench import identity
    from gemma4ctl.bench.document import BenchResult

    return BenchResult(
        gemma4ctl_version=__version__,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=("gemma4ctl", *sys.argv[1:]),
        url=way.endpoint.url,
        served=identity.served(facts, way.model),
        hardware=identity.hardware(way.endpoint, facts, plan),
        plan=identity.planned(plan) if plan else None,
        problems=facts.problems,
    )


def _run(
    way: Way,
    wanted: list[tuple[Workload, Api]],
    result: BenchResult,
    output: Path | None,
    *,
    force: bool,
) -> BenchResult:
    """Measure; with ``output`` the results are kept there after every run."""
    from gemma4ctl.bench import document, session
    from gemma4ctl.bench.progress import display

    keep = partial(document.write, path=output, force=force) if output else _drop
    shown = display()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return session.run(way, wanted, result, keep=keep, display=shown)
    finally:
        signal.signal(signal.SIGTERM, before)
        shown.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, and SGLang's client with it."""
    raise KeyboardInterrupt


def _drop(result: BenchResult) -> None:
    """Keep results nowhere."""


def _show(result: BenchResult, output: Path | None, *, json: bool) -> None:
    """The results on stdout; what is left to say on stderr."""
    from gemma4ctl.bench import document, text
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.cli.show import console, print_json

    if json:
        print_json(document.content(result))
    elif result.scenarios:
        console().print(text.table(result))
    for note in dict.fromkeys(note for each in result.scenarios for note in each.notes):
        say(f"note: {note}")
    kept = f"; results so far: {output}" if output and result.scenarios else ""
    if not result.complete:
        say(f"interrupted{kept}")
    elif output is not None:
        say(f"results: {output}")
