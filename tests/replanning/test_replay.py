"""The predicted gain against a replay, with a server that is simulated step by step.

The simulated server prefills one request at a time, in which nobody decodes, and decodes all
running requests in one step, whose time grows with their number. It admits as many requests as the
KV pools of a plan hold. It knows nothing of the model that predicts.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import NamedTuple

import pytest

from gemma4ctl.planning.request import Request
from gemma4ctl.replanning.proposal import propose
from gemma4ctl.replanning.requestlog import Logged, observe
from tests.planning.hosts import node, table


class Server(NamedTuple):
    """Seconds of a request's prefill, and of a decode step: ``fixed`` and for each request."""

    prefill_s: float
    fixed_s: float
    each_s: float
    most: int  # requests that run at once


def served(server: Server, inputs: int, outputs: int, at_once: int, count: int) -> list[Logged]:
    """The log of ``count`` requests of which ``at_once`` are open at any time."""
    now, sent = 0.0, 0
    waiting: list[float] = []  # arrivals
    running: list[tuple[float, list[float]]] = []  # arrival, times of tokens
    log: list[Logged] = []
    while len(log) < count:
        while sent < count and len(waiting) + len(running) < at_once:
            waiting.append(now)
            sent += 1
        if waiting and len(running) < server.most:
            now += server.prefill_s
            running.append((waiting.pop(0), [now]))
            continue
        now += server.fixed_s + server.each_s * len(running)
        for _, times in running:
            times.append(now)
        for arrival, times in [done for done in running if len(done[1]) >= outputs]:
            gaps = [after - before for before, after in pairwise(times)]
            ttft = times[0] - arrival
            log.append(Logged(inputs, outputs, arrival, now - arrival, ttft, median(gaps)))
            running.remove((arrival, times))
    return log


def rate(log: list[Logged]) -> float:
    """Requests a second."""
    ends = [(r.arrival_s or 0.0) + (r.latency_s or 0.0) for r in log]
    return len(log) / max(ends)


@pytest.mark.parametrize(
    ("variant", "inputs", "outputs", "at_once", "times"),
    [  # seconds: prefill, fixed part of a step, each request's part of a step
        ("31B", 16_000, 512, 32, (2.0, 0.0246, 0.0006)),  # much prefill
        ("31B", 32_000, 512, 24, (4.5, 0.0246, 0.0012)),
        ("31B", 16_000, 2_048, 32, (2.0, 0.0246, 0.0006)),  # much decoding
        ("12B", 16_000, 512, 64, (0.8, 0.0090, 0.0004)),
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

    def run(most: int) -> list[Logged]:
        return served(Server(*times, most), inputs, outputs, at_once, 3 * at_once)

    sketch = observe([Logged(inputs, outputs)], "lengths", in_flight=at_once)
    held = propose(sketch, request, host, table()).before.held
    assert held is not None and held.requests < at_once
    before = run(held.requests)
    proposal = propose(observe(before, "log"), request, host, table())
    assert proposal.gain is not None and proposal.gain.ratio is not None
    assert proposal.after.held is not None
    after = run(proposal.after.held.requests)
    replayed = rate(after) / rate(before)
    assert replayed > 1.1
    assert proposal.gain.ratio == pytest.approx(replayed, rel=0.15)
