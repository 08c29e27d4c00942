"""Figures, against values worked out by hand from the definitions."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.bench.record import Failure, Record
from gemma4ctl.bench.summary import (
    Distribution,
    distribution,
    percentile,
    spread,
    spreads,
    summarize,
)

CAPTURED = Path(__file__).parent / "captured" / "bench_serving_metrics.json"


def record(started: float, times: list[float], tokens: list[int], ended: float) -> Record:
    return Record(
        index=0,
        started=started,
        ended=ended,
        times=array("d", times),
        tokens=array("l", tokens),
        prompt_tokens=10,
        completion_tokens=sum(tokens),
    )


def test_one_request() -> None:
    # Sent at 1.0; tokens: 1 at 1.5, 2 at 1.7 (so 0.1 s each), 1 at 2.1; the end mark at 2.2.
    only = record(1.0, [1.5, 1.7, 2.1], [1, 2, 1], 2.2)
    assert (only.ttft, only.latency) == (pytest.approx(0.5), pytest.approx(1.2))
    assert only.gaps() == pytest.approx([0.1, 0.1, 0.4])
    assert only.tpot == pytest.approx((1.2 - 0.5) / 3)

    found = summarize([only], 2.2)
    assert (found.completed, found.failed, found.failures) == (1, {}, 0)
    assert found.request_throughput == pytest.approx(1 / 2.2)
    assert found.input_throughput == pytest.approx(10 / 2.2)
    assert found.output_throughput == pytest.approx(4 / 2.2)
    assert found.total_throughput == pytest.approx(14 / 2.2)
    assert found.concurrency == pytest.approx(1.2 / 2.2)
    assert found.itl_ms.mean == pytest.approx(200)
    assert found.itl_ms.median == pytest.approx(100)
    assert found.itl_ms.max == pytest.approx(400)
    assert found.e2e_ms.p99 == pytest.approx(1200)
    # Seconds of the run count from its first request: tokens at 0.5, 0.6 and 0.7, then at 1.1.
    assert (found.peak_output_throughput, found.peak_concurrency) == (3.0, 1)


def test_peaks_add_up_over_requests() -> None:
    records = [record(0.0, [0.1, 0.9], [1, 1], 0.95), record(0.5, [0.6, 1.5], [1, 3], 1.6)]
    found = summarize(records, 1.6)
    # First second: 0.1, 0.9, 0.6 and 0.9 (the three of 1.5 are spread from 0.6); then 1.2 and 1.5.
    assert (found.peak_output_throughput, found.peak_concurrency) == (4.0, 2)


def test_failures_count_nowhere_but_among_failures() -> None:
    good = record(0.0, [0.1], [1], 0.2)
    bad = record(0.0, [0.1, 5.0], [1, 1], 9.0)
    bad.failure = Failure("truncated", "...")
    unsent = Record(index=2, failure=Failure("http-503", "busy"))
    found = summarize([good, bad, unsent], 1.0)
    alone = summarize([good], 1.0)
    assert found.failed == {"truncated": 1, "http-503": 1}
    assert found.failures == 2
    assert found.model_copy(update={"failed": {}}) == alone


def test_one_token_has_no_time_per_token() -> None:
    found = summarize([record(0.0, [0.1], [1], 0.2)], 0.2)
    assert found.tpot_ms == found.itl_ms == Distribution(p90=0.0, p99=0.0, max=0.0, std=0.0)
    assert found.ttft_ms.mean == pytest.approx(100)


def test_nothing_was_answered() -> None:
    found = summarize([], 0.0)
    assert (found.completed, found.output_throughput, found.peak_concurrency) == (0, 0.0, 0)


def test_what_servers_tell_about_caches_and_drafts() -> None:
    first, second = (record(0.0, [0.1], [1], 0.2) for _ in range(2))
    assert summarize([first, second], 1.0).cached_tokens is None
    first.cached_tokens, second.cached_tokens = 3, 4
    first.accept_length, second.accept_length = 2.0, 3.0
    found = summarize([first, second], 1.0)
    assert (found.cached_tokens, found.accept_length) == (7, 2.5)


def test_distribution() -> None:
    # Captured from numpy 2.4.6: mean, median, percentile 90 and 99, max and std of these values.
    found = distribution([0.001, 0.004, 0.002, 0.010, 0.003])
    assert found == Distribution(
        mean=pytest.approx(4.0),
        median=pytest.approx(3.0),
        p90=pytest.approx(7.6),
        p99=pytest.approx(9.76),
        max=pytest.approx(10.0),
        std=pytest.approx(3.1622776601683795),
    )
    assert percentile([5.0], 99) == 5.0


def test_spread() -> None:
    found = spread([1.0, 2.0, 3.0])
    assert (found.mean, found.min, found.max, found.stdev, found.cv) == (2.0, 1.0, 3.0, 1.0, 0.5)
    assert (spread([7.0]).stdev, spread([7.0]).cv) == (0.0, 0.0)
    assert spread([0.0, 0.0]).cv == 0.0


def test_spreads_have_every_figure_that_all_runs_have() -> None:
    one = summarize([record(0.0, [0.1, 0.2], [1, 1], 0.2)], 1.0)
    two = one.model_copy(update={"seconds": 3.0, "accept_length": 2.0})
    found = spreads([one, two])
    assert found["seconds"].mean == 2.0
    assert {"output_throughput", "tpot_ms.mean", "itl_ms.p99"} <= set(found)
    assert "accept_length" not in found
    assert "failed" not in found
    assert spreads([]) == {}


def test_the_definitions_are_those_of_bench_serving() -> None:
    """Against SGLang's own calculation: requests constructed, figures captured."""
    case = json.loads(CAPTURED.read_text())
    expected = case["metrics"]
    found = summarize([of_case(request) for request in case["requests"]], case["seconds"])
    assert found.completed == expected["completed"]
    assert found.failures == len(case["requests"]) - expected["completed"]
    assert found.input_tokens == expected["total_input"]
    assert found.output_tokens == expected["total_output"]
    assert found.peak_output_throughput == expected["max_output_tokens_per_s"]
    assert found.peak_concurrency == expected["max_concurrent_requests"]
    assert found.concurrency == pytest.approx(expected["concurrency"])
    for rate in ("request", "input", "output", "total"):
        name = f"{rate}_throughput"
        assert found.figures()[name] == pytest.approx(expected[name])
    for ours, theirs in {
        "ttft": "ttft",
        "tpot": "tpot",
        "itl": "itl",
        "e2e": "e2e_latency",
    }.items():
        for part in ("mean", "median", "p90", "p99", "std"):
            figure = found.figures()[f"{ours}_ms.{part}"]
            assert figure == pytest.approx(expected[f"{part}_{theirs}_ms"]), (ours, part)
    assert found.itl_ms.max == pytest.approx(expected["max_itl_ms"])


def of_case(request: dict[str, Any]) -> Record:
    times, tokens = zip(*request["chunks"], strict=True)
    made = record(request["started"], list(times), list(tokens), request["ended"])
    made.prompt_tokens = request["prompt_tokens"]
    made.failure = Failure("http-500", "") if request["failed"] else None
    return made
