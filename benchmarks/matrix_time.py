#!/usr/bin/env python3
"""How long the whole matrix takes: ``python benchmarks/matrix_time.py [--runs N] [--jobs N]``.

Runs ``gemma4ctl matrix --format json`` as a process, for a quarter, a half and all of the releases
in turns, with bytecode cached as in an installed package. Writes counts, wall-clock and processor
seconds to ``benchmarks/results/matrix.json``. Exits 1 when a command does not pass, the whole takes
more than 20 s (of wall-clock time on 2 CPUs), or twice the requests more than 2.3 times as long.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timing import RUN_CLI, about, caching, write

from gemma4ctl.profiles.load import load

RESULT = Path(__file__).parent / "results" / "matrix.json"
LIMIT_S = 20.0
LIMIT_RATIO = 2.3  # of the time for twice the requests


def parts() -> dict[str, tuple[str, ...]]:
    """The releases of each part, spread over all, so that every part has old and new ones."""
    releases = tuple(load().releases)
    return {"quarter": releases[::4], "half": releases[::2], "all": releases}


def measure(releases: Sequence[str], jobs: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Summary, wall-clock and processor seconds of one run."""
    chosen = [word for release in releases for word in ("--release", release)]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "matrix.json"
        options = ("--format", "json", "--jobs", str(jobs), "-o", str(output))
        before, began = processor_seconds(), time.perf_counter()
        words = [sys.executable, *RUN_CLI, "matrix", *options, *chosen]
        code = subprocess.run(words, env=dict(environment), check=False).returncode
        wall = time.perf_counter() - began
        processor = processor_seconds() - before
        summary = json.loads(output.read_text())["summary"]
    return {**summary, "exit_code": code, "seconds": wall, "processor_seconds": processor}


def processor_seconds() -> float:
    """Processor time of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fastest(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The summary with the least wall-clock and processor time: other load only adds to them."""
    best = dict(runs[0])
    for clock in ("seconds", "processor_seconds"):
        best[clock] = min(run[clock] for run in runs)
    return {name: round(v, 2) if isinstance(v, float) else v for name, v in best.items()}


def report(found: Mapping[str, dict[str, Any]], runs: int, jobs: int) -> dict[str, Any]:
    """What was measured, on what, and whether it is within the limits."""
    quarter, half, whole = found["quarter"], found["half"], found["all"]
    ratios = {
        "half to quarter": half["processor_seconds"] / quarter["processor_seconds"],
        "all to half": whole["processor_seconds"] / half["processor_seconds"],
    }
    passed = (
        all(part["exit_code"] == 0 for part in found.values())
        and whole["seconds"] <= LIMIT_S
        and all(ratio <= LIMIT_RATIO for ratio in ratios.values())
    )
    return {
        **about(),
        "runs": runs,
        "jobs": jobs,
        "parts": found,
        "processor_time_ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "limits": {"seconds": LIMIT_S, "ratio": LIMIT_RATIO},
        "passed": passed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each part (default 3)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in parts()}
    with tempfile.TemporaryDirectory() as folder:
        environment = caching(folder)
        for _ in range(options.runs):
            for name, releases in parts().items():
                measured[name].append(measure(releases, options.jobs, environment))
    found = report(
        {name: fastest(runs) for name, runs in measured.items()}, options.runs, options.jobs
    )
    write(found, options.output)
    print(json.dumps({name: found[name] for name in ("processor_time_ratios", "passed")}))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
