"""A result beside the published figures: comparable ones with the ratio, the nearest others.

A published run is comparable when variant, weights, GPU, tensor parallel size, MTP, lengths and
concurrency are the same. The release may differ: it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Final, Literal, NamedTuple

from gemma4ctl.bench.document import BenchResult, Scenario
from gemma4ctl.bench.reports.figures import Figure, gain
from gemma4ctl.bench.workload import Workload
from gemma4ctl.model import Model
from gemma4ctl.profiles.measurements import Speed, load_measurements

KIND: Final = "gemma4ctl-bench-reference"
NEAREST = 6  # published runs shown though they are not comparable
FULL_LOAD = 10  # requests for each at a time: with fewer, start and end of the run weigh more
PER_GPU = "tok_s_per_gpu"
UNTOKENIZED = (
    "your TTFT leaves out the server's tokenizing, a few ms for 1,024 tokens, which is in the "
    "published one: the built-in client sends token ids"
)


class Value(Model):
    """A published figure; ``measured`` (mean of the whole runs) and ``gain`` where comparable.

    ``gain`` is how many times as good the measured one is: above 1 is better, also for times.
    """

    figure: str
    title: str
    unit: str
    published: float
    measured: float | None = None
    gain: float | None = None


class Published(Model):
    """A published run, beside the scenario that it is like. ``why_not``: what makes it unlike."""

    scenario: str
    variant: str
    platform: str
    line: str
    tp: int
    mtp: bool
    workload: str
    concurrency: int
    attention_backend: str | None
    release: str | None
    source: str
    values: tuple[Value, ...]
    why_not: tuple[str, ...] = ()


class Reference(Model):
    """A result beside what is published. ``problems``: what is in the way of comparing them."""

    kind: Literal["gemma4ctl-bench-reference"] = KIND
    schema_version: Literal[1] = 1
    date: str
    variant: str | None
    platform: str | None
    rows: tuple[Published, ...] = ()
    not_comparable: tuple[Published, ...] = ()
    problems: tuple[str, ...] = ()


# A figure of a published run, and the one of a measured run that it is.
_SHOWN = {
    Figure("output_tok_s", "Output", "tok/s", True): "output_throughput",
    Figure("total_tok_s", "Input and output", "tok/s", True): "total_throughput",
    Figure(PER_GPU, "Input and output", "tok/s a GPU", True): "total_throughput",
    Figure("ttft_ms", "TTFT, mean", "ms", False): "ttft_ms.mean",
    Figure("tpot_ms", "TPOT, mean", "ms", False): "tpot_ms.mean",
}


class _Setup(NamedTuple):
    """What a result was measured on, as far as it is known."""

    variant: str | None
    platform: str | None
    weights: str | None
    tp: int | None
    mtp: bool | None
    random_weights: bool


def beside_published(result: BenchResult, platform: str | None = None) -> Reference:
    """``result`` beside the published runs of its variant.

    Args:
        result: what was measured.
        platform: the GPU, where the result does not tell; a name of the profile table.

    Raises:
        UsageError: no platform has that name.
    """
    setup = _setup(result, platform)
    rows = [row for row in load_measurements().speed if row.variant == setup.variant]
    like: list[Published] = []
    unlike: list[Published] = []
    for scenario in result.scenarios:
        if scenario.whole:
            for row in rows:
                found = _published(row, scenario, setup)
                (unlike if found.why_not else like).append(found)
    return Reference(
        date=result.date,
        variant=setup.variant,
        platform=setup.platform,
        rows=tuple(like),
        not_comparable=tuple(_nearest(like, unlike)),
        problems=(*_problems(setup), *_without_tokenizing(result, like)),
    )


def _setup(result: BenchResult, platform: str | None) -> _Setup:
    from gemma4ctl.profiles import load, lookup

    hardware = result.hardware.platform if result.hardware else None
    return _Setup(
        variant=result.served.variant,
        platform=lookup.platform_name(load.load(), platform) if platform else hardware,
        weights=_weights(result),
        tp=result.served.tp,
        mtp=result.served.mtp,
        random_weights=result.served.server_args.get("load_format") == "dummy",
    )


def _weights(result: BenchResult) -> str | None:
    """The line of the checkpoint ("standard", "qat"), its format where that is no bf16.

    None: a folder or repository that the profile table does not know.
    """
    from gemma4ctl.profiles import load, lookup

    quantization = result.served.server_args.get("quantization")
    if quantization:
        return str(quantization)
    profiles = load.load()
    found = lookup.checkpoint_by_id(profiles, result.served.model_path or result.served.model)
    if found is None:
        return None
    return found.line if found.format == "bf16" else found.format


def workload_name(workload: Workload) -> str:
    """What the published figures call this load."""
    lengths = (workload.input_tokens, workload.output_tokens)
    size = (workload.image_width, workload.image_height)
    if workload.images:
        page = workload.images == 2 and size == (1280, 720) and lengths == (128, 1024)
        page = page and workload.range_ratio == 0
        return "two-720p-images" if page else "other images"
    if workload.range_ratio == 1:
        return "random-{}-{}".format(*lengths)
    return "random" if lengths == (1024, 1024) and workload.range_ratio == 0 else "other lengths"


def _published(row: Speed, scenario: Scenario, setup: _Setup) -> Published:
    why_not = tuple(_why_not(row, scenario.workload, setup))
    return Published(
        scenario=scenario.workload.name,
        variant=row.variant,
        platform=row.platform,
        line=row.line,
        tp=row.tp,
        mtp=row.mtp,
        workload=row.workload,
        concurrency=row.concurrency,
        attention_backend=row.attention_backend,
        release=row.release,
        source=row.source,
        values=tuple(_values(row, None if why_not else scenario)),
        why_not=why_not,
    )


def _why_not(row: Speed, workload: Workload, setup: _Setup) -> Iterator[str]:
    """What makes a measured run unlike a published one, the most telling first."""
    if row.workload != workload_name(workload):
        yield f"another load: {row.workload}"
    if row.concurrency != workload.concurrency:
        yield f"{row.concurrency} at a time"
    if row.platform != setup.platform:
        yield f"another GPU: {row.platform}"
    if row.tp != setup.tp:
        yield f"on {row.tp} GPU{'s' if row.tp > 1 else ''}"
    if row.mtp != bool(setup.mtp):
        yield "with MTP" if row.mtp else "without MTP"
    if row.line != (setup.weights or "standard"):
        yield f"other weights: {row.line}"
    if row.mtp and setup.random_weights:
        yield "yours are random weights, whose drafts are refused"
    if workload.requests < FULL_LOAD * workload.concurrency:
        yield f"yours has too few requests: {workload.requests}"


def _values(row: Speed, scenario: Scenario | None) -> Iterator[Value]:
    """The published figures, with the measured ones of a comparable scenario."""
    for figure, name in _SHOWN.items():
        published = getattr(row, figure.name)
        if published is None:
            continue
        measured = None
        if scenario is not None:
            measured = fmean(run.summary.figures()[name] for run in scenario.whole)
            measured /= row.tp if figure.name == PER_GPU else 1
        yield Value(
            figure=figure.name,
            title=figure.title,
            unit=figure.unit,
            published=published,
            measured=measured,
            gain=gain(figure, measured, published) if measured else None,
        )


def _nearest(like: list[Published], unlike: list[Published]) -> list[Published]:
    """Of the published runs that no scenario is like, those that differ in the fewest ways."""
    seen = {_run(row) for row in like}
    chosen: list[Published] = []
    for each in sorted(unlike, key=lambda row: len(row.why_not)):
        if _run(each) not in seen:
            seen.add(_run(each))
            chosen.append(each)
    return chosen[:NEAREST]


def _run(row: Published) -> tuple[object, ...]:
    """What tells a published run from all others."""
    return (row.platform, row.line, row.tp, row.mtp, row.workload, row.concurrency, row.source)


def _problems(setup: _Setup) -> Iterator[str]:
    if setup.variant is None:
        yield "the variant is not known, so nothing published can stand beside it"
    if setup.platform is None:
        yield "the GPU is not known; --platform NAME names it"
    if setup.tp is None:
        yield "the tensor parallel size is not known"
    if setup.weights is None:
        yield "the checkpoint is not one of the profile table; bf16 weights are assumed"


def _without_tokenizing(result: BenchResult, like: list[Published]) -> Iterator[str]:
    """Whether a TTFT of token ids stands beside a published one, which is of text."""
    beside = {row.scenario for row in like for value in row.values if value.figure == "ttft_ms"}
    if any(
        scenario.workload.name in beside and scenario.client == "builtin" and scenario.api != "chat"
        for scenario in result.scenarios
    ):
        yield UNTOKENIZED
