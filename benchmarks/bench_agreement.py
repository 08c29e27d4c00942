#!/usr/bin/env python3
"""Whether the built-in client measures what SGLang's own does, on one server.

``python benchmarks/bench_agreement.py URL OUT [--only SCENARIO ...]`` runs text scenarios with both
clients in turns, on a machine that has SGLang, and writes ``OUT/bench_agreement.json``: every run,
and for each figure the median over the built-in client's runs by that over SGLang's. Runs that the
file already has are not repeated. Exits 1 when a figure that is judged differs by more than 3%.

Times to the first token are judged where there are requests enough to tell (``first-token``), not
in the ten requests of the published scenario. With 100 at once nothing is judged: there the server
answers each client differently (docs/bench.md).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from gemma4ctl import __version__
from gemma4ctl.bench import measure, sglang_serving
from gemma4ctl.bench.identity import served
from gemma4ctl.bench.summary import Summary
from gemma4ctl.bench.workload import SCENARIOS, Workload
from gemma4ctl.endpoint.address import Endpoint, endpoint
from gemma4ctl.endpoint.facts import read_facts

CLIENTS = ("builtin", "sglang")
LIMIT = 0.03
FIGURES = (
    "request_throughput",
    "input_throughput",
    "output_throughput",
    "total_throughput",
    "peak_output_throughput",
    "ttft_ms.mean",
    "ttft_ms.median",
    "tpot_ms.mean",
    "tpot_ms.median",
    "itl_ms.mean",
    "itl_ms.median",
    "e2e_ms.mean",
    "e2e_ms.median",
)


class Meeting(NamedTuple):
    """A scenario of both clients: how often, and which figures must agree."""

    workload: Workload
    pairs: int
    judged: tuple[str, ...]


ALONE, MANY = SCENARIOS["text-c1"], SCENARIOS["text-c100"]
FIRST = {"name": "first-token", "output_tokens": 16, "range_ratio": 1.0, "requests": 60}
SOME = {"name": "text-c16", "requests": 160, "concurrency": 16}
MEETINGS = (
    Meeting(ALONE, 3, tuple(name for name in FIGURES if not name.startswith("ttft"))),
    Meeting(ALONE.model_copy(update=FIRST), 3, ("ttft_ms.mean", "ttft_ms.median")),
    Meeting(MANY.model_copy(update=SOME), 3, FIGURES),
    Meeting(MANY, 1, ()),
)


def schedule(only: Sequence[str]) -> list[tuple[Workload, int, str]]:
    """What is run, in order: workload, pair and client; the first of a pair alternates."""
    return [
        (meeting.workload, pair, client)
        for meeting in MEETINGS
        if not only or meeting.workload.name in only
        for pair in range(meeting.pairs)
        for client in (CLIENTS if pair % 2 == 0 else reversed(CLIENTS))
    ]


def run(server: Endpoint, workload: Workload, pair: int, client: str, python: str) -> Summary:
    """One run of ``workload``."""
    if client == "sglang":
        return sglang_serving.measure(server, workload, api="generate", python=python).summary
    measured = measure.measure(server, workload, model="default", api="generate", turn=pair)
    if measured.interrupted:
        raise KeyboardInterrupt
    return measured.summary


def ratios(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Scenario -> figure -> built-in client by SGLang's, each the median of its runs."""
    found: dict[str, dict[str, float]] = {}
    for scenario in dict.fromkeys(each["scenario"] for each in runs):
        of = {
            client: [
                each["figures"]
                for each in runs
                if (each["scenario"], each["client"]) == (scenario, client)
            ]
            for client in CLIENTS
        }
        if all(of.values()):
            found[scenario] = {
                name: round(middle(of["builtin"], name) / middle(of["sglang"], name), 4)
                for name in FIGURES
                if middle(of["sglang"], name)
            }
    return found


def middle(figures: list[dict[str, float]], name: str) -> float:
    return median(each[name] for each in figures)


def python_of_sglang() -> str:
    """The interpreter that has SGLang: this one, else that of the ``sglang`` on PATH."""
    found = sys.executable if find_spec("sglang") else sglang_serving.python_with_sglang()
    if found is None:
        sys.exit("SGLang is not installed here")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("out", type=Path, help="folder of the results")
    names = [meeting.workload.name for meeting in MEETINGS]
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="SCENARIO")
    options = parser.parse_args()
    path = options.out / "bench_agreement.json"
    options.out.mkdir(parents=True, exist_ok=True)
    server, python = endpoint(options.url), python_of_sglang()
    facts = read_facts(server)
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    for workload, pair, client in schedule(options.only):
        key = {"scenario": workload.name, "pair": pair, "client": client}
        if any(key.items() <= each.items() for each in runs):
            continue
        summary = run(server, workload, pair, client, python)
        figures = {name: round(value, 4) for name, value in summary.figures().items()}
        runs.append({**key, "figures": figures, "failed": summary.failed})
        found = report(runs, served(facts, "default").model_dump(mode="json"))
        path.write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps({**key, "tpot_ms": figures["tpot_ms.mean"]}), flush=True)
    found = json.loads(path.read_text())
    print(json.dumps({name: found[name] for name in ("ratios", "outside", "passed")}))
    return 0 if found["passed"] else 1


def report(runs: list[dict[str, Any]], server: dict[str, Any]) -> dict[str, Any]:
    compared = ratios(runs)
    judged = {meeting.workload.name: meeting.judged for meeting in MEETINGS}
    outside = {
        f"{scenario} {name}": ratio
        for scenario, figures in compared.items()
        for name, ratio in figures.items()
        if name in judged[scenario] and abs(ratio - 1) > LIMIT
    }
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform()},
        "python": platform.python_version(),
        "gemma4ctl": __version__,
        "server": server,
        "notes": sglang_serving.notes(SCENARIOS["text-c1"], None),
        "limit": LIMIT,
        "judged": judged,
        "ratios": compared,
        "outside": outside,
        "passed": bool(compared) and not outside and not any(each["failed"] for each in runs),
        "runs": runs,
    }


if __name__ == "__main__":
    sys.exit(main())
