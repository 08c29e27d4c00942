"""The figures that reports show: their names, units, and which way is better."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """A figure of :meth:`~gemma4ctl.bench.summary.Summary.figures`."""

    name: str
    title: str
    unit: str
    more_is_better: bool


FIGURES = (
    Figure("output_throughput", "Output", "tok/s", True),
    Figure("total_throughput", "Input and output", "tok/s", True),
    Figure("request_throughput", "Requests", "1/s", True),
    Figure("ttft_ms.mean", "TTFT, mean", "ms", False),
    Figure("ttft_ms.median", "TTFT, median", "ms", False),
    Figure("ttft_ms.p99", "TTFT, p99", "ms", False),
    Figure("tpot_ms.mean", "TPOT, mean", "ms", False),
    Figure("tpot_ms.p99", "TPOT, p99", "ms", False),
    Figure("itl_ms.median", "ITL, median", "ms", False),
    Figure("e2e_ms.mean", "Whole answer, mean", "ms", False),
)
BY_NAME = {figure.name: figure for figure in FIGURES}


def gain(figure: Figure, ours: float, base: float) -> float:
    """How many times as good ``ours`` is as ``base``: above 1 is better for rates and for times."""
    return ours / base if figure.more_is_better else base / ours


def number(value: float) -> str:
    """A figure with three digits at least: 9,876  242.0  3.99."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
