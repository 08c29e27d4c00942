"""A server that is simulated step by step, and what it logs and counts.

It prefills one request at a time, in which nobody decodes, and decodes all running requests in one
step, whose time grows with their number. It admits as many requests as the KV pools of a plan hold.
It knows nothing of the model that predicts. Its metrics are those of SGLang 0.5.16: gauges are set
by each prefill and by every 40th decode step, and requests that ended in the last decode step still
run by the gauge of a prefill.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from gemma4ctl.replanning.interval import Sample
from gemma4ctl.replanning.requestlog import Logged

from .recorded import GAUGES, MODES, TOTALS, metrics

REPORT_EVERY = 40  # decode steps
GAPS = (0.010, 0.015, 0.020, 0.025, 0.030, 0.035, 0.040, 0.060, 0.080, 0.1, 8.0)  # seconds


class Server(NamedTuple):
    """Seconds of a request's prefill, and of a decode step: ``fixed`` and for each request."""

    prefill_s: float
    fixed_s: float
    each_s: float
    most: int  # requests that run at once


class Load(NamedTuple):
    """``requests`` of which ``at_once`` are open at any time; tokens of each."""

    inputs: int
    outputs: int
    at_once: int
    requests: int


class Served(NamedTuple):
    """What a client logged, and the metrics once a second."""

    log: list[Logged]
    samples: list[Sample]

    @property
    def requests_s(self) -> float:
        """Requests a second, of the whole run."""
        ends = [(r.arrival_s or 0.0) + (r.latency_s or 0.0) for r in self.log]
        return len(self.log) / max(ends)


class _Counters:
    """The metrics of the server, sampled as time goes on."""

    def __init__(self, load: Load, most: int) -> None:
        self._load, self._most = load, most
        self._row = dict.fromkeys(
            (*GAUGES.values(), *TOTALS.values(), *MODES.values(), "steps"), 0.0
        )
        self._gaps = dict.fromkeys(GAPS, 0.0)
        self._reported = (0.0, 0.0)
        self._stepped = 0.0
        self.samples: list[Sample] = []

    def until(self, now: float) -> None:
        """Nothing changed before ``now``."""
        while len(self.samples) < now:
            found = metrics(self._row, self._gaps | {math.inf: self._row["decoded"]})
            self.samples.append(Sample(float(len(self.samples)), found))

    def prefilled(self, running: int, waiting: int) -> None:
        self._row["computed"] += self._load.inputs
        self._gauges(running, waiting)

    def decoded(self, now: float, running: int, waiting: int, ended: int) -> None:
        row = self._row
        row["steps"] += 1
        row["decoded"] += running
        row["requests"] += ended
        row["prompts"] += ended * self._load.inputs
        row["answers"] += ended * self._load.outputs
        for bound in GAPS:
            self._gaps[bound] += running * (now - self._stepped <= bound)
        self._stepped = now
        if row["steps"] % REPORT_EVERY == 0:
            at, tokens = self._reported
            spent = (now - at) * (1 + row["steps"] * 1e-9)  # no clock gives the same twice
            row["generated_s"] = (row["decoded"] - tokens) / spent
            self._reported = now, row["decoded"]
            self._gauges(running, waiting)

    def _gauges(self, running: int, waiting: int) -> None:
        full = min(1.0, running / self._most)
        self._row.update(running=running, waiting=waiting, full=full, sliding=full / 2)


def served(server: Server, load: Load) -> Served:
    """What the server makes of the load."""
    now, sent, ended = 0.0, 0, 0
    waiting: list[float] = []  # arrivals
    running: list[tuple[float, list[float]]] = []  # arrival, times of tokens
    log: list[Logged] = []
    counters = _Counters(load, server.most)
    while len(log) < load.requests:
        while sent < load.requests and len(waiting) + len(running) < load.at_once:
            waiting.append(now)
            sent += 1
        if waiting and len(running) < server.most:
            now += server.prefill_s
            counters.until(now)
            counters.prefilled(len(running) + ended, len(waiting) - 1)
            running.append((waiting.pop(0), [now]))
            continue
        now += server.fixed_s + server.each_s * len(running)
        counters.until(now)
        for _, times in running:
            times.append(now)
        done = [each for each in running if len(each[1]) >= load.outputs]
        ended = len(done)
        counters.decoded(now, len(running), len(waiting), ended)
        log += [_logged(load, arrival, times) for arrival, times in done]
        running = [each for each in running if len(each[1]) < load.outputs]
    return Served(log, counters.samples)


def _logged(load: Load, arrival: float, times: list[float]) -> Logged:
    gaps = [after - before for before, after in pairwise(times)]
    latency, ttft = times[-1] - arrival, times[0] - arrival
    return Logged(load.inputs, load.outputs, arrival, latency, ttft, median(gaps))
