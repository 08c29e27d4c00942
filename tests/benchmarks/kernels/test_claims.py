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


PLAIN = PAGE.replace("**", "")


def measured(metric: str) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"*-H200-{metric}.json"))]
    assert found
    return found


def test_speed() -> None:
    """The figures of the table, in its rows."""
    for metric, digits in (("tpot-c1", ".2f"), ("output-throughput-c100", ",.0f")):
        for row in measured(metric):
            figures = f"{row['stock']:{digits}} | {row['fused']:{digits}} | {row['ratio']:.2f}"
            assert f" | {figures} | {len(row['pairs'])} |" in PLAIN, (metric, row["variant"])


def test_start_up() -> None:
    """Of few pairs: the page says so."""
    pairs = [pair for row in measured("start-up") for pair in row["pairs"]]
    assert max(len(row["pairs"]) for row in measured("start-up")) == 2
    times = [pair["fused"] / pair["stock"] for pair in pairs]
    assert f"{min(times):.2f} to {max(times):.2f} times stock's, `*-H200-start-up.json`" in PLAIN


def test_bound() -> None:
    for row in record("roofline-H200.json")["rows"]:
        times = row["times_bound"]
        kinds = ("stock", "stock-splits-16", "stock-compile", "fused")
        found = " | ".join(f"{times[kind]:.2f}x" if kind in times else "" for kind in kinds)
        about = f"{row['bytes_at_least'] / 1e9:.2f} | {row['bound_ms']:.2f}"
        assert " ".join(f"| {row['variant']} | {about} | {found} |".split()) in PLAIN


def test_kv_pools() -> None:
    for variant in ("E2B", "E4B"):
        found = record(f"capacity-{variant}-H200-shared-kv.json")
        ours, stock = found["fused"], found["stock"]
        tokens = f"{ours:,} tokens instead of {stock:,} ({found['ratio']:.2f} times)"
        assert f"{variant} holds {tokens}" in PLAIN
        assert f"{found['load']['stock_and_ours']['same']:.0%} ({variant})" in PLAIN
        runs = found["load"]["runs"]
        assert {run["retracted_requests"] for run in runs["stock"]} == {33}
        assert {run["retracted_requests"] for run in runs["shared-kv"]} == {0}


def test_answers() -> None:
    documents = ("prefill-graphs-answers-H200", "prefill-graphs-answers-others-H200")
    cases = [case for name in documents for case in record(f"{name}.json")["cases"]]
    for case in cases:
        (server,) = case["servers"]
        pairs = [
            f"{one['fused']['mean']:.3f} ({one['noise']['mean']:.3f})"
            for one in server["comparisons"].values()
        ]
        assert f"| {case['variant']} | {' | '.join(pairs)} |" in PLAIN
