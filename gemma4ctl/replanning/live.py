"""What the metrics of a running server tell of its load: SGLang's, with ``--enable-metrics``.

Usage is averaged over the samples; counters and histograms count what happened between the first
and the last one. Running requests are counted by the decode steps, and waiting ones are those of
samples that tell of decode steps (:mod:`gemma4ctl.replanning.interval` says why); without such, all
samples count. Numbers of requests are those of all data-parallel servers together; usage is that of
the fullest. Of a single sample, such as a saved file, counters and histograms tell of the time
since the server started, and gauges and the rate are the server's last figures. Names are those of
SGLang 0.5.16 to 0.5.23.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import fmean

from gemma4ctl.capacity.workload import Share
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.metrics import Histogram, Metrics, read_metrics
from gemma4ctl.errors import UsageError
from gemma4ctl.replanning.interval import TOKENS, Interval, Sample, between, step_s
from gemma4ctl.replanning.limit import WAITING
from gemma4ctl.replanning.observation import Observation, mean, mix_of, weighted_mix

INTERVAL_S = 1.0
TOP = 0.9  # the quantile of running requests that counts while others wait
FEWEST_REQUESTS = 5  # finished while watching; with fewer, those since the start are taken
FEWEST_PROMPTS = 5  # prefilled while watching, to tell well how long that takes
SHORT = "few prompts or decode steps were seen: a longer look (--seconds) predicts better"
RESTARTED = "the server was started anew meanwhile: what came before does not count"


def watch(
    endpoint: Endpoint,
    seconds: float,
    *,
    interval_s: float = INTERVAL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Sample]:
    """Sample the metrics of a server for ``seconds``, at least twice.

    Raises:
        MetricsError: the server has no metrics.
        UsageError: ``prometheus_client`` is not installed.
    """
    deadline = time.monotonic() + seconds
    samples = [Sample(time.monotonic(), read_metrics(endpoint))]
    while len(samples) < 2 or time.monotonic() < deadline:
        sleep(interval_s)
        samples.append(Sample(time.monotonic(), read_metrics(endpoint)))
    return samples


def observe(samples: Sequence[Sample], source: str) -> Observation:
    """What ``samples`` (at least one, oldest first) tell.

    Raises:
        UsageError: these are no metrics of SGLang, or no request was ever finished.
    """
    last = samples[-1].metrics
    if last.largest("sglang:num_running_reqs") is None:
        raise UsageError(
            f"{source} has no metrics of SGLang",
            needed="metrics named sglang:..., of a server started with --enable-metrics",
            code="no-sglang-metrics",
        )
    samples, restarted = _of_one_start(samples)
    first, notes = _first(samples)
    counted = _Counted(first.metrics if first else None, last)
    requests = counted.total("sglang:num_requests_total")
    if not requests:
        raise UsageError(
            f"{source}: no request was finished yet",
            needed="a server under its usual load",
            remedies=["watch for longer: --seconds 120"],
            code="no-requests",
        )
    inputs = counted.total("sglang:prompt_tokens_total") / requests
    outputs = counted.total("sglang:generation_tokens_total") / requests
    seconds = samples[-1].at - samples[0].at if len(samples) > 1 else None
    whole = between(samples[0], samples[-1])
    intervals = [between(*pair) for pair in pairwise(samples)]
    running, waiting = _at_once(samples, whole, intervals)
    gaps = counted.histogram("sglang:inter_token_latency_seconds")
    step = step_s(intervals) or (median(gaps) if gaps else None)
    saturated = waiting >= WAITING  # else the time that decode steps leave is idle, too
    prefill = _prefill_s(whole, step, inputs) if saturated else None
    if saturated and _short(whole, inputs):
        notes = (*notes, SHORT)
    return Observation(
        source=source,
        mix=_mix(counted, inputs, outputs),
        input_tokens=inputs,
        output_tokens=outputs,
        requests=int(requests),
        running=running,
        waiting=waiting,
        full_usage=_mean(samples, "sglang:full_token_usage"),
        sliding_usage=_mean(samples, "sglang:swa_token_usage"),
        full_tokens=_whole(last.largest("sglang:max_total_num_tokens")),
        sliding_tokens=_sliding_tokens(last),
        retracted=int(counted.total("sglang:num_retracted_requests_total")),
        requests_s=_rate(samples, outputs),
        step_s=step,
        prefill_s=prefill,
        seconds=seconds,
        notes=(*restarted, *notes),
    )


class _Counted:
    """Counters and histograms since an earlier sample, or since the start of the server."""

    def __init__(self, first: Metrics | None, last: Metrics) -> None:
        self._first, self._last = first, last

    def total(self, name: str) -> float:
        before = self._first.total(name) if self._first else None
        return (self._last.total(name) or 0.0) - (before or 0.0)

    def histogram(self, name: str) -> Histogram | None:
        last = self._last.histogram(name)
        first = self._first.histogram(name) if self._first else None
        return last.minus(first) if last and first else last


def _of_one_start(samples: Sequence[Sample]) -> tuple[Sequence[Sample], tuple[str, ...]]:
    """The samples since the server was started, where that was meanwhile, and a note on that."""
    counts = [
        sum(sample.metrics.total(name) or 0.0 for name in ("sglang:num_requests_total", TOKENS))
        for sample in samples
    ]
    starts = [place for place in range(1, len(samples)) if counts[place] < counts[place - 1]]
    return (samples[starts[-1] :], (RESTARTED,)) if starts else (samples, ())


def _first(samples: Sequence[Sample]) -> tuple[Sample | None, tuple[str, ...]]:
    """The sample to count from, None for the start of the server, and a note on that."""
    name = "sglang:num_requests_total"
    counts = [sample.metrics.total(name) or 0.0 for sample in (samples[0], samples[-1])]
    if counts[1] - counts[0] >= FEWEST_REQUESTS:
        return samples[0], ()
    note = "lengths and counts are those since the server started: few requests ended meanwhile"
    return None, (note,)


def _at_once(
    samples: Sequence[Sample], whole: Interval, intervals: Sequence[Interval]
) -> tuple[float, float]:
    """Requests that decode together, and those that wait meanwhile."""
    waiting = [_of_all(sample.metrics, "sglang:num_queue_reqs") or 0.0 for sample in samples]
    if whole.running is None:
        return _from_gauges(samples, fmean(waiting))
    settled = [queued for queued, each in zip(waiting[1:], intervals, strict=True) if each.settled]
    return whole.running, fmean(settled or waiting)


def _from_gauges(samples: Sequence[Sample], waiting: float) -> tuple[float, float]:
    """The same where the server does not count its decode steps.

    While requests wait, fewer run only when a prefill is under way; so what runs while decoding is
    near the top of the samples.
    """
    running = [_of_all(sample.metrics, "sglang:num_running_reqs") or 0.0 for sample in samples]
    if waiting < WAITING:
        return fmean(running), waiting
    together = sorted(running)[int(TOP * (len(running) - 1))]
    return together, max(0.0, fmean(running) + waiting - together)


def _prefill_s(whole: Interval, step: float | None, inputs: float) -> float | None:
    """Seconds of prefill for a mean prompt: what its decode steps leave of the time.

    The requests that ended meanwhile do not count here: where they come in waves, the prefill of
    one wave and the ends of another are seen. None: it was not seen beside decode steps.
    """
    if step is None or not whole.steps or whole.prefilled < inputs:
        return None
    return max(0.0, whole.seconds - whole.steps * step) * inputs / whole.prefilled


def _short(whole: Interval, inputs: float) -> bool:
    """Whether a server that counts both had too few prompts or decode steps to tell their times."""
    counted = whole.steps > 0 or whole.prefilled > 0
    return counted and (not whole.steps or whole.prefilled < FEWEST_PROMPTS * inputs)


def _rate(samples: Sequence[Sample], outputs: float) -> float | None:
    """Requests a second, from the tokens that were generated meanwhile.

    Tokens are steadier than requests, of which few may end in a short time.
    """
    tokens = mean([_of_all(sample.metrics, "sglang:gen_throughput") for sample in samples])
    if len(samples) > 1:
        seconds = samples[-1].at - samples[0].at
        decoded = [
            sample.metrics.total(TOKENS, mode="decode") for sample in (samples[0], samples[-1])
        ]
        if decoded[0] is not None and decoded[1] is not None and seconds > 0:
            tokens = (decoded[1] - decoded[0]) / seconds
    return tokens / outputs if tokens and outputs else None


def _mix(counted: _Counted, inputs: float, outputs: float) -> tuple[Share, ...]:
    """Lengths of whole requests, from the histogram of prompt lengths and the mean answer."""
    prompts = counted.histogram("sglang:prompt_tokens_histogram")
    if prompts is None or not prompts.count:
        return mix_of([(inputs, outputs)])
    middles = list(_middles(prompts))
    centre = sum(length * weight for length, weight in middles) / sum(w for _, w in middles)
    scale = inputs / centre  # so that the mean is exactly the counted one
    return weighted_mix([(length * scale, outputs, weight) for length, weight in middles])


def _middles(histogram: Histogram) -> Iterator[tuple[float, float]]:
    """(middle, observations) of every bucket that has some; the last one at its lower end."""
    low, seen = 0.0, 0.0
    for bound, count in histogram.buckets:
        if count > seen:
            yield (low if math.isinf(bound) else (low + bound) / 2), count - seen
        low, seen = bound, count


def median(histogram: Histogram) -> float | None:
    """The median of the observations, within its bucket in proportion; None without any."""
    half, low, seen = histogram.count / 2, 0.0, 0.0
    for bound, count in histogram.buckets:
        if count >= half > 0:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (half - seen) / (count - seen)
        low, seen = bound, count
    return None


def _of_all(metrics: Metrics, name: str) -> float | None:
    """A gauge of all data-parallel servers together: of each the largest, which is its total."""
    largest: dict[str, float] = {}
    for rank in metrics.samples.get(name, ()):
        server = rank.labels.get("dp_rank", "")
        largest[server] = max(rank.value, largest.get(server, 0.0))
    return sum(largest.values()) if largest else None


def _mean(samples: Sequence[Sample], name: str) -> float | None:
    return mean([sample.metrics.largest(name) for sample in samples])


def _sliding_tokens(metrics: Metrics) -> int | None:
    """The size of the sliding pool: what is free, cached and used of it."""
    parts = [
        metrics.largest(f"sglang:swa_{part}_tokens") for part in ("available", "evictable", "used")
    ]
    known = [part for part in parts if part is not None]
    return int(sum(known)) or None if len(known) == len(parts) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
