"""Results for tests, constructed."""

from __future__ import annotations

from typing import Any

from gemma4ctl.bench.document import BenchResult, Run, Scenario, Served
from gemma4ctl.bench.record import Failure, Record
from gemma4ctl.bench.summary import Summary, spreads, summarize
from gemma4ctl.bench.workload import SCENARIOS


def summary(seconds: float = 2.0, failed: int = 0) -> Summary:
    """Two answers of three tokens in ``seconds``, and ``failed`` failures."""
    records = [Record(index, ended=seconds, completion_tokens=3) for index in range(2)]
    for record in records:
        record.prompt_tokens = 10
        for at in (0.25, 0.5, 0.75):
            record.times.append(at * seconds)
            record.tokens.append(1)
    records += [Record(2, failure=Failure("http-503", "busy"))] * failed
    return summarize(records, seconds)


def scenario(*seconds: float, name: str = "text-c1", **changes: Any) -> Scenario:
    """A scenario with whole runs of ``seconds``."""
    runs = tuple(Run(started="2026-11-22T05:00:00+00:00", summary=summary(s)) for s in seconds)
    given = {"client": "builtin", "api": "generate", "runs": runs, **changes}
    found = Scenario(workload=SCENARIOS[name], **given)
    return found.model_copy(update={"spread": spreads([run.summary for run in found.whole])})


def result(*scenarios: Scenario, **changes: Any) -> BenchResult:
    """Results of ``scenarios`` on an E2B."""
    given: dict[str, Any] = {
        "gemma4ctl_version": "0.1.0",
        "date": "2026-11-22T05:00:00+00:00",
        "command": ("gemma4ctl", "bench"),
        "url": "http://127.0.0.1:30000",
        "served": Served(model="google/gemma-4-E2B-it", variant="E2B", tp=1, release="0.5.16"),
        "complete": True,
        **changes,
    }
    return BenchResult(scenarios=scenarios, **given)
