"""Results for people: a column a scenario, with how far repeated runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma4ctl.bench.document import BenchResult, Scenario

if TYPE_CHECKING:
    from rich.console import Group

# Heading -> figure, as Summary.figures names it, and decimals.
FIGURES = {
    "requests/s": ("request_throughput", 2),
    "output tok/s": ("output_throughput", 1),
    "peak output tok/s": ("peak_output_throughput", 0),
    "total tok/s": ("total_throughput", 1),
    "TTFT mean": ("ttft_ms.mean", 1),
    "TTFT median": ("ttft_ms.median", 1),
    "TTFT p99": ("ttft_ms.p99", 1),
    "TPOT mean": ("tpot_ms.mean", 2),
    "TPOT p99": ("tpot_ms.p99", 2),
    "ITL median": ("itl_ms.median", 2),
    "ITL p99": ("itl_ms.p99", 2),
}


def table(result: BenchResult) -> Group:
    """Means of the whole runs of each scenario. Times are in milliseconds."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold")
    shown.add_column("")
    for scenario in result.scenarios:
        shown.add_column(scenario.workload.name, justify="right")
    shown.add_row("runs", *(_runs(scenario) for scenario in result.scenarios))
    shown.add_row("failed requests", *(_failed(scenario) for scenario in result.scenarios))
    for heading, figure in FIGURES.items():
        shown.add_row(heading, *(cell(scenario, *figure) for scenario in result.scenarios))
    return Group(Text(title(result), style="bold"), shown)


def title(result: BenchResult) -> str:
    """What was measured, on one line."""
    served, hardware = result.served, result.hardware
    words = [served.variant or served.model]
    words += [f"on {hardware.gpu_count} x {hardware.platform}"] if hardware else []
    words += [f"with SGLang {served.release}"] if served.release else []
    return f"{' '.join(words)}, times in ms"


def cell(scenario: Scenario, figure: str, decimals: int) -> str:
    """A figure's mean, with its variation in percent when runs were repeated."""
    found = scenario.spread.get(figure)
    if found is None:
        return "-"
    variation = f" ±{100 * found.cv:.1f}%" if len(scenario.whole) > 1 else ""
    return f"{found.mean:,.{decimals}f}{variation}"


def _runs(scenario: Scenario) -> str:
    stopped = len(scenario.runs) - len(scenario.whole)
    return f"{len(scenario.whole)}" + (f" + {stopped} stopped" if stopped else "")


def _failed(scenario: Scenario) -> str:
    return f"{sum(run.summary.failures for run in scenario.runs):,}"
