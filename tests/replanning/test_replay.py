"""The predicted gain against a replay: of simulated servers, and of a real one.

Predicted both from a log of the requests and from the server's metrics.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from statistics import correlation
from typing import Any

import pytest

from gemma4ctl.planning.request import Request
from gemma4ctl.replanning import live, requestlog
from gemma4ctl.replanning.observation import Observation
from gemma4ctl.replanning.proposal import propose
from gemma4ctl.replanning.requestlog import Logged
from tests.planning.hosts import node, table

from .recorded import CAPTURED, STAGGERED, rows, samples
from .simulated import Load, Served, Server, served

WATCHED_S = 60
RECORDS = Path(__file__).parents[2] / "benchmarks" / "results" / "replan"


def watched(run: Served) -> Observation:
    """What ``replan --url`` sees of it, from when a quarter of the requests is answered."""
    ends = sorted((r.arrival_s or 0.0) + (r.latency_s or 0.0) for r in run.log)
    begin = int(ends[len(ends) // 4])
    return live.observe(run.samples[begin : begin + WATCHED_S], "metrics")


@pytest.mark.parametrize(
    ("variant", "inputs", "outputs", "at_once", "times"),
    [  # seconds: prefill, fixed part of a step, each request's part of a step
        ("31B", 16_000, 512, 32, (2.0, 0.0246, 0.0006)),  # much prefill
        ("31B", 32_000, 512, 24, (4.5, 0.0246, 0.0012)),
        ("31B", 16_000, 2_048, 32, (2.0, 0.0246, 0.0006)),  # much decoding
        ("12B", 16_000, 512, 64, (0.8, 0.0090, 0.0004)),
        ("12B", 4_000, 1_500, 128, (0.24, 0.0096, 0.000126)),  # as measured
        ("26B-A4B", 30_000, 1_024, 64, (0.6, 0.0056, 0.0003)),
        ("12B on H100", 12_000, 1_500, 32, (0.6, 0.0119, 0.0003)),  # steps as measured there
        ("12B on H100", 2_000, 1_500, 128, (0.1, 0.0119, 0.00016)),
    ],
)
def test_predicted_and_replayed_gain_are_within_15_percent(
    variant: str, inputs: int, outputs: int, at_once: int, times: tuple[float, float, float]
) -> None:
    model, _, platform = variant.partition(" on ")
    request = Request(model=model, hardware=platform or "H200", tp=1)
    host = node(platform or "H200", 1)
    load = Load(inputs, outputs, at_once, 3 * at_once)
    sketch = requestlog.observe([Logged(inputs, outputs)], "lengths", in_flight=at_once)
    held = propose(sketch, request, host, table()).before.held
    assert held is not None and held.requests < at_once
    before = served(Server(*times, held.requests), load)
    for seen in (requestlog.observe(before.log, "log"), watched(before)):
        proposal = propose(seen, request, host, table())
        assert proposal.gain is not None and proposal.gain.ratio is not None
        assert proposal.after.held is not None
        after = served(Server(*times, proposal.after.held.requests), load)
        replayed = after.requests_s / before.requests_s
        assert proposal.gain.ratio == pytest.approx(replayed, rel=0.15), seen


def predicted(seen: Observation) -> float:
    """The gain of 12B on an H200."""
    request = Request(model="12B", hardware="H200", tp=1)
    gain = propose(seen, request, node("H200", 1), table()).gain
    assert gain is not None and gain.ratio is not None
    return gain.ratio


def logged(name: str) -> Observation:
    return requestlog.observe(requestlog.read(CAPTURED / f"{name}.jsonl"), "log")


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("watched_from", [None, 18, 48, 55, 65, 75, 85])
def test_a_real_replay_whose_requests_come_in_waves(watched_from: int | None) -> None:
    """By its log, or by 30 seconds of its metrics; replayed: whole waves against whole waves."""
    replayed = recorded("12B-H200")["replayed_wave_gain"]
    seen = logged("12B-H200")
    if watched_from is not None:
        seen = live.observe(samples(watched_from, watched_from + 30), "metrics")
    assert predicted(seen) == pytest.approx(replayed, rel=0.15)


REPLAY = recorded("12B-H200-staggered")


def watched_staggered(second: int) -> float:
    """What 30 seconds of the metrics predict."""
    return predicted(live.observe(samples(second, second + 30, STAGGERED), "metrics"))


def test_a_real_replay_by_its_log() -> None:
    gain = predicted(logged("12B-H200-staggered"))
    assert gain == pytest.approx(REPLAY["predicted_gain"]["log"], abs=1e-4)  # as before the replay
    assert gain == pytest.approx(REPLAY["replayed_gain"], rel=0.15)


@pytest.mark.parametrize("watched_from", range(10, 121, 10))
def test_a_real_replay_by_its_metrics(watched_from: int) -> None:
    """Of any 30 seconds while requests wait, but the first, whose answers are the cut ones."""
    gain = watched_staggered(watched_from)
    assert gain == pytest.approx(REPLAY["replayed_gain"], rel=0.15)
    assert 1.03 <= gain < 1.115
    assert watched_from < 60 or gain >= 1.10


def test_what_was_predicted_before_the_replay_is_predicted_now() -> None:
    """``replan --url`` watched from the beginning of the steady part, with samples of its own."""
    begin = round(REPLAY["steady_part_s"]["published"][0])
    near = [watched_staggered(begin + offset) for offset in range(8)]
    assert min(near) <= REPLAY["predicted_gain"]["live"] <= max(near)
    assert max(near) - min(near) < 0.003


def test_the_first_seconds_tell_of_cut_answers() -> None:
    assert watched_staggered(1) == pytest.approx(1.0, abs=0.001)


def steady_output(run: str, begin: float, seconds: float) -> float:
    """Tokens a second that the server of a run decoded."""
    found = rows(f"12B-H200-staggered-{run}")
    last, first = (_decoded(found, at) for at in (begin + seconds, begin))
    return (last - first) / seconds


def _decoded(found: list[dict[str, float]], at: float) -> float:
    before, after = next(pair for pair in pairwise(found) if pair[1]["second"] > at)
    share = (at - before["second"]) / (after["second"] - before["second"])
    return before["decoded"] + share * (after["decoded"] - before["decoded"])


@pytest.mark.parametrize(("run", "spread"), [("published", (0.35, 0.5)), ("replanned", (0, 0.02))])
def test_only_the_published_server_still_worked_in_waves(
    run: str, spread: tuple[float, float]
) -> None:
    """The quarters of its steady part differ."""
    begin, end = REPLAY["steady_part_s"][run]
    quarter = (end - begin) / 4
    parts = [steady_output(run, begin + quarter * each, quarter) for each in range(4)]
    assert spread[0] <= max(parts) / min(parts) - 1 <= spread[1]


def test_the_gain_over_a_whole_wave() -> None:
    """Its throughput repeats after so many seconds; any that many are a whole wave."""
    waves, seconds = REPLAY["waves"], REPLAY["waves"]["seconds"]
    course = [steady_output("published", at, 2) for at in range(40, 144)]
    alike = {lag: correlation(course[:-lag], course[lag:]) for lag in range(30, 61)}
    assert max(alike, key=lambda lag: alike[lag]) == pytest.approx(seconds, abs=1)
    begin, end = REPLAY["steady_part_s"]["published"]
    starts = [begin + offset for offset in range(int(end - begin - seconds) + 1)]
    rates = [steady_output("published", at, seconds) for at in starts]
    assert waves["published_output_tok_s"] == pytest.approx([min(rates), max(rates)], abs=0.1)
    begin, end = REPLAY["steady_part_s"]["replanned"]
    rate = steady_output("replanned", begin, end - begin)
    assert waves["replanned_output_tok_s"] == pytest.approx(rate, abs=0.1)
    assert waves["gain"] == pytest.approx([rate / max(rates), rate / min(rates)], abs=0.001)
    for source in ("log", "live"):
        gain = REPLAY["predicted_gain"][source]
        assert all(gain == pytest.approx(each, rel=0.15) for each in waves["gain"])
