#!/usr/bin/env python3
"""How long a check takes, as whole processes: ``python benchmarks/check_time.py [--runs N]``.

``gemma4ctl --help`` and checks of constructed Compose files, of Gemma 4 and of another model, run
in turns. The medians are compared, printed and written to ``benchmarks/results/check_time.json``.
Exits 1 when the check of the Compose file of Gemma 4 takes more than 1.5 times as long as
``--help``. Bytecode is cached, as it is in every installed package.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from timing import RUN_CLI, caching, measure, options, report, write

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
    "check Gemma 4": "google/gemma-4-12B-it",
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


def main() -> int:
    asked = options(__doc__.splitlines()[0], RESULT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = caching(str(folder / "bytecode"))
        seconds = measure(asked.runs, commands(folder), environment)
    found = report(seconds, base="--help", compared=MODELS, limits=LIMITS)
    write(found, asked.output)
    for name, values in seconds.items():
        ratio = median(values) / median(seconds["--help"])
        print(f"{name:<16}{median(values) * 1e3:6.0f} ms {ratio:6.2f} times --help")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
