"""The figures that a search can improve, and how two values of one compare."""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.bench.summary import Summary


class Metric(NamedTuple):
    """A figure of a measurement; ``higher`` says whether a larger value is better."""

    name: str
    title: str
    unit: str
    higher: bool

    def of(self, summary: Summary) -> float:
        """The value in ``summary``."""
        values = {
            "output-throughput": summary.output_throughput,
            "tpot": summary.tpot_ms.mean,
            "ttft": summary.ttft_ms.mean,
        }
        return values[self.name]

    def gain(self, value: float, over: float) -> float:
        """How much better ``value`` is than ``over``, as a share of it: 0.1 is 10% better."""
        change = value / over - 1
        return change if self.higher else -change

    def best(self, values: list[float]) -> float:
        """The best of ``values``."""
        return max(values) if self.higher else min(values)

    def worst(self, values: list[float]) -> float:
        """The worst of ``values``."""
        return min(values) if self.higher else max(values)

    def show(self, value: float) -> str:
        """``value`` with its unit."""
        return f"{value:,.0f} {self.unit}" if value >= 1000 else f"{value:.4g} {self.unit}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("output-throughput", "output throughput", "tok/s", higher=True),
        Metric("tpot", "mean time per output token", "ms", higher=False),
        Metric("ttft", "mean time to first token", "ms", higher=False),
    )
}
