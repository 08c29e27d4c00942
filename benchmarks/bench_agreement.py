#!/usr/bin/env python3
"""Whether the built-in client measures what SGLang's own does, on one server.

``python benchmarks/bench_agreement.py URL OUT [--only SCENARIO ...]`` runs text scenarios with both
clients in turns, on a machine that has SGLang, and writes ``OUT/bench_agreement.json``: every run,
and for each figure the median over the built-in client's runs by that over SGLang's. Scenarios
that are judged come first, one pair of each before the second of any; runs that the file already
has are not repeated. Exits 1 when a figure that is judged is missing, or differs by more than 3%.

Times to the first token are judged where there are requests enough to tell, and where SGLang's
client sends token ids as the built-in one does (``first-token-ids``). With text, as it was used for
the published figures, the server has to tokenize first: ``first-token`` shows what that takes, and
is not judged.
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

from redaction import machine_names, redacted
from shared import write

from gemma4ctl import __version__
from gemma4ctl.bench import measure, sglang_serving
from gemma4ctl.bench.identity import served
from gemma4ctl.bench.measure import Measured
from gemma4ctl.bench.sglang_serving import Served
from gemma4ctl.bench.workload import SCENARIOS, Workload
from gemma4ctl.endpoint.address import Endpoint, endpoint
from gemma4ctl.endpoint.facts import read_facts

CLIENTS = ("builtin", "sglang")
LIMIT = 0.03
FIRST = ("ttft_ms.mean", "ttft_ms.median")
REST = (
    "request_throughput",
    "input_throughput",
    "output_throughput",
    "total_throughput",
    "peak_output_throughput",
    "tpot_ms.mean",
    "tpot_ms.median",
    "itl_ms.mean",
    "itl_ms.median",
    "e2e_ms.mean",
    "e2e_ms.median",
)
SENT = (
    "the built-in client sends token ids; bench_serving does so in first-token-ids only, and "
    "elsewhere text, which the server tokenizes"
)


class Meeting(NamedTuple):
    """A scenario of both clients: how often, and which figures must agree.

    ``token_ids``: SGLang's client sends these too, instead of text.
    """

    workload: Workload
    pairs: int
    judged: tuple[str, ...]
    token_ids: bool = False


ALONE = SCENARIOS["text-c1"]
SHORT = ALONE.model_copy(
    update={"name": "first-token", "output_tokens": 16, "range_ratio": 1.0, "requests": 60}
)
SOME = ALONE.model_copy(update={"name": "text-c16", "requests": 160, "concurrency": 16})
MEETINGS = (
    Meeting(SHORT.model_copy(update={"name": "first-token-ids"}), 3, FIRST, token_ids=True),
    Meeting(ALONE, 1, REST),
    Meeting(SOME, 1, REST),
    Meeting(SHORT, 1, ()),
)


def schedule(only: Sequence[str]) -> list[tuple[Meeting, int, str]]:
    """What is run, in order: meeting, pair and client; the first of a pair alternates."""
    pairs = [
        (meeting, pair)
        for meeting in MEETINGS
        if not only or meeting.workload.name in only
        for pair in range(meeting.pairs)
    ]
    pairs.sort(key=lambda each: (not each[0].judged, each[1]))
    return [
        (meeting, pair, client)
        for meeting, pair in pairs
        for client in (CLIENTS if pair % 2 == 0 else reversed(CLIENTS))
    ]


def run(
    server: Endpoint, meeting: Meeting, pair: int, client: str, python: str
) -> Measured | Served:
    """One run of a meeting's workload."""
    workload = meeting.workload
    if client == "sglang":
        return sglang_serving.measure(
            server, workload, api="generate", python=python, token_ids=meeting.token_ids
        )
    measured = measure.measure(server, workload, model="default", api="generate", turn=pair)
    if measured.interrupted:
        raise KeyboardInterrupt
    return measured


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
                for name in (*REST, *FIRST)
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
    server, python = endpoint(options.url), python_of_sglang()
    facts = served(read_facts(server), "default").model_dump(mode="json")
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    for meeting, pair, client in schedule(options.only):
        key = {"scenario": meeting.workload.name, "pair": pair, "client": client}
        if any(key.items() <= each.items() for each in runs):
            continue
        ran = run(server, meeting, pair, client, python)
        figures = {name: round(value, 4) for name, value in ran.summary.figures().items()}
        kept = {"started": ran.started, "figures": figures, "failed": ran.summary.failed}
        runs.append({**key, **kept})
        write(path, report(runs, facts))
        print(json.dumps({**key, "tpot_ms": figures["tpot_ms.mean"]}), flush=True)
    found = report(runs, facts)
    write(path, found)
    print(json.dumps({name: found[name] for name in ("ratios", "missing", "outside", "passed")}))
    return 0 if found["passed"] else 1


def report(runs: list[dict[str, Any]], server: dict[str, Any]) -> dict[str, Any]:
    """The record of ``runs``, and what it says of the figures that are judged."""
    compared = ratios(runs)
    judged = {meeting.workload.name: meeting.judged for meeting in MEETINGS}
    of = {
        f"{scenario} {name}": compared.get(scenario, {}).get(name)
        for scenario, names in judged.items()
        for name in names
    }
    missing = [name for name, ratio in of.items() if ratio is None]
    outside = {
        name: ratio for name, ratio in of.items() if ratio is not None and abs(ratio - 1) > LIMIT
    }
    found = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform()},
        "python": platform.python_version(),
        "gemma4ctl": __version__,
        "server": server,
        "notes": (*sglang_serving.notes(ALONE, None), SENT),
        "limit": LIMIT,
        "judged": judged,
        "ratios": compared,
        "missing": missing,
        "outside": outside,
        "passed": not missing and not outside and not any(each["failed"] for each in runs),
        "runs": runs,
    }
    return dict(redacted(found, machine_names()))


if __name__ == "__main__":
    sys.exit(main())
