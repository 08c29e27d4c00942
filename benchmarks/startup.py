#!/usr/bin/env python3
"""How long short commands take, as whole processes: ``python benchmarks/startup.py [--runs N]``.

Three commands run in turns, so that a busy machine slows all alike: the imports of the libraries
that the command line is made of, ``gemma4ctl --help``, and one ``suggest``. The medians are
compared, printed and written to ``benchmarks/results/startup.json``. Exits 1 when ``--help`` takes
longer than the imports or ``suggest`` more than 1.5 times as long. Bytecode is cached, as it is in
every installed package.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

RESULT = Path(__file__).parent / "results" / "startup.json"
LIBRARIES = ("typer", "rich", "pydantic", "pyyaml", "jinja2")
RUN_CLI = ("-c", "from gemma4ctl.cli import main; main()")
SUGGEST = ("suggest", "--model", "26B-A4B", "--mtp", "--hardware", "H200", "--json")
COMMANDS: dict[str, tuple[str, ...]] = {
    "imports": ("-c", "import typer, rich, pydantic, yaml, jinja2"),
    "help": (*RUN_CLI, "--help"),
    "suggest": (*RUN_CLI, *SUGGEST),
}
LIMITS = {"help": 1.0, "suggest": 1.5}  # times the imports


def measure(runs: int, environment: Mapping[str, str]) -> dict[str, list[float]]:
    """Seconds of each run of each command; a first run of each, which fills caches, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(runs + 1):
        for name, words in COMMANDS.items():
            taken = timed(words, environment)
            if turn:
                seconds[name].append(taken)
    return seconds


def timed(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Wall-clock seconds of one Python process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def caching(folder: str) -> dict[str, str]:
    """This environment, with bytecode cached in ``folder`` and no settings of gemma4ctl."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("GEMMA4CTL_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPYCACHEPREFIX": folder}


def report(seconds: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Medians, ratios, and what they were measured on."""
    medians = {name: median(values) for name, values in seconds.items()}
    ratios = {name: medians[name] / medians["imports"] for name in LIMITS}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "architecture": platform.machine(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
        },
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("gemma4ctl", *LIBRARIES)},
        "runs": len(seconds["imports"]),
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "fastest_seconds": {name: round(min(values), 4) for name, values in seconds.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "limits": LIMITS,
        "passed": all(ratios[name] <= limit for name, limit in LIMITS.items()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of each command (default 20)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(max(1, options.runs), caching(folder))
    found = report(seconds)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{'command':<10}{'median ms':>10}{'fastest ms':>12}{'ratio':>8}{'limit':>8}")
    for name, values in seconds.items():
        ratio = median(values) / median(seconds["imports"])
        limit = f"{LIMITS[name]:8.1f}" if name in LIMITS else ""
        print(f"{name:<10}{median(values) * 1e3:10.0f}{min(values) * 1e3:12.0f}{ratio:8.2f}{limit}")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
