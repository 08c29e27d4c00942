"""Throughput and latency of a run, by the definitions of SGLang's ``bench_serving``.

Only complete answers count. Throughput is their tokens by the whole duration of the run. TTFT is
the time to the first chunk with text, TPOT the time after it by the tokens after it, ITL the gap
between chunks with text, divided among the tokens of the later one. The peaks count seconds of the
run: the most tokens that came in one, and the most requests that were open at any time in one
(so it can be more than were open at once).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, sqrt
from statistics import fmean

from gemma4ctl.bench.record import Record
from gemma4ctl.model import Model


class Distribution(Model):
    """Milliseconds; all 0 where nothing was measured. None: another client did not say."""

    mean: float = 0.0
    median: float = 0.0
    p90: float | None = None
    p99: float | None = None
    max: float | None = None
    std: float | None = None


class Summary(Model):
    """The figures of one run. Rates are in requests or tokens a second."""

    seconds: float
    completed: int
    failed: dict[str, int] = {}  # by kind of failure
    input_tokens: int
    output_tokens: int
    request_throughput: float
    input_throughput: float
    output_throughput: float
    total_throughput: float
    peak_output_throughput: float
    concurrency: float  # mean number of open requests
    peak_concurrency: int
    ttft_ms: Distribution
    tpot_ms: Distribution
    itl_ms: Distribution
    e2e_ms: Distribution
    cached_tokens: int | None = None  # of the input, found in the prefix cache
    accept_length: float | None = None  # tokens a step with speculative decoding

    @property
    def failures(self) -> int:
        """Requests without a complete answer."""
        return sum(self.failed.values())

    def figures(self) -> dict[str, float]:
        """Every measured number by name: ``output_throughput``, ``tpot_ms.mean``, ..."""
        found: dict[str, float] = {}
        for name, value in self:
            if isinstance(value, Distribution):
                found |= {f"{name}.{part}": n for part, n in value if n is not None}
            elif isinstance(value, (int, float)):
                found[name] = value
        return found


class Spread(Model):
    """How a figure differs between repeated runs. ``cv``: standard deviation by mean."""

    mean: float
    min: float
    max: float
    stdev: float  # of the sample; 0 for one run
    cv: float


def summarize(records: Sequence[Record], seconds: float) -> Summary:
    """The figures of a run that took ``seconds``."""
    done = [record for record in records if record.failure is None]
    input_tokens = sum(record.prompt_tokens or 0 for record in done)
    output_tokens = sum(record.completion_tokens for record in done)
    rate = 1 / seconds if seconds > 0 else 0.0
    peak_tokens, peak_requests = _peaks(done)
    return Summary(
        seconds=seconds,
        completed=len(done),
        failed=dict(Counter(r.failure.kind for r in records if r.failure is not None)),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        request_throughput=len(done) * rate,
        input_throughput=input_tokens * rate,
        output_throughput=output_tokens * rate,
        total_throughput=(input_tokens + output_tokens) * rate,
        peak_output_throughput=peak_tokens,
        concurrency=sum(record.latency for record in done) * rate,
        peak_concurrency=peak_requests,
        ttft_ms=distribution(record.ttft for record in done),
        tpot_ms=distribution(r.tpot for r in done if r.tpot is not None),
        itl_ms=distribution(gap for record in done for gap in record.gaps()),
        e2e_ms=distribution(record.latency for record in done),
        cached_tokens=_sum_known(record.cached_tokens for record in done),
        accept_length=_mean_known(record.accept_length for record in done),
    )


def distribution(seconds: Iterable[float]) -> Distribution:
    """How ``seconds`` are distributed, in milliseconds."""
    values = sorted(1000 * value for value in seconds)
    if not values:
        return Distribution(p90=0.0, p99=0.0, max=0.0, std=0.0)
    mean = fmean(values)
    return Distribution(
        mean=mean,
        median=percentile(values, 50),
        p90=percentile(values, 90),
        p99=percentile(values, 99),
        max=values[-1],
        std=sqrt(fmean((value - mean) ** 2 for value in values)),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of ``ordered`` lie, between two values in proportion."""
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Sequence[float]) -> Spread:
    """How ``values`` (at least one) differ."""
    mean = fmean(values)
    deviations = sum((value - mean) ** 2 for value in values)
    stdev = sqrt(deviations / (len(values) - 1)) if len(values) > 1 else 0.0
    return Spread(
        mean=mean,
        min=min(values),
        max=max(values),
        stdev=stdev,
        cv=stdev / abs(mean) if mean else 0.0,
    )


def spreads(summaries: Sequence[Summary]) -> dict[str, Spread]:
    """The spread of every figure that all of ``summaries`` have."""
    figures = [summary.figures() for summary in summaries]
    return {
        name: spread([each[name] for each in figures])
        for name in (figures[0] if figures else ())
        if all(name in each for each in figures)
    }


def _peaks(done: Sequence[Record]) -> tuple[float, int]:
    """The most tokens of one second of the run, and the most open requests of one."""
    if not done:
        return 0.0, 0
    began = min(record.started for record in done)
    length = ceil(max(record.ended for record in done) - began) + 1
    tokens, requests = [0] * length, [0] * length
    for record in done:
        for time in _token_times(record):
            tokens[int(time - began)] += 1
        for second in range(int(record.started - began), int(record.ended - began) + 1):
            requests[second] += 1
    return float(max(tokens)), max(requests)


def _token_times(record: Record) -> Iterator[float]:
    """When each token came: those of one chunk evenly since the chunk before it."""
    time = record.started + record.ttft
    yield time
    for gap in record.gaps():
        time += gap
        yield time


def _sum_known(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
