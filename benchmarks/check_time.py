#!/usr/bin/env python3
"""How long a check takes, as whole processes: ``python benchmarks/check_time.py [--runs N]``.

``gemma4ctl --help`` and checks of constructed Compose files, of Gemma 4 and of another model, run
in turns. The medians are compared, printed and written to ``benchmarks/results/check_time.json``.
Exits 1 when the check of the Compose file of Gemma 4 takes more than 1.5 times as long as
``--help``. Bytecode is cached, as it is in every installed package.
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

from startup import LIBRARIES, RUN_CLI, caching

RESULT = Path(__file__).parent / "results" / "check_time.json"
COMPOSE = """\
services:
  server:
    image: lmsysorg/sglang:v0.5.16
    command:
      - sglang
      - serve
      - --model-path
      - {model}
      - --tp-size
      - "2"
      - --host
      - 0.0.0.0
    ports:
      - "127.0.0.1:30000:30000"
"""
MODELS = {
    "check Gemma 4": "google/gemma-4-26B-A4B-it",
    "check other": "meta-llama/Llama-3.1-8B-Instruct",
}
LIMITS = {"check Gemma 4": 1.5}  # times --help


def commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """The commands to time, their files written to ``folder``."""
    found: dict[str, tuple[str, ...]] = {"--help": (*RUN_CLI, "--help")}
    for number, (name, model) in enumerate(MODELS.items()):
        file = folder / f"{number}.compose.yaml"
        file.write_text(COMPOSE.format(model=model))
        found[name] = (*RUN_CLI, "check", str(file))
    return found


def measure(runs: int, words: Mapping[str, Sequence[str]], folder: Path) -> dict[str, list[float]]:
    """Seconds of each run of each command; a first run of each, which fills caches, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in words}
    for turn in range(runs + 1):
        for name, command in words.items():
            taken = timed(command, caching(str(folder / "bytecode")))
            if turn:
                seconds[name].append(taken)
    return seconds


def timed(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Wall-clock seconds of one Python process, whose output is dropped."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=True)
    return time.perf_counter() - began


def report(seconds: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Medians, ratios, and what they were measured on."""
    medians = {name: median(values) for name, values in seconds.items()}
    ratios = {name: medians[name] / medians["--help"] for name in MODELS}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "architecture": platform.machine(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
        },
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("gemma4ctl", *LIBRARIES)},
        "runs": len(seconds["--help"]),
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = measure(max(1, options.runs), commands(folder), folder)
    found = report(seconds)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    for name, values in seconds.items():
        ratio = median(values) / median(seconds["--help"])
        print(f"{name:<16}{median(values) * 1e3:6.0f} ms {ratio:6.2f} times --help")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
