#!/usr/bin/env python3
"""Serve a variant on this machine, and run the scripts that need a server against it.

    served.py NAME MODELS OUT --model VARIANT [--mtp] [--port N] [--deadline SECONDS]
              [--pool-tokens N] [--run verify bench eval ...] [-- FLAGS ...]

The server is started with ``gemma4ctl serve``, with metrics and the report of cached tokens;
MODELS holds checkpoints named as on the hub (``E2B-it``, ...). With ``--pool-tokens``, its KV pools
hold no more, so that others can share the GPU. In OUT/NAME, each script leaves its
results: ``verify`` (verify_endpoint.py), ``bench`` (bench_agreement.py), and ``eval``
(eval_endpoint.py). A later call goes on where an earlier one stopped. Exits 1 when a
script failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from serving import serving
from shared import pools_beside_others, split_flags

HERE = Path(__file__).parent
SCRIPTS = {
    "verify": ("verify_endpoint.py", ("--timeout", "100")),
    "bench": ("bench_agreement.py", ()),
    "eval": ("eval_endpoint.py", ()),
}
FLAGS = ("--enable-metrics", "--enable-cache-report")


def run(name: str, url: str, out: Path, end: float) -> int:
    """Run one script against ``url``; its exit status, 124 where it took too long."""
    script, options = SCRIPTS[name]
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, str(HERE / script), url, str(folder), *options]
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    with (out / f"{name}.txt").open("w") as said:
        try:
            done = subprocess.run(
                words, stdout=said, stderr=said, timeout=max(1.0, end - time.monotonic()),
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 124
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--model", required=True, metavar="VARIANT")
    parser.add_argument("--mtp", action="store_true")
    parser.add_argument("--port", type=int, default=30700)
    parser.add_argument("--deadline", type=float, default=1200, metavar="SECONDS")
    parser.add_argument("--pool-tokens", type=int, metavar="N")
    parser.add_argument("--run", nargs="+", choices=SCRIPTS, default=["verify"])
    own, flags = split_flags(sys.argv[1:])
    args = parser.parse_args(own)
    end = time.monotonic() + args.deadline
    out = (args.out / args.name).resolve()
    out.mkdir(parents=True, exist_ok=True)
    options = [
        "--model", args.model, "--model-path", str(args.models / f"{args.model}-it"),
        "--tp-size", "1", "--port", str(args.port), *(["--mtp"] if args.mtp else []),
    ]  # fmt: skip
    if args.pool_tokens:
        flags += pools_beside_others(args.pool_tokens)
    found = {}
    with serving(out, "server", options, [*FLAGS, *flags]):
        for name in args.run:
            began = time.monotonic()
            found[name] = run(name, f"http://127.0.0.1:{args.port}", out, end)
            print(args.name, name, found[name], f"{time.monotonic() - began:.0f} s", flush=True)
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
