"""A session: every scenario as often as asked, the results kept after each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma4ctl.bench import measure, sglang_serving
from gemma4ctl.bench.client import SILENCE_S
from gemma4ctl.bench.document import BenchResult, Client, Run, Scenario
from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.progress import Display
from gemma4ctl.bench.summary import spreads
from gemma4ctl.bench.workload import Workload, is_published
from gemma4ctl.endpoint.address import Endpoint

NOT_FLUSHED = "the server's prefix cache was not emptied before"
AT_ONCE = (
    "published figures were measured with bench_serving, which sends the next request later: at "
    "100 requests at once E2B on an H200 gave it a fifth more output tokens a second"
)
LARGEST_WARMUP = 32  # requests


@dataclass(frozen=True)
class Way:
    """How to measure.

    With SGLang's client of the interpreter ``python``, which may take its texts from ``dataset``;
    else with the built-in one, to which the rest applies. ``warmup``: requests before each run;
    None: as many as are sent at once, up to 32.
    """

    endpoint: Endpoint
    model: str
    python: str | None = None
    dataset: Path | None = None
    repeat: int = 1
    warmup: int | None = None
    flush: bool = True
    silence_s: float = SILENCE_S

    @property
    def client(self) -> Client:
        """Which client measures."""
        return "sglang" if self.python else "builtin"


def run(
    way: Way,
    wanted: Sequence[tuple[Workload, Api]],
    result: BenchResult,
    *,
    keep: Callable[[BenchResult], None],
    display: Display,
) -> BenchResult:
    """Measure each workload ``way.repeat`` times; ``keep`` gets the results after every run.

    When it is interrupted, the results so far are returned, with ``complete`` False.

    Raises:
        ProblemsFoundError: no warm-up request was answered, or SGLang's client failed.
        UsageError: a library is missing.
    """
    try:
        for workload, api in wanted:
            scenario = Scenario(workload=workload, client=way.client, api=api)
            before = result.scenarios
            for turn in range(way.repeat):
                title = f"{workload.name}, run {turn + 1} of {way.repeat}"
                display.begin(workload, title)
                scenario = _measured(way, scenario, turn, display)
                result = result.model_copy(update={"scenarios": (*before, scenario)})
                keep(result)
                display.end(scenario.runs[-1].summary)
                if scenario.runs[-1].interrupted:
                    return result
    except KeyboardInterrupt:
        return result
    result = result.model_copy(update={"complete": True})
    keep(result)
    return result


def _measured(way: Way, scenario: Scenario, turn: int, display: Display) -> Scenario:
    """``scenario`` with one run more."""
    if way.python:
        run, changes = _with_sglang(way, way.python, scenario)
    else:
        run, changes = _built_in(way, scenario, turn, display)
    runs = (*scenario.runs, run)
    whole = [each.summary for each in runs if not each.interrupted]
    return scenario.model_copy(update={"runs": runs, "spread": spreads(whole), **changes})


def _built_in(
    way: Way, scenario: Scenario, turn: int, display: Display
) -> tuple[Run, dict[str, Any]]:
    """One run with the built-in client, and what it changes in its scenario."""
    workload = scenario.workload
    warmup = min(workload.concurrency, LARGEST_WARMUP) if way.warmup is None else way.warmup
    measured = measure.measure(
        way.endpoint,
        workload,
        model=way.model,
        api=scenario.api,
        warmup=warmup,
        turn=turn,
        flush=way.flush,
        silence_s=way.silence_s,
        on_done=display.done,
    )
    run = Run(started=measured.started, summary=measured.summary, interrupted=measured.interrupted)
    flushed = () if measured.flushed else (NOT_FLUSHED,)
    at_once = (AT_ONCE,) if workload.concurrency > 1 and is_published(workload) else ()
    return run, {"notes": (*flushed, *at_once)}


def _with_sglang(way: Way, python: str, scenario: Scenario) -> tuple[Run, dict[str, Any]]:
    """One run with SGLang's client, which says nothing before its end."""
    workload = scenario.workload
    served = sglang_serving.measure(
        way.endpoint, workload, api=scenario.api, python=python, dataset=way.dataset
    )
    notes = sglang_serving.notes(workload, way.dataset)
    return Run(started=served.started, summary=served.summary), {
        "command": served.command,
        "notes": notes,
    }
