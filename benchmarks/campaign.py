#!/usr/bin/env python3
"""All measurements that need GPUs, one after another on as many GPUs as the machine has.

    campaign.py list [--on H200]
    campaign.py run MODELS OUT [--only NAME ...] [--deadline SECONDS] [-- FLAGS ...]

Every measurement is a job: a call of one of the scripts of this folder on one or two GPUs. Jobs are
begun in the order of ``list``, or of ``--only`` (names, or beginnings of names), each as soon as a
GPU is free and there is time for it; those that time nothing share a GPU where its memory allows.
MODELS holds checkpoints named as on the hub (``E2B-it``, ...); FLAGS go to all servers, such as
``--load-format dummy``. What a job leaves is in a folder of OUT, what it says in OUT/log/JOB.txt;
OUT/campaign.json says how each ended. A later call with the same OUT runs what is missing or has
failed: the scripts go on where they stopped, and fail where something is missing. Figures of one
job come from one machine, and from one GPU of it where the job takes one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from shared import gpu_gib, gpu_names, split_flags, write

HERE = Path(__file__).parent
PORTS = 500  # a job has so many of its own
FIRST_PORT = 20_000
SLOTS = 20  # jobs at once
MARK = "GEMMA4CTL_CAMPAIGN_LOG"  # names a job of one campaign, also where several run
VARIANTS = ("E2B", "E4B", "12B", "26B-A4B", "31B")
ON_ONE_GPU = "--logs {out}/servers/{name} --port {port} --gpus {gpus}"
# Of model.py, which goes on where an earlier call stopped (model.py estimate): stock and fused, and
# tuned stock, which fits beside them with the first two; 100 at once alone; one tuned stock alone.
SPEED_S = {"E2B": 520, "E4B": 600, "12B": 400, "26B-A4B": 350, "31B": 600}
MANY_S = {"E2B": 110, "E4B": 140, "12B": 170, "26B-A4B": 135, "31B": 320}
TUNED_S = {"12B": 180, "26B-A4B": 210, "31B": 250}
SPARE_S = 10  # of a job's deadline, to end its servers


class Job(NamedTuple):
    """A call of a script. ``seconds``: how long it takes on Hopper, about.

    In ``words``, {models}, {out}, {root} (the repository), {name}, {port}, {gpus}, {gib} and
    {left}, in seconds, are filled in. A job that does not name its GPUs sees only them.
    """

    name: str
    seconds: int
    words: str
    platforms: tuple[str, ...] = ("H100", "H200")
    gpus: int = 1
    flags: bool = True  # whether the script takes flags for its servers
    gib: int = 0  # of a GPU's memory, of a job that may share it; 0: it needs the GPU to itself
    part: int = 0  # seconds worth beginning it for, of a job that a later call goes on with


def jobs() -> Iterator[Job]:
    """All jobs, the most important and longest first."""
    yield from kernel_proofs()
    yield from load_jobs()
    yield from endpoint_jobs()
    yield from capacity_jobs()
    yield from kernel_speeds()


def load_jobs() -> Iterator[Job]:
    """Published flags against plans for a load: a variant on one GPU, or all on two."""
    for variant, seconds in (("12B", 790), ("26B-A4B", 680), ("31B", 750)):
        only = " ".join(f"{variant}-{plan}" for plan in ("page", "long", "mixed", "short"))
        words = f"load.py run {{models}} {{out}}/load --only {only} --gpus {{gpus}}"
        yield Job(
            f"load-{variant}", seconds, f"{words} --deadline {{left}}", ("H200",), flags=False
        )
    words = "load.py run {models} {out}/load --gpus {gpus} --deadline {left}"
    yield Job("loads-on-two", 1_150, words, ("H200",), gpus=2, flags=False, part=400)


def endpoint_jobs() -> Iterator[Job]:
    """``verify``, ``bench``, ``eval``, ``tune`` and ``replan`` on real servers."""
    served = "served.py {name} {{models}} {{out}}/endpoint --port {{port}} --deadline {{left}}"
    for name, seconds, options, gib in (
        ("26B-A4B", 220, "--model 26B-A4B", 62),
        ("12B", 220, "--model 12B", 40),
        ("E2B", 280, "--model E2B --run verify eval", 20),
        ("E2B-mtp", 220, "--model E2B --mtp", 20),
        ("E4B", 220, "--model E4B", 26),
    ):
        words = f"{served.format(name=name)} {options} --pool-tokens 32768"
        yield Job(f"endpoint-{name}", seconds, words, gib=gib)
    words = f"{served.format(name='E2B')} --model E2B --run bench"
    yield Job("bench-E2B", 330, words, ("H200",), part=160)
    tune = "tune_start.py {models} {out}/tune --port {port} --only"
    yield Job("tune-E2B", 540, f"{tune} E2B-32k-tpot --budget 7", ("H200",))
    yield Job("tune-killed", 420, f"{tune} E2B-512-users --budget 4 --kill 90", ("H200",))
    replan = "replan_replay.py {models} {out}/replan-{name} --port {port} --deadline {left}"
    load = "--variant 12B --mix 12000:1500:1 --at-once 32 --requests 96"
    yield Job("replan-12B", 480, f"{replan} {load}", ("H100",))
    load = "--variant 12B --mix 4000:1500:1 --at-once 112 --requests 336"
    yield Job("replan-12B-H200", 500, f"{replan} {load}", ("H200",))


def capacity_jobs() -> Iterator[Job]:
    """Starts of the planned commands, and KV pools against predictions."""
    start = "starts.py {models} {out}/starts --port {port} --deadline {left} --only"
    for variant in reversed(VARIANTS):
        yield Job(f"start-{variant}", 90, f"{start} {variant}-tp1", ("H100",))
    yield Job("start-26B-A4B-mtp-tp2", 170, f"{start} 26B-A4B-mtp-tp2", gpus=2)
    predicted = "benchmarks/results/capacity/predicted-H100.json"
    measure = f"capacity.py measure {{root}}/{predicted} {{models}} {{out}}/capacity"
    for case in json.loads((HERE.parent / predicted).read_text())["cases"]:
        if "argv" in case:
            words = f"{measure} --gpus {{gpus}}"
            name, tp = case["name"], 2 if case["name"].endswith("tp2") else 1
            yield Job(
                f"pools-{name}", 60, f"{words} --only {name} --deadline {{left}}", ("H100",), tp,
                flags=False,
            )  # fmt: skip


def kernel_proofs() -> Iterator[Job]:
    """Whether the fused kernels are right."""
    chain = "kernels/check.py chain --out {out}/kernels/check-chain.json"
    yield Job("kernels-chain", 60, chain, flags=False, gib=12)
    for name, variants in (("small", "E2B,E4B"), ("large", "12B,26B-A4B,31B")):
        words = f"kernels/check.py run --variants {variants} --seconds 170"
        out = f"--out {{out}}/kernels/check-{name}.json"
        yield Job(f"kernels-check-{name}", 180, f"{words} {out}", flags=False, gib=8)
    tests = "-m pytest -q -n 8 -p no:cacheprovider {root}/tests/sglang_model/kernels"
    yield Job("kernels-tests", 120, tests, flags=False, gib=24)
    run = f"kernels/compare_servers.py run {{models}} {{out}}/answers {ON_ONE_GPU}"
    for case, seconds, gib in (
        ("E4B", 120, 48), ("12B", 120, 76), ("31B", 220, 136), ("26B-A4B", 160, 122),
        ("E2B", 120, 36), ("E4B-mtp", 200, 50), ("12B-mtp", 200, 80), ("31B-mtp", 300, 136),
        ("26B-A4B-mtp", 220, 124), ("E2B-mtp", 200, 36),
        ("E2B-tp2", 200, 26), ("26B-A4B-tp2", 240, 74),
    ):  # fmt: skip
        words = f"{run} --deadline {{left}} --memory {{gib}} --contenders stock fused --cases"
        tp = 2 if case.endswith("tp2") else 1
        yield Job(f"kernels-answers-{case}", seconds, f"{words} {case}", gpus=tp, gib=gib)
    for variant, seconds, gib in (("E2B", 140, 50), ("26B-A4B", 240, 0)):
        words = f"{run} --deadline {{left}} --memory {{gib}} --contenders broken-residual"
        words += f" broken-scalar broken-slot --cases {variant}"
        yield Job(f"kernels-controls-{variant}", seconds, words, gib=gib)
    certify = "kernels/certify_start.py {models} {out}/kernels"  # loads files: no dummy weights
    flags = "-- --grammar-backend none --mm-attention-backend triton_attn"
    yield Job("kernels-certify-E2B", 240, f"{certify} {flags}", flags=False)
    words = "kernels/container_start.py {models} {out}/kernels --port {port} --variant"
    for variant in VARIANTS:
        yield Job(f"kernels-container-{variant}", 90, f"{words} {variant}")


def kernel_speeds() -> Iterator[Job]:
    """How fast the fused kernels are."""
    bandwidth = "kernels/roofline.py bandwidth {out}/kernels"
    yield Job("kernels-bandwidth", 20, bandwidth, flags=False)
    words = "kernels/micro.py decode {out}/kernels --rows 100 --seconds 250"
    every = "--variants 26B-A4B,E4B,E2B,12B,31B"
    yield Job("kernels-decode-tiles", 270, f"{words} {every}", flags=False)
    words = "kernels/micro.py decode {out}/kernels/paired --rows 100 --seconds 110"
    paired = "--variants 26B-A4B,31B --kinds sliding"  # two heads share KV (12B: same)
    yield Job("kernels-decode-paired", 130, f"{words} {paired}", flags=False)
    for variant in VARIANTS:
        words = f"kernels/micro.py tune {{out}}/tiles-{variant} --variants {variant} --rows 1,8"
        yield Job(f"kernels-tiles-{variant}", 190, f"{words} --seconds 170", flags=False)
    run = f"kernels/model.py run {{models}} {{out}}/kernels {ON_ONE_GPU} --deadline {{left}}"
    for variant, seconds in SPEED_S.items():
        words = f"{run} --variants {variant} --measures c1 p64 padded profile c100"
        untuned = "" if variant not in TUNED_S else " --contenders stock fused"
        yield Job(f"kernels-speed-{variant}", seconds, f"{words}{untuned}", part=250)
    for variant, seconds in MANY_S.items():
        words = f"{run} --variants {variant} --measures profile c100 --campaign many"
        yield Job(f"kernels-many-{variant}", seconds, f"{words} --contenders stock fused", part=150)
    for variant, kind in product(TUNED_S, ("splits-16", "compile")):
        words = f"{run} --variants {variant} --measures c1 --contenders fused stock-{kind}"
        words += f" --campaign {kind.removesuffix('-16')}"
        yield Job(f"kernels-tuned-{variant}-{kind}", TUNED_S[variant], words)
    for variant in VARIANTS:
        words = f"{run} --variants {variant} --contenders stock fused --measures start"
        yield Job(f"kernels-start-{variant}", 250, f"{words} --campaign start", part=130)
    eager = "stock fused fused-eager --measures p64 p610 p2048 padded --pairs 3 --campaign prefill"
    for variant, seconds in (("E2B", 100), ("E4B", 110), ("12B", 230)):
        words = f"{run} --variants {variant} --contenders {eager}"
        yield Job(f"kernels-prefill-{variant}", seconds, words, part=100)
    run = f"kernels/step_profile.py run {{models}} {{out}}/many {ON_ONE_GPU} --deadline {{left}}"
    for variant in VARIANTS:
        words = f"{run} --variants {variant} --batches 100"
        yield Job(f"kernels-profile-{variant}", 220 if variant == "31B" else 120, words)
    for variant in ("E2B", "E4B"):
        words = f"kernels/kv_capacity.py run {{models}} {{out}}/kernels {ON_ONE_GPU}"
        yield Job(f"kernels-kv-{variant}", 300, f"{words} --variants {variant} --deadline {{left}}")


class Campaign:
    """The jobs of one call, and the GPUs that are free."""

    def __init__(
        self, args: argparse.Namespace, gpus: Sequence[str], memory: Sequence[float]
    ) -> None:
        self.args, self.path = args, args.out / "campaign.json"
        self.end = time.monotonic() + args.deadline
        self.memory = memory
        self.running: dict[Job, list[int]] = {}  # on which GPUs
        self.ports = list(range(FIRST_PORT, FIRST_PORT + PORTS * SLOTS, PORTS))
        self.record: dict[str, Any] = (
            json.loads(self.path.read_text()) if self.path.exists() else {"jobs": {}}
        )
        self.record |= {"gpus": list(gpus), "flags": args.flags}
        wanted = [job for job in asked(args.only) if any(n in gpus[0] for n in job.platforms)]
        done = {name for name, found in self.record["jobs"].items() if found["status"] == 0}
        self.todo = [job for job in wanted if job.name not in done]
        self.changed = threading.Condition()

    def run(self) -> None:
        """Run all jobs that there is time for."""
        threads = []
        with self.changed:
            while True:
                job = self.next()
                if job is not None:
                    used = self.running[job] = self.fitting(job)[: job.gpus]
                    self.todo.remove(job)
                    work = (job, used, self.ports.pop(0))
                    threads.append(threading.Thread(target=self.work, args=work))
                    threads[-1].start()
                elif any(thread.is_alive() for thread in threads):
                    self.changed.wait(1)
                else:
                    return

    def next(self) -> Job | None:
        """The first job that there is a GPU and time for."""
        left = self.end - time.monotonic()
        fits = (job for job in self.todo if len(self.fitting(job)) >= job.gpus)
        return next((job for job in fits if self.ports and (job.part or job.seconds) < left), None)

    def fitting(self, job: Job) -> list[int]:
        """The GPUs that a job can be begun on now."""
        found = []
        for gpu, memory in enumerate(self.memory):
            beside = [other for other, used in self.running.items() if gpu in used]
            shared = job.gib and all(other.gib for other in beside)
            if not beside or (shared and sum(o.gib for o in beside) + job.gib <= memory):
                found.append(gpu)
        return found

    def work(self, job: Job, gpus: list[int], port: int) -> None:
        """Run a job, record how it ended, and give its GPUs and ports back."""
        began = time.monotonic()
        words = self.words(job, gpus, port)
        log = self.args.out / "log" / f"{job.name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, MARK: str(log)}
        if "{gpus}" not in job.words:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        with log.open("a") as said:
            try:
                status = subprocess.run(
                    words, stdout=said, stderr=said, env=environment, cwd=self.args.out,
                    timeout=max(1.0, self.end - time.monotonic()),
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                status = 124
        end_processes(log)
        seconds = round(time.monotonic() - began)
        print(f"{job.name} on {gpus}: status {status} after {seconds} s", flush=True)
        with self.changed:
            date = datetime.now(timezone.utc).isoformat(timespec="seconds")
            found = {"status": status, "seconds": seconds, "command": words, "ended": date}
            self.record["jobs"][job.name] = found
            write(self.path, self.record)
            del self.running[job]
            self.ports.append(port)
            self.changed.notify()

    def words(self, job: Job, gpus: list[int], port: int) -> list[str]:
        """The command of a job."""
        left = int(self.end - time.monotonic() - SPARE_S)
        values = {
            "models": self.args.models, "out": self.args.out, "root": HERE.parent,
            "name": job.name, "left": left, "port": port, "gib": job.gib,
        }  # fmt: skip
        script, *options = job.words.split()
        filled = [
            str(gpu) for word in options for gpu in (gpus if word == "{gpus}" else [word])
        ]  # fmt: skip
        program = [sys.executable, script if script == "-m" else str(HERE / script)]
        flags = ["--", *self.args.flags] if job.flags else []
        return [*program, *(word.format(**values) for word in filled), *flags]


def asked(words: Sequence[str]) -> list[Job]:
    """The jobs of ``words``, in their order: one of that name, or all whose names begin so."""
    every = {job.name: job for job in jobs()}
    names = [
        name for word in words or [""]
        for name in ([word] if word in every else every) if name.startswith(word)
    ]  # fmt: skip
    return [every[name] for name in dict.fromkeys(names)]


def end_processes(log: Path) -> None:
    """End what the job of a log has left: its servers are process groups of their own."""
    mark = f"{MARK}={log}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is another user's


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    listing, running = actions.add_parser("list"), actions.add_parser("run")
    listing.add_argument("--on", default="", metavar="GPU")
    running.add_argument("models", type=Path, metavar="MODELS")
    running.add_argument("out", type=Path, metavar="OUT")
    running.add_argument("--only", nargs="+", default=[], metavar="NAME")
    running.add_argument("--deadline", type=float, default=3600, metavar="SECONDS")
    own, flags = split_flags(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    if args.action == "list":
        for job in jobs():
            if not args.on or args.on in job.platforms:
                print(f"{job.name:28} {job.seconds:4} s  {job.gpus} of {', '.join(job.platforms)}")
        return
    args.models, args.out = args.models.resolve(), args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    Campaign(args, gpu_names(), gpu_gib()).run()


if __name__ == "__main__":
    main()
