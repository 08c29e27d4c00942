#!/usr/bin/env python3
"""``gemma4ctl tune`` on this machine's GPU, for loads where settings are known to matter.

    tune_start.py MODELS OUT [--only NAME ...] [--budget MINUTES] [--kill SECONDS] [-- FLAGS ...]

MODELS holds checkpoints named as on the hub (``E2B-it``, ``E2B-it-assistant``, ...); FLAGS go to
SGLang, such as ``--load-format dummy``. State and profile table of the searches are in OUT, so the
user's own stay as they are. A case that is in OUT already is not searched again.

Each case: search; then ask ``gemma4ctl suggest`` for a plan and see whether it has the winner's
settings. With ``--kill`` the search gets SIGKILL after so many seconds and is then resumed; what
still runs on the GPU 20 seconds after the kill is recorded.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from serving import CLI
from shared import split_flags

AFTER_KILL_S = 20
SPARE_S = 240  # for the last trial to end, beyond the budget
PORT = "30500"
GPU = os.environ.get("CUDA_VISIBLE_DEVICES")  # one of several: the others' processes are not ours

# variant, metric, tokens in and out, requests at once, and what is expected to matter
CASES: dict[str, tuple[str, str, int, int, int, tuple[str, ...]]] = {
    "E2B-32k-tpot": ("E2B", "tpot", 32_000, 128, 1, ()),  # attention KV splits
    "E4B-32k-tpot": ("E4B", "tpot", 32_000, 128, 1, ()),
    "12B-32k-tpot": ("12B", "tpot", 32_000, 128, 1, ()),
    "E2B-512-users": ("E2B", "output-throughput", 512, 256, 512, ()),  # CUDA graphs
    "E2B-1k-64": ("E2B", "output-throughput", 1_024, 256, 64, ()),
    "E2B-mtp-tpot": ("E2B", "tpot", 1_024, 256, 1, ("--mtp",)),  # drafts; random weights reject
}


def command(name: str, args: argparse.Namespace, *more: str) -> list[str]:
    """The search of a case."""
    variant, metric, tokens_in, tokens_out, users, options = CASES[name]
    return [
        *CLI, "tune", *plan_options(variant, args.models, options), "--runtime", "local",
        "--port", args.port, "--metric", metric, "--budget", str(args.budget), "--json",
        "--input-tokens", str(tokens_in), "--output-tokens", str(tokens_out),
        "--concurrency", str(users), *more, "--", *args.flags,
    ]  # fmt: skip


def plan_options(variant: str, models: Path, options: tuple[str, ...]) -> list[str]:
    """The options that name what is served."""
    return ["--model", variant, "--model-path", str(models / f"{variant}-it"), *options]


def environment(folder: Path) -> dict[str, str]:
    """State and configuration in ``folder``."""
    return {
        **os.environ,
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


def run(words: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """Run a command; its status and output. Its messages go to ``messages.txt``."""
    with (folder / "messages.txt").open("a") as messages:
        done = subprocess.run(
            words, env=environment(folder), stdout=subprocess.PIPE, stderr=messages, text=True,
            timeout=seconds,
        )  # fmt: skip
    return done.returncode, done.stdout


def killed(words: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """Kill a search after ``seconds``; what it left on the GPU."""
    before = gpu_processes()
    with (folder / "messages.txt").open("a") as messages:
        search = subprocess.Popen(
            words, env=environment(folder), stdout=subprocess.DEVNULL, stderr=messages
        )
        time.sleep(seconds)
        during = gpu_processes()
        search.send_signal(signal.SIGKILL)
        search.wait()
    time.sleep(AFTER_KILL_S)
    return {"before": before, "during": during, "after": gpu_processes()}


def gpu_processes() -> list[str]:
    """The processes on the GPUs that are used, with their memory."""
    words = [
        "nvidia-smi",
        *(["-i", GPU] if GPU else []),
        "--query-compute-apps=pid,used_memory",
        "--format=csv,noheader",
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line.strip()]


def suggested(name: str, args: argparse.Namespace, folder: Path) -> list[str]:
    """The command that ``suggest`` gives after the search, for the same load."""
    variant, _, tokens_in, tokens_out, users, options = CASES[name]
    words = [
        *CLI, "suggest", *plan_options(variant, args.models, options), "--json",
        "--port", args.port, "--concurrency", str(users),
        "--request-tokens", str(tokens_in + tokens_out),
    ]  # fmt: skip
    _, out = run([*words, "--", *args.flags], folder, 60)
    return json.loads(out)["command"]["argv"] if out else []


def case(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Search once; the record of it."""
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"name": name, "command": command(name, args)}
    record["date"] = datetime.date.today().isoformat()
    limit = args.budget * 60 + SPARE_S
    if args.kill:
        record["kill"] = killed(command(name, args), folder, args.kill)
    more = ("--resume",) if args.kill else ()
    began = time.monotonic()
    record["exit_status"], out = run(command(name, args, *more), folder, limit)
    record["seconds"] = round(time.monotonic() - began, 1)
    record["result"] = result = json.loads(out) if out.strip() else None
    if result:
        argv = suggested(name, args, folder)
        record["suggested"] = argv
        record["suggest_uses_it"] = all(value in argv for value in result["settings"].values())
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--budget", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--port", default=PORT)
    parser.add_argument("--kill", type=float, default=0, metavar="SECONDS")
    own, flags = split_flags(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    args.out = args.out.resolve()
    for name in args.only:
        path = args.out / f"{name}.json"
        if path.exists():
            continue
        record = case(name, args)
        path.write_text(json.dumps(record, indent=1) + "\n")
        result = record["result"] or {}
        verdict = result.get("verdict") or {}
        print(name, record["exit_status"], result.get("settings"), verdict.get("gain"), flush=True)
        if record["exit_status"]:
            path.rename(path.with_suffix(".failed"))
            sys.exit(f"{name}: see {path.with_suffix('.failed')} and {args.out / name}")


if __name__ == "__main__":
    main()
