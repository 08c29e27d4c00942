"""The table of results."""

from __future__ import annotations

import io

from rich.console import Console

from gemma4ctl.bench import text
from gemma4ctl.bench.document import BenchResult, Hardware
from tests.bench.results import result, scenario


def shown(found: BenchResult) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(text.table(found))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in written.splitlines()]


def test_one_run() -> None:
    lines = shown(result(scenario(2.0), hardware=Hardware(platform="H200", gpu_count=2, source="")))
    assert lines[:4] == [
        "E2B on 2 x H200 with SGLang 0.5.16, times in ms",
        "text-c1",
        "runs 1",
        "failed requests 0",
    ]
    assert "output tok/s 3.0" in lines
    assert "TTFT mean 500.0" in lines
    assert "TPOT mean 750.00" in lines


def test_repeated_runs_show_how_they_differ() -> None:
    lines = shown(result(scenario(1.0, 1.0), scenario(1.0, 2.0, name="text-c100")))
    assert "runs 2 2" in lines
    assert "output tok/s 6.0 ±0.0% 4.5 ±47.1%" in lines


def test_a_stopped_run_has_no_figures() -> None:
    (run,) = scenario(2.0).runs
    stopped = run.model_copy(update={"interrupted": True})
    lines = shown(result(scenario(runs=(stopped,))))
    assert "runs 0 + 1 stopped" in lines
    assert "output tok/s -" in lines
