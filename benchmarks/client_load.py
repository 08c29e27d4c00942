#!/usr/bin/env python3
"""What the built-in client of ``gemma4ctl bench`` costs: ``python benchmarks/client_load.py``.

Asks a stand-in server, in a process of its own, for the page's 1,000 random texts (511 tokens each
on average), 256 at a time and a token of each every 20 ms. Writes the client's processor time
and memory to ``benchmarks/results/client_load.json``. Exits 1 when a request is lost, or the client
uses more than a core or 500 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timing import write

from gemma4ctl import __version__
from gemma4ctl.bench.client import run
from gemma4ctl.bench.summary import summarize
from gemma4ctl.bench.workload import SCENARIOS, prompts
from gemma4ctl.endpoint.address import Endpoint

RESULT = Path(__file__).parent / "results" / "client_load.json"
SERVER = Path(__file__).with_name("stream_server.py")
LIMITS = {"cores": 1.0, "memory_mb": 500.0, "lost": 0}


def measure(requests: int, concurrency: int, step_ms: float) -> dict[str, Any]:
    """Load a server that gives each request a token every ``step_ms``; what that cost here."""
    words = [sys.executable, str(SERVER), str(step_ms)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            return load(Endpoint(f"http://127.0.0.1:{port}"), requests, concurrency)
        finally:
            server.terminate()


def load(endpoint: Endpoint, requests: int, concurrency: int) -> dict[str, Any]:
    workload = SCENARIOS["text-c100"].model_copy(update={"requests": requests})
    asked = list(prompts(workload))
    before = processor_seconds()
    ran = run(endpoint, asked, concurrency=concurrency, model="stand-in")
    used = processor_seconds() - before
    summary = summarize(ran.records, ran.seconds)
    figures = summary.figures()
    complete = sum(
        record.ok and sum(record.tokens) == prompt.output_tokens
        for record, prompt in zip(ran.records, asked, strict=True)
    )
    return {
        "seconds": round(ran.seconds, 2),
        "processor_seconds": round(used, 2),
        "cores": round(used / ran.seconds, 3),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "lost": requests - complete,
        "failed": summary.failed,
        "chunks": sum(len(record.times) for record in ran.records),
        "output_tokens_a_second": round(summary.output_throughput),
        "microseconds_a_chunk": round(1e6 * used / summary.output_tokens, 1),
        "itl_ms": {name: round(figures[f"itl_ms.{name}"], 2) for name in ("mean", "p99")},
    }


def processor_seconds() -> float:
    """Processor time of this process alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--step-ms", type=float, default=20, help="time of a token (default 20)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()
    measured = measure(options.requests, options.concurrency, options.step_ms)
    found = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {"gemma4ctl": __version__, "aiohttp": version("aiohttp")},
        "requests": options.requests,
        "concurrency": options.concurrency,
        "step_ms": options.step_ms,
        **measured,
        "limits": LIMITS,
        "passed": all(measured[name] <= limit for name, limit in LIMITS.items()),
    }
    write(found, options.output)
    print(json.dumps(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
