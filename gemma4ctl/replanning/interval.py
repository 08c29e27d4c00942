"""What a server did between two samples of its metrics, by the counters that each batch raises.

Gauges are of the last report: of a prefill batch, or of every 40th decode step. Requests that have
ended count as running until the next decode step, so while prefill batches follow each other the
gauge of running requests tells of both those before and those to come. Tokens and decode steps are
counted as they happen, by SGLang 0.5.11 and later.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import NamedTuple

from gemma4ctl.endpoint.metrics import Metrics
from gemma4ctl.endpoint.metrics import Sample as Value

TOKENS = "sglang:realtime_tokens_total"
PASSES = "sglang:cuda_graph_passes_total"
REPORTED = "sglang:gen_throughput"  # set by reports of decode steps and of idleness
ACCEPTED = "sglang:spec_accept_length"
PREFILL = ("prefill_compute", "prefill_cache")


class Sample(NamedTuple):
    """The metrics at a time, in seconds of any clock."""

    at: float
    metrics: Metrics


class Interval(NamedTuple):
    """What happened in ``seconds``; zeros where the server does not count it.

    ``steps`` are the tokens that a running request got: decode steps, each with the drafts that
    it accepts. ``decoded`` and ``prefilled`` are tokens of all requests. ``reported``: its end's
    gauges may be of a decode step.
    """

    seconds: float
    steps: float
    decoded: float
    prefilled: float
    reported: bool

    @property
    def running(self) -> float | None:
        """Requests that decoded together, the mean of all steps; None without any."""
        return self.decoded / self.steps if self.steps > 0 else None

    @property
    def settled(self) -> bool:
        """Whether the gauges at its end are of a decode step: none of a prefill came."""
        return self.reported and not self.prefilled


def between(before: Sample, after: Sample) -> Interval:
    """What happened between two samples of one server."""
    first, last = before.metrics, after.metrics
    ranks = [_rank(v) for v in last.samples.get(TOKENS, ()) if v.labels.get("mode") == "decode"]
    accepted = max(1.0, last.mean(ACCEPTED) or 0.0)
    return Interval(
        seconds=after.at - before.at,
        steps=(_steps(last, ranks) - _steps(first, ranks)) * accepted,
        decoded=_tokens(last, "decode") - _tokens(first, "decode"),
        prefilled=_tokens(last, *PREFILL) - _tokens(first, *PREFILL),
        reported=last.largest(REPORTED) != first.largest(REPORTED),
    )


def step_s(intervals: list[Interval]) -> float | None:
    """Seconds between two tokens of a request while nothing is prefilled; None: never seen.

    A prefill is counted when it ends, so the next interval tells whether one had begun.
    """
    times = [
        interval.seconds / interval.steps
        for interval, after in pairwise(intervals)
        if interval.steps > 0 and not interval.prefilled and not after.prefilled
    ]
    return median(times) if times else None


def _tokens(metrics: Metrics, *modes: str) -> float:
    return sum(metrics.total(TOKENS, mode=mode) or 0.0 for mode in modes)


def _steps(metrics: Metrics, ranks: list[dict[str, str]]) -> float:
    """Decode steps, the mean of ``ranks``, which count tokens: others of them repeat the steps."""
    counts = [
        value.value
        for value in metrics.samples.get(PASSES, ())
        if value.labels.get("mode", "").startswith("decode") and _rank(value) in ranks
    ]
    return sum(counts) / len(ranks) if ranks else 0.0


def _rank(value: Value) -> dict[str, str]:
    return {name: text for name, text in value.labels.items() if name != "mode"}
