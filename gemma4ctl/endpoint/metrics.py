"""A server's Prometheus metrics; SGLang has them with ``--enable-metrics``, named ``sglang:*``.

A value may come once for each rank or model, told apart by labels; functions here say how they
put such values together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.extras import require


class Sample(NamedTuple):
    """One line: labels and value."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Histogram:
    """Counts of observations, all label sets together.

    ``buckets`` are (upper bound, observations up to it) in rising order, the last with infinity.
    """

    buckets: tuple[tuple[float, float], ...]
    total: float
    count: float

    @property
    def mean(self) -> float | None:
        """The mean of all observations; None without any."""
        return self.total / self.count if self.count else None

    def minus(self, earlier: Histogram) -> Histogram:
        """What was observed since ``earlier`` of the same server."""
        before = dict(earlier.buckets)
        return Histogram(
            tuple((bound, count - before.get(bound, 0.0)) for bound, count in self.buckets),
            self.total - earlier.total,
            self.count - earlier.count,
        )


@dataclass(frozen=True)
class Metrics:
    """All samples by name: ``sglang:num_running_reqs``, ``sglang:prompt_tokens_total``."""

    samples: Mapping[str, tuple[Sample, ...]]

    def total(self, name: str, **labels: str) -> float | None:
        """The sum over all label sets that hold ``labels``: for counters; None: no such metric."""
        values = self._values(name, labels)
        return sum(values) if values else None

    def largest(self, name: str, **labels: str) -> float | None:
        """The largest over all label sets that hold ``labels``: for gauges of usage."""
        return max(self._values(name, labels), default=None)

    def mean(self, name: str, **labels: str) -> float | None:
        """The mean over all label sets that hold ``labels``: for gauges of rates."""
        values = self._values(name, labels)
        return sum(values) / len(values) if values else None

    def histogram(self, name: str, **labels: str) -> Histogram | None:
        """The histogram ``name``, without ``_bucket``, over label sets that hold ``labels``."""
        counts: dict[float, float] = {}
        for sample in self.samples.get(f"{name}_bucket", ()):
            if labels.items() <= sample.labels.items():
                bound = float(sample.labels.get("le", "+Inf"))
                counts[bound] = counts.get(bound, 0.0) + sample.value
        if not counts:
            return None
        total = self.total(f"{name}_sum", **labels) or 0.0
        return Histogram(tuple(sorted(counts.items())), total, counts.get(math.inf, 0.0))

    def _values(self, name: str, labels: Mapping[str, str]) -> list[float]:
        return [s.value for s in self.samples.get(name, ()) if labels.items() <= s.labels.items()]


class MetricsError(Gemma4ctlError):
    """The server has no metrics, or none that can be read."""


def parse(text: str) -> Metrics:
    """The metrics of a text in Prometheus' exposition format.

    Raises:
        MetricsError: it is not in that format.
        UsageError: ``prometheus_client`` is not installed.
    """
    parser = require("prometheus_client.parser", "client", "reading metrics")
    samples: dict[str, list[Sample]] = {}
    try:
        for family in parser.text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append(Sample(sample.labels, sample.value))
    except (ValueError, KeyError, IndexError) as error:
        raise MetricsError(
            "the metrics are not in Prometheus' format", found=str(error), code="metrics-format"
        ) from error
    return Metrics({name: tuple(values) for name, values in samples.items()})


def read_metrics(endpoint: Endpoint, timeout_s: float = 10.0) -> Metrics:
    """The metrics of the server at ``endpoint``.

    Raises:
        MetricsError: it has none, or they cannot be read.
        UsageError: ``prometheus_client`` is not installed.
    """
    answer = http.get(endpoint, "/metrics", timeout_s)
    if answer.problem:
        raise MetricsError(
            f"{endpoint.url}/metrics cannot be read",
            found=answer.problem,
            remedies=["start SGLang with --enable-metrics"],
            code="no-metrics",
        )
    return parse(answer.body.decode("utf-8", errors="replace"))
