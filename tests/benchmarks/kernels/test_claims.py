"""What docs/kernels.md says of prefill from CUDA graphs is what the records hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results" / "kernels"
PAGE = " ".join((ROOT / "docs" / "kernels.md").read_text(encoding="utf-8").split())


def record(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("tokens", [64, 610, 2048])
def test_time_to_the_first_token(tokens: int) -> None:
    found = record(f"E2B-H200-ttft-p{tokens}.json")
    eager = found["other_fused"]["fused-eager"]["fused-eager"]
    times = " | ".join(f"{value:.1f}" for value in (found["stock"], eager, found["fused"]))
    assert f"| {tokens:,} | {times} | **{found['ratio']:.2f}** |" in PAGE
    assert len(found["pairs"]) == 3


def test_answers_with_prefill_from_graphs() -> None:
    (case,) = record("prefill-graphs-answers-H200.json")["cases"]
    (server,) = case["servers"]
    counts = server["prefills"]
    assert f"{counts['from_graphs']} batches of prefill from graphs and {counts['others']}" in PAGE
    ranges = []
    for kind in ("fused", "noise"):
        means = [one[kind]["mean"] for one in server["comparisons"].values()]
        ranges.append(f"{min(means):.3f} to {max(means):.3f}")
    assert f"{ranges[0]} nats where stock's own are {ranges[1]}" in PAGE
