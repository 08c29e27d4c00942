"""One trial: start the server of a plan, warm up, measure, stop. Nothing of it is left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gemma4ctl.bench.measure import Measured, measure
from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.summary import Summary
from gemma4ctl.bench.workload import Workload
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import Gemma4ctlError, PreflightError, ProblemsFoundError
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.planfile import write_plan
from gemma4ctl.tuning.metrics import Metric
from gemma4ctl.tuning.server import How, Server

WARMUPS = 16  # requests at once, so that kernels for full prefill chunks are compiled
PAUSE_S = 2.0
LAST_WORDS_S = 5.0  # for a server that failed a request to end, and serve to say why
SHOWN = (  # figures of a measurement that are kept
    "output_throughput",
    "total_throughput",
    "request_throughput",
    "concurrency",
    "ttft_ms.mean",
    "ttft_ms.p99",
    "tpot_ms.mean",
    "tpot_ms.p99",
    "itl_ms.p99",
    "seconds",
    "completed",
    "accept_length",
)


class Failure(NamedTuple):
    """Why a trial has no figure."""

    code: str
    reason: str
    remedy: str | None = None


REFUSED = f"serve-exit-{PreflightError.exit_code}"
OUT_OF_TIME = Failure("out-of-time", "the time was up before the trial was over")


@dataclass
class Outcome:
    """What a trial gave: ``figures``, or a ``failure``. Seconds as in :class:`study.Trial`."""

    figures: list[float] = field(default_factory=list)
    failure: Failure | None = None
    start_s: float | None = None
    seconds: float = 0.0
    measurements: list[dict[str, Any]] = field(default_factory=list)
    reported: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """How every trial is measured.

    Args:
        folder: where plans and logs go.
        load: what is sent.
        metric: the figure that counts.
        repeats: measurements on one server.
        how: how servers are launched.
        endpoint: where they listen.
    """

    folder: Path
    load: Workload
    metric: Metric
    repeats: int
    how: How
    endpoint: Endpoint

    def log(self, number: int) -> Path:
        """The file of the server's output in trial ``number``."""
        return self.folder / f"trial-{number:03}.log"

    def run(self, planned: Plan, number: int, seconds: float) -> Outcome:
        """Start ``planned``, measure it, end it, within ``seconds``.

        Where ``serve`` refuses, once more after a pause: a driver may take a moment to free the
        memory of the server before.
        """
        outcome = self._once(planned, number, seconds)
        left = seconds - outcome.seconds - PAUSE_S
        if outcome.failure is None or outcome.failure.code != REFUSED or left <= 0:
            return outcome
        time.sleep(PAUSE_S)
        return self._once(planned, number, left)

    def _once(self, planned: Plan, number: int, seconds: float) -> Outcome:
        """The same, without another try."""
        plan_file = self.folder / f"trial-{number:03}.plan.json"
        write_plan(planned, plan_file, force=True)
        began = time.monotonic()
        outcome = Outcome()
        server = Server(plan_file, self.log(number), self.how, seconds)
        try:
            with server:
                outcome.start_s = server.seconds_to_ready
                with _ended_after(began + seconds - time.monotonic(), server):
                    outcome.failure = self._measure(planned, server, outcome)
        except Gemma4ctlError as error:
            remedy = error.remedies[0] if error.remedies else None
            outcome.failure = Failure(error.code or "error", error.message, remedy)
        outcome.seconds = time.monotonic() - began
        outcome.reported = dict(server.report().get("reported") or {})
        if outcome.failure is not None:
            outcome.figures = []
            in_time = outcome.seconds < seconds
            outcome.failure = _cause(outcome.failure, server) if in_time else OUT_OF_TIME
        return outcome

    def _measure(self, planned: Plan, server: Server, outcome: Outcome) -> Failure | None:
        """Measure the running server ``repeats`` times; a failed request spoils the trial."""
        api: Api = "chat" if self.load.images else "generate"
        for turn in range(self.repeats):
            try:
                measured = measure(
                    self.endpoint,
                    self.load,
                    model=planned.variant.model_path,
                    api=api,
                    warmup=min(WARMUPS, self.load.concurrency) if turn == 0 else 0,
                    turn=turn,
                )
            except ProblemsFoundError as error:
                server.wait(LAST_WORDS_S)
                return Failure("requests-failed", error.found or error.message)
            if measured.interrupted:
                raise KeyboardInterrupt
            if measured.summary.failures:
                server.wait(LAST_WORDS_S)
                return _lost(measured)
            outcome.figures.append(self.metric.of(measured.summary))
            outcome.measurements.append(_kept(measured.summary))
        return None


def _lost(measured: Measured) -> Failure:
    """The failure of a measurement in which requests failed."""
    summary = measured.summary
    first = next(record.failure for record in measured.records if record.failure)
    total = summary.completed + summary.failures
    return Failure(
        "requests-failed", f"{summary.failures} of {total} requests failed: {first.message}"
    )


def _kept(summary: Summary) -> dict[str, Any]:
    figures = summary.figures()
    return {name: round(figures[name], 4) for name in SHOWN if name in figures}


def _cause(failure: Failure, server: Server) -> Failure:
    """Why a trial failed: where the server ended, the reason for that."""
    if failure.code == "requests-failed" and server.report().get("diagnosis"):
        ended = server.failure()
        return Failure(ended.code or "server", ended.message, next(iter(ended.remedies), None))
    return failure


@contextmanager
def _ended_after(seconds: float, server: Server) -> Iterator[None]:
    """End ``server`` when the time is up; its requests fail then."""
    timer = threading.Timer(seconds, server.ask_to_stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
