"""What the pages say of tune and of the clients of bench is what the records hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def record(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document


def page(name: str) -> str:
    """Its words, without line ends."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", ["docs/tune.md", "benchmarks/README.md"])
def test_what_tune_found(name: str) -> None:
    found = record("tune/E2B-32k-tpot-H200.json")
    result, text = found["result"], page(name)
    assert (found["exit_status"], found["suggest_uses_it"]) == (0, True)
    ((argument, value),) = result["settings"].items()
    assert f"`--{argument.replace('_', '-')} {value}`" in text
    for figure in ("plan_figure", "best_figure"):
        assert f"{result['verdict'][figure]:.2f}" in text
    assert f"{result['seconds']:.0f} s" in text
    assert len(result["trials"]) == 3 and not result["verdict"]["repeated"]


def test_the_clients_agree_one_at_a_time_and_not_at_a_hundred() -> None:
    found = record("bench/agreement-E2B-H200.json")
    outside = {name for name in found["outside"] if name.startswith("text-c1 ")}
    assert outside == {"text-c1 ttft_ms.mean"}
    assert round(1 - found["ratios"]["text-c100"]["output_throughput"], 2) == 0.18
    assert "built-in client reads 18% less throughput" in page("docs/bench.md")


@pytest.mark.parametrize(
    ("scenario", "figure", "form"),
    [
        ("text-c1", "tpot_ms.mean", ".2f"),
        ("text-c1", "output_throughput", ",.0f"),
        ("text-c100", "tpot_ms.mean", ".2f"),
        ("text-c100", "output_throughput", ",.0f"),
    ],
)
def test_every_run_of_both_clients_is_told(scenario: str, figure: str, form: str) -> None:
    runs = [r for r in record("bench/agreement-E2B-H200.json")["runs"] if r["scenario"] == scenario]
    told = [
        ", ".join(f"{r['figures'][figure]:{form}}" for r in runs if r["client"] == client)
        for client in ("builtin", "sglang")
    ]
    assert f"| {told[0]} | {told[1]} |" in page("docs/bench.md")


@pytest.mark.parametrize("client", ["builtin", "sglang"])
@pytest.mark.parametrize("at_once", [16, 100])
def test_counted_prefills_are_told(client: str, at_once: int) -> None:
    runs = [
        (run["prefills"], run["figures"]["output_throughput"])
        for run in record("bench/prefills-E2B-H100.json")["runs"]
        if (run["client"], run["concurrency"]) == (client, at_once)
    ]
    assert len(runs) == 2
    counts, rates = zip(*runs, strict=True)
    row = f"| {counts[0]}, {counts[1]} | {rates[0]:,.0f}, {rates[1]:,.0f} |"
    assert row in page("docs/bench.md")
