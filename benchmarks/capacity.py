#!/usr/bin/env python3
"""KV pools as the planner predicts them, and as SGLang reports them.

    capacity.py predict OUT                      needs no GPU: writes OUT/predicted-PLATFORM.json
    capacity.py measure PREDICTED MODELS OUT     starts every case of PREDICTED on this machine
    capacity.py compare PREDICTED OUT            errors, of all cases and of the held-out ones

The predictions are committed before anything is measured. A held-out case is never looked at when
a constant of the memory model is set. ``measure`` starts `sglang serve` with the planned flags and
stops it as soon as its log shows the pools; MODELS holds checkpoints named as on the hub
(``E2B-it``, ...), which may be config-only, since weights are filled in by SGLang.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import gpu_names, write

LONG = ("--context-length", "32768", "--modality", "text")
FP8 = ("--", "--kv-cache-dtype", "fp8_e4m3")
DUMMY = ("--load-format", "dummy", "--grammar-backend", "none")
START_TIMEOUT_S = 150
VARIANTS = ("E2B", "E4B", "12B", "26B-A4B", "31B")
HELD_OUT = {
    "E2B-tp2", "12B-tp2", "31B-long-tp2", "26B-A4B-mtp-tp2", "12B-mtp-tp1", "26B-A4B-mtp-tp1",
    "E4B-fp8-tp1", "31B-fp8-tp1", "26B-A4B-long-tp1", "12B-fp8-tp2", "E4B-long-tp1",
}  # fmt: skip

LINES = {
    "start_gb": re.compile(r"Load weight begin\. avail mem=([\d.]+)"),
    "loaded_gb": re.compile(r"Load weight end\..*avail mem=([\d.]+)"),
    "weights_gb": re.compile(r"Load weight end\..*mem usage=([\d.]+)"),
    "distributed_gb": re.compile(r"Init torch distributed ends\..*mem usage=([\d.]+)"),
    "full_layer_tokens": re.compile(r"full_layer_tokens=(\d+)"),
    "swa_layer_tokens": re.compile(r"swa_layer_tokens=(\d+)"),
    "kv_pools_gb": re.compile(r"SWAKVPool mem usage: ([\d.]+)"),
    "after_pools_gb": re.compile(r"Memory pool end\. avail mem=([\d.]+)"),
}


@dataclass(frozen=True)
class Case:
    """One start: a variant and the options of `gemma4ctl suggest`."""

    variant: str
    kind: str  # "", "long", "fp8", "mtp"
    tp: int

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.variant, self.kind, f"tp{self.tp}")))

    @property
    def options(self) -> list[str]:
        """What `gemma4ctl suggest` gets besides the platform."""
        kind = {"": ["--safe"], "long": [*LONG], "mtp": ["--safe", "--mtp"], "fp8": ["--safe"]}
        after = list(FP8) if self.kind == "fp8" else []
        return ["--model", self.variant, "--tp-size", str(self.tp), *kind[self.kind], *after]


def cases(platform: str) -> Iterator[Case]:
    """All cases of a platform; the largest ones first, for they load longest."""
    for variant in reversed(VARIANTS):
        for kind in ("", "long", "fp8", "mtp"):
            yield Case(variant, kind, 1)
    yield from (Case(variant, "", 2) for variant in reversed(VARIANTS))
    if platform == "H200":
        yield Case("31B", "long", 2)
        yield Case("26B-A4B", "mtp", 2)
        yield Case("12B", "fp8", 2)


def predict(out: Path) -> None:
    """Plan every case for idle cards of both platforms, and write what is expected."""
    for platform in ("H100", "H200"):
        found = [planned(platform, case) for case in cases(platform)]
        document = {"platform": platform, "date": datetime.date.today().isoformat()}
        write(out / f"predicted-{platform}.json", document | {"cases": found})


def planned(platform: str, case: Case) -> dict[str, Any]:
    """The plan of a case, or why there is none."""
    options = case.options
    at = options.index("--") if "--" in options else len(options)
    host = ["--hardware", platform, "--gpus", str(case.tp), "--json"]
    command = ["gemma4ctl", "suggest", *options[:at], *host, *options[at:]]
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    record: dict[str, Any] = {
        "name": case.name, "held_out": case.name in HELD_OUT, "command": command,
    }  # fmt: skip
    if done.returncode:
        return record | {"refused": done.stderr.strip().splitlines()[0]}
    plan = json.loads(done.stdout)
    return record | {"argv": plan["command"]["argv"], "capacity": plan["capacity"]}


def measure(
    predicted: Path, models: Path, out: Path, deadline: float, only: list[str], gpus: list[int]
) -> bool:
    """Start the cases of ``predicted`` that are not in ``out``; whether all are there then."""
    document = json.loads(predicted.read_text())
    end = time.monotonic() + deadline
    names = gpu_names()
    used = gpus or list(range(len(names)))
    open_cases = [
        case for case in document["cases"]
        if "argv" in case and (not only or case["name"] in only) and not is_measured(case, out)
    ]  # fmt: skip
    host = {"gpu_name": names[0], "date": datetime.date.today().isoformat(), **versions()}
    for tp in (1, 2):
        todo: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for case in open_cases:
            if case["name"].endswith(f"tp{tp}"):
                todo.put(case)
        groups = [used[n : n + tp] for n in range(0, len(used) - tp + 1, tp)]
        workers = [
            threading.Thread(target=work, args=(todo, group, models, out, end, host))
            for group in groups
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return all(is_measured(case, out) for case in open_cases)


def is_measured(case: dict[str, Any], out: Path) -> bool:
    """Whether a case has a record."""
    return (out / f"{case['name']}.json").exists()


def work(
    todo: queue.SimpleQueue[dict[str, Any]],
    gpus: list[int],
    models: Path,
    out: Path,
    end: float,
    host: dict[str, Any],
) -> None:
    """Start cases on ``gpus`` until none is left or the time is up."""
    while not todo.empty() and time.monotonic() < end - 30:
        try:
            case = todo.get_nowait()
        except queue.Empty:
            return
        argv = local(case["argv"], models, 30000 + 100 * gpus[0])
        log = out / f"{case['name']}.log"
        seconds = start(argv, gpus, log, min(end, time.monotonic() + START_TIMEOUT_S))
        found = read(log.read_text(errors="replace"))
        record = {"name": case["name"], **host, "argv": argv, "seconds": seconds}
        tokens = found.get("full_layer_tokens")
        if tokens is not None:
            write(out / f"{case['name']}.json", record | {"reported": found})
        last = "" if tokens else log.read_text(errors="replace")[-400:]
        print(case["name"], tokens, f"{seconds:.0f} s", last, flush=True)


def local(argv: list[str], models: Path, port: int) -> list[str]:
    """``argv`` with local weights, a port of its own, and flags for weights that are made up."""
    words = [re.sub(r"^google/gemma-4-(.+)$", rf"{models}/\1", word) for word in argv]
    words[words.index("--port") + 1] = str(port)
    return [*words, *DUMMY]


def start(argv: list[str], gpus: list[int], log: Path, end: float) -> float:
    """Run the server until its pools stand, it ends, or ``end``; the seconds that took."""
    began = time.monotonic()
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
    with log.open("w") as file:
        process = subprocess.Popen(
            argv, stdout=file, stderr=file, env=environment, start_new_session=True
        )
    while process.poll() is None and time.monotonic() < end:
        if "Memory pool end" in log.read_text(errors="replace"):
            break
        time.sleep(0.5)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    wait_idle(gpus)
    return time.monotonic() - began


def wait_idle(gpus: list[int]) -> None:
    """Wait until the driver has taken the memory of ended processes back."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    for _ in range(40):
        done = subprocess.run(query, capture_output=True, text=True, check=True)
        used = [int(line) for line in done.stdout.split()]
        if all(used[gpu] < 700 for gpu in gpus):
            return
        time.sleep(0.25)


def read(log: str) -> dict[str, float]:
    """The figures of a start-up log, each the first of its kind; the second load is the draft's."""
    found: dict[str, float] = {}
    for name, pattern in LINES.items():
        matches = pattern.findall(log)
        if matches:
            found[name] = float(matches[0]) if "." in matches[0] else int(matches[0])
        if name == "weights_gb" and len(set(matches)) > 1:
            found["draft_gb"] = float(next(m for m in matches if m != matches[0]))
    return found


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {f"{name}_version": version(name) for name in ("sglang", "torch")}


def compare(predicted: Path, out: Path) -> None:
    """Print the error of every measured case, and the largest ones."""
    document = json.loads(predicted.read_text())
    worst: dict[bool, float] = {}
    for case in document["cases"]:
        path = out / f"{case['name']}.json"
        reported = json.loads(path.read_text())["reported"] if path.exists() else {}
        if "capacity" not in case or "full_layer_tokens" not in reported:
            print(f"{case['name']:20} {case.get('refused', 'not measured')}")
            continue
        pairs = [
            (case["capacity"][name], reported[name])
            for name in ("full_layer_tokens", "swa_layer_tokens")
        ]
        errors = [guess / fact - 1 for guess, fact in pairs]
        worst[case["held_out"]] = max(
            worst.get(case["held_out"], 0), *(abs(error) for error in errors)
        )
        mark = "held out" if case["held_out"] else ""
        weights = case["capacity"]["weights_mib_per_gpu"] / 1024
        print(
            f"{case['name']:20} {pairs[0][0]:>10,} {pairs[0][1]:>10,} {errors[0]:+.2%} "
            f"{errors[1]:+.2%}  weights {weights:.2f} {reported.get('weights_gb')}  {mark}"
        )
    for held_out, error in worst.items():
        print(f"largest error, {'held out' if held_out else 'others'}: {error:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("predict").add_argument("out", type=Path)
    measuring = actions.add_parser("measure")
    for name in ("predicted", "models", "out"):
        measuring.add_argument(name, type=Path)
    measuring.add_argument("--deadline", type=float, default=3600, metavar="SECONDS")
    measuring.add_argument("--only", nargs="+", default=[], metavar="NAME")
    measuring.add_argument("--gpus", nargs="+", type=int, default=[], metavar="N", help="not all")
    comparing = actions.add_parser("compare")
    comparing.add_argument("predicted", type=Path)
    comparing.add_argument("out", type=Path)
    args = parser.parse_args()
    if args.action == "predict":
        predict(args.out)
    elif args.action == "measure":
        args.out.mkdir(parents=True, exist_ok=True)
        found = measure(args.predicted, args.models, args.out, args.deadline, args.only, args.gpus)
        sys.exit(0 if found else "not everything was measured; call again")
    else:
        compare(args.predicted, args.out)


if __name__ == "__main__":
    main()
