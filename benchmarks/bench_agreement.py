#!/usr/bin/env python3
"""Whether the built-in client measures what SGLang's own does, on one server.

``python benchmarks/bench_agreement.py URL OUT [--quick]`` runs the page's text scenarios with both
clients in turns, on a machine that has SGLang, and writes ``OUT/bench_agreement.json``: every run,
and for each figure the median over the built-in client's runs by that over SGLang's. Runs that the
file already has are not repeated. Exits 1 when a figure differs by more than 3%.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

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


def schedule(quick: bool) -> list[tuple[Workload, int, str]]:
    """What is run, in order: workload, pair and client; the first of a pair alternates."""
    alone, many = SCENARIOS["text-c1"], SCENARIOS["text-c100"]
    if quick:
        many = many.model_copy(update={"requests": 300})
    wanted = [(alone, pair) for pair in range(1 if quick else 3)] + [(many, 0)]
    wanted += [] if quick else [(many, 1)]
    return [
        (workload, pair, client)
        for workload, pair in wanted
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
    parser.add_argument("--quick", action="store_true", help="one pair, fewer requests")
    options = parser.parse_args()
    path = options.out / "bench_agreement.json"
    options.out.mkdir(parents=True, exist_ok=True)
    server, python = endpoint(options.url), python_of_sglang()
    facts = read_facts(server)
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    for workload, pair, client in schedule(options.quick):
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
    outside = {
        f"{scenario} {name}": ratio
        for scenario, figures in compared.items()
        for name, ratio in figures.items()
        if abs(ratio - 1) > LIMIT
    }
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform()},
        "python": platform.python_version(),
        "gemma4ctl": __version__,
        "server": server,
        "notes": sglang_serving.notes(SCENARIOS["text-c1"], None),
        "limit": LIMIT,
        "ratios": compared,
        "outside": outside,
        "passed": bool(compared) and not outside and not any(each["failed"] for each in runs),
        "runs": runs,
    }


if __name__ == "__main__":
    sys.exit(main())
