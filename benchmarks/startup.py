#!/usr/bin/env python3
"""How long short commands take, as whole processes: ``python benchmarks/startup.py [--runs N]``.

Three commands run in turns, so that a busy machine slows all alike: the imports of the libraries
that the command line is made of, ``gemma4ctl --help``, and one ``suggest``. The medians are
compared, printed and written to ``benchmarks/results/startup.json``. Exits 1 when ``--help`` takes
longer than the imports or ``suggest`` more than 1.5 times as long. Bytecode is cached, as it is in
every installed package.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from timing import RUN_CLI, caching, measure, options, report, write

RESULT = Path(__file__).parent / "results" / "startup.json"
SUGGEST = ("suggest", "--model", "26B-A4B", "--mtp", "--hardware", "H200", "--json")
COMMANDS: dict[str, tuple[str, ...]] = {
    "imports": ("-c", "import typer, rich, pydantic, yaml, jinja2"),
    "help": (*RUN_CLI, "--help"),
    "suggest": (*RUN_CLI, *SUGGEST),
}
LIMITS = {"help": 1.0, "suggest": 1.5}  # times the imports


def main() -> int:
    asked = options(__doc__.splitlines()[0], RESULT)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(asked.runs, COMMANDS, caching(folder))
    found = report(seconds, base="imports", compared=LIMITS, limits=LIMITS)
    write(found, asked.output)
    print(f"{'command':<10}{'median ms':>10}{'fastest ms':>12}{'ratio':>8}{'limit':>8}")
    for name, values in seconds.items():
        ratio = median(values) / median(seconds["imports"])
        limit = f"{LIMITS[name]:8.1f}" if name in LIMITS else ""
        print(f"{name:<10}{median(values) * 1e3:10.0f}{min(values) * 1e3:12.0f}{ratio:8.2f}{limit}")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
