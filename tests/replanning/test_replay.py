"""The predicted gain against a replay: of simulated servers, and of a real one.

Predicted both from a log of the requests and from the server's metrics.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemma4ctl.planning.request import Request
from gemma4ctl.replanning import live, requestlog
from gemma4ctl.replanning.observation import Observation
from gemma4ctl.replanning.proposal import propose
from gemma4ctl.replanning.requestlog import Logged
from tests.planning.hosts import node, table

from .recorded import CAPTURED, samples
from .simulated import Load, Served, Server, served

WATCHED_S = 60
RECORD = Path(__file__).parents[2] / "benchmarks" / "results" / "replan" / "12B-H200.json"


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


def really_seen(watched_from: int | None) -> Observation:
    """The log of a real server, or 30 seconds of its metrics."""
    if watched_from is None:
        return requestlog.observe(requestlog.read(CAPTURED / "12B-H200.jsonl"), "log")
    return live.observe(samples(watched_from, watched_from + 30), "metrics")


@pytest.mark.parametrize("watched_from", [None, 18, 48, 55, 65, 75, 85])
def test_predicted_and_really_replayed_gain_are_within_15_percent(
    watched_from: int | None,
) -> None:
    """12B on an H200; replayed: whole waves of requests against whole waves."""
    replayed = json.loads(RECORD.read_text(encoding="utf-8"))["replayed_wave_gain"]
    request = Request(model="12B", hardware="H200", tp=1)
    gain = propose(really_seen(watched_from), request, node("H200", 1), table()).gain
    assert gain is not None and gain.ratio is not None
    assert gain.ratio == pytest.approx(replayed, rel=0.15)
