"""What docs/kernels.md says was measured is what the records hold."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import geometric_mean
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


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        ("p64", "E4B {E4B:.2f}, 26B-A4B {26B-A4B:.2f}, 12B {12B:.2f} and 31B {31B:.2f} times"),
        (
            "padded",
            "come {E2B:.2f} (E2B), {E4B:.2f} (E4B), {26B-A4B:.2f} (26B-A4B), {12B:.2f} (12B) and "
            "{31B:.2f} times (31B)",
        ),
        (
            "c1",
            "E2B {E2B:.2f}, E4B {E4B:.2f} and 26B-A4B {26B-A4B:.2f} with [CUDA graphs]"
            "(#prefill-from-cuda-graphs), 12B {12B:.2f} and 31B {31B:.2f} without",
        ),
        (
            "c100",
            "100 requests at once {E2B:.2f}, {E4B:.2f}, {26B-A4B:.2f}, {12B:.2f} and {31B:.2f}",
        ),
    ],
)
def test_time_to_the_first_token_of_all(measure: str, text: str) -> None:
    found = measured(f"ttft-{measure}")
    assert all(len(row["pairs"]) == 3 for row in found)
    assert text.format(**{row["variant"]: row["ratio"] for row in found}) in PLAIN


def test_tuned_stock() -> None:
    tuned = {row["variant"]: row["tuned_stock"] for row in measured("tpot-c1")}
    for variant, kinds in tuned.items():
        for row in kinds.values():
            assert f"{row['ratio']:.2f} ({variant})" in PLAIN or (
                f"{row['ratio']:.2f} times ({variant})" in PLAIN
            )
            assert len(row["pairs"]) == 3


def test_certification() -> None:
    found = record("certify-E2B-H200.json")
    stock, fused = (1e3 * found["receipt"][f"{kind}_seconds"] for kind in ("stock", "fused"))
    assert f"{found['seconds']:.0f} s: {stock:.2f} ms a token" in PAGE
    assert f"with stock and {fused:.2f} with fused" in PAGE
    assert found["exit_status"] == 0
    assert (found["plan_before"], found["plan_after"]["kernels"]) == ({"kernels": "stock"}, "fused")
    assert not any(one["problems"] for one in found["receipt"]["comparisons"].values())


def test_attention_of_crowds() -> None:
    """The geometric means over all layers of a kind."""
    rows = record("decode-H200.json")["rows"]
    ratios = {}
    for kind, name in (("sliding", "4096 4 1 4 128"), ("full", "8192 4 5 2 256")):
        found = [row for key, row in rows.items() if f" {kind} " in key]
        ratios[kind] = geometric_mean(row["stock_us"] / row["tried"][name] for row in found)
    times = f"{ratios['sliding']:.2f} (sliding layers) and {ratios['full']:.2f} times (full ones)"
    assert f"attention is {times} as fast as SGLang's" in PLAIN


def test_a_step_of_100_requests() -> None:
    for variant in ("26B-A4B", "E4B", "E2B", "12B"):
        ours, stock = (
            {kernel["name"]: kernel["us"] / 1e3 for kernel in one["kernels"]}
            for contender in ("fused", "stock")
            for one in record(f"profile-{variant}-H200.json")["profiles"]
            if (one["contender"], one["batch"]) == (contender, 100)
        )
        theirs = (stock["_fwd_grouped_kernel_stage1"], stock["_fwd_kernel_stage2"])
        beside = f"beside {theirs[0]:.2f} and {theirs[1]:.2f}"
        assert f"{ours['split_attention']:.2f} ms {beside}" in PLAIN or (
            f"{ours['split_attention']:.2f}, {beside}" in PLAIN
            or f"{ours['split_attention']:.2f} {beside}" in PLAIN
        )


def test_answers_with_prefill_from_graphs() -> None:
    cases = record("prefill-graphs-answers-H200.json")["cases"]
    (case,) = [case for case in cases if case["case"] == "E2B"]
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
    """Three pairs where the page says so, and what it says of fewer."""
    times = {
        row["variant"]: sorted(pair["fused"] / pair["stock"] for pair in row["pairs"])
        for row in measured("start-up")
    }
    assert [len(times[name]) for name in ("E2B", "E4B", "26B-A4B", "31B", "12B")] == [3, 3, 3, 2, 1]
    for name in ("E2B", "E4B", "26B-A4B"):
        assert f"{times[name][0]:.2f} to {times[name][-1]:.2f} ({name})" in PLAIN
    first, second = times["31B"]
    assert f"31B took {first:.2f} and {second:.2f} in two pairs in turn" in PLAIN
    assert f"12B {times['12B'][0]:.2f} in one beside other work" in PLAIN


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
        assert found["load"]["roomy_stock_and_ours"]["same"] == 1  # "all those"
        runs = found["load"]["runs"]
        assert {run["retracted_requests"] for run in runs["stock"]} == {33}
        assert {run["retracted_requests"] for run in runs["shared-kv"]} == {0}


def test_answers() -> None:
    for case in record("prefill-graphs-answers-H200.json")["cases"]:
        (server,) = case["servers"]
        pairs = [
            f"{one['fused']['mean']:.3f} ({one['noise']['mean']:.3f})"
            for one in server["comparisons"].values()
        ]
        assert f"| {case['variant']} | {' | '.join(pairs)} |" in PLAIN


def test_the_readme_and_the_changelog() -> None:
    """The ratios of one request and of 100, in the order of their sentences."""
    order = ("E2B", "E4B", "26B-A4B", "12B", "31B")
    one, many = (
        {row["variant"]: f"{row['ratio']:.2f}" for row in measured(metric)}
        for metric in ("tpot-c1", "output-throughput-c100")
    )
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    *first, last = (f"{one[name]} ({name})" for name in order[:-1])
    assert f"{', '.join((*first, last))} and {one['31B']} times (31B) as fast" in readme
    *first, last = (many[name] for name in order)
    assert f"100 at once {', '.join(first)} and {last} times" in readme
    changes = " ".join((ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split())
    ours = ", ".join(f"{one[name]} with {name}" for name in order[1:-1])
    assert f"{one['E2B']} times as fast with E2B, {ours} and {one['31B']} with 31B" in changes
    assert f"100 at once {many['E2B']} to {many['31B']} times" in changes
