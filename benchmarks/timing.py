"""What the scripts that time short commands share: whole processes, in turns, medians compared."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

from gemma4ctl import __version__

LIBRARIES = ("typer", "rich", "pydantic", "pyyaml", "jinja2")
RUN_CLI = ("-c", "from gemma4ctl.cli import main; main()")
Seconds = Mapping[str, Sequence[float]]


def options(description: str, result: Path) -> argparse.Namespace:
    """``--runs`` and ``--output`` of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=20, help="runs of each command (default 20)")
    parser.add_argument("--output", type=Path, default=result, help="where the result goes")
    return parser.parse_args()


def caching(folder: str) -> dict[str, str]:
    """This environment, with bytecode cached in ``folder`` and no settings of gemma4ctl."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("GEMMA4CTL_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPYCACHEPREFIX": folder}


def measure(
    runs: int, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> dict[str, list[float]]:
    """Seconds of each run of each command; a first run of each, which fills caches, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(max(1, runs) + 1):
        for name, words in commands.items():
            taken = timed(words, environment)
            if turn:
                seconds[name].append(taken)
    return seconds


def timed(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Wall-clock seconds of one Python process, whose output is dropped."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)  # fmt: skip
    return time.perf_counter() - began


def report(
    seconds: Seconds, *, base: str, compared: Collection[str], limits: Mapping[str, float]
) -> dict[str, object]:
    """Medians, their ratios to that of ``base``, and what they were measured on."""
    medians = {name: median(values) for name, values in seconds.items()}
    ratios = {name: medians[name] / medians[base] for name in compared}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "architecture": platform.machine(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
        },
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("gemma4ctl", *LIBRARIES)},
        "runs": len(seconds[base]),
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "fastest_seconds": {name: round(min(values), 4) for name, values in seconds.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "limits": dict(limits),
        "passed": all(ratios[name] <= limit for name, limit in limits.items()),
    }


def about() -> dict[str, object]:
    """The day, this machine and the releases that a report is of."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "python": platform.python_version(),
        "gemma4ctl": __version__,
    }


def write(found: Mapping[str, object], output: Path) -> None:
    """Write a report to ``output``."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=2) + "\n")
