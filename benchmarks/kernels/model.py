#!/usr/bin/env python3
"""Whole models on stock, tuned stock and fused servers, in turn on one machine.

    model.py run MODELS OUT [--variants V ...] [--contenders C ...] [--measures M ...] [-- FLAGS]
    model.py compare OUT [RESULTS]     the table; RESULTS gets one file a variant and metric
    model.py estimate                  seconds that each variant takes on this machine's GPUs

MODELS holds checkpoints named as on the hub (``E2B-it``, ...); FLAGS go to all servers, such as
``--load-format dummy``. Every GPU works on a variant of its own. As many servers as fit stay on a
GPU, one working and the others idle; where only one fits they are started in turn, each for the
last half of a pair and the first half of the next (A, B B, A A, B). All have KV pools of the same
number of tokens, enough for the load. Measures:

  c1     one request at a time, 610 tokens in and 422 out: TPOT, TTFT
  c100   100 requests at once, 512 in and 512 out: output throughput, TTFT
  profile  launches and busy time of a decode step, as step_profile.py takes them
  start  seconds from the start of a server to its first good answer, alone on the GPU, with the
         kernels compiled before

A record is written after every measurement. A pair is only begun when there is time for all of
it, and counts only when all of it was measured in one call; a later call with the same OUT adds
the missing ones. OUT/VARIANT-GPU-CAMPAIGN.json: a campaign is a set of contenders (tuned stock is
best compared in one of its own, ``--campaign tuned --contenders fused stock-splits-16 ...``).
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import results
import servers
import step_profile
from shared import split_flags, write
from sizes import VARIANTS, size

from gemma4ctl.bench.measure import measure
from gemma4ctl.bench.workload import Workload
from gemma4ctl.errors import Gemma4ctlError


class Seconds(NamedTuple):
    """How long things take on an H100, about; ``cold``: more for the first start on a machine."""

    start: int
    c1: int
    c100: int
    cold: int = 65


SECONDS = {
    "E2B": Seconds(start=45, c1=12, c100=22),
    "E4B": Seconds(start=50, c1=16, c100=30),
    "26B-A4B": Seconds(start=70, c1=16, c100=55),
    "12B": Seconds(start=55, c1=28, c100=35),
    "31B": Seconds(start=80, c1=36, c100=130),
}
COMPILE_S = 120  # more for torch.compile
# Requests of c1 and of c100: fewer where they take long.
REQUESTS = {"12B": (6, 100), "31B": (3, 100)}
RUNNING = 128  # requests a server runs at most: the table of their tokens would take 2 GiB else
LOADS = ("c1", "c100")
MEASURES = (*LOADS, "profile", "start")
POOL_TOKENS = {"c1": 4_096, "c100": 110_000, "profile": 4_096, "start": 4_096}
PROFILE_S = 20
BOTH = ("stock", "fused")
LONGEST_FIRST = ("31B", "26B-A4B", "12B", "E4B", "E2B")


def workload(variant: str, name: str) -> Workload:
    """What c1 or c100 asks of a server; all lengths are fixed."""
    one, many = REQUESTS.get(variant, (6, 300))
    given, asked, requests, at_once = {"c1": (610, 422, one, 1), "c100": (512, 512, many, 100)}[
        name
    ]
    return Workload(
        name=name, input_tokens=given, output_tokens=asked, range_ratio=1.0, requests=requests,
        concurrency=min(at_once, requests),
    )  # fmt: skip


class OutOfTimeError(Exception):
    """There is no time for the next pair."""


class Match:
    """The contenders of one variant on one GPU."""

    def __init__(self, variant: str, args: argparse.Namespace, gpu: servers.Gpu) -> None:
        self.variant, self.args, self.gpu = variant, args, gpu
        self.contenders = [servers.CONTENDERS[name] for name in args.contenders]
        self.measures = [name for name in args.measures if name in LOADS]
        self.tokens = tokens(args.measures)
        self.size = size(variant, self.tokens)
        self.room = servers.fitting(gpu, self.size)
        self.running: dict[str, servers.Server] = {}
        self.end = time.monotonic() + args.deadline
        self.path = args.out / f"{variant}-{gpu.short}-{args.campaign}.json"
        self.record = results.read(self.path) or {
            "variant": variant, "gpu": gpu.name, "runs": [], "servers": [], "failures": [],
        }  # fmt: skip
        args.logs.mkdir(parents=True, exist_ok=True)
        self.session = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")

    def play(self) -> None:
        """Measure what is missing, as far as the time goes."""
        try:
            for number in range(1, self.args.pairs + 1):
                self.round(number)
            if "profile" in self.args.measures:
                self.profiles()
            if "start" in self.args.measures:
                self.starts()
        except OutOfTimeError as reason:
            self.say(f"no time for {reason}; call again")
        finally:
            for server in self.running.values():
                server.stop()

    def done(self) -> bool:
        """Whether everything that was asked for is recorded."""
        names = [contender.name for contender in self.contenders]
        return (
            names == list(self.args.contenders)
            and all(map(self.is_complete, range(1, self.args.pairs + 1)))
            and ("profile" not in self.args.measures or not self.unprofiled())
            and ("start" not in self.args.measures or not self.lacking())
        )

    def is_complete(self, number: int) -> bool:
        """Whether a round has all its runs."""
        names = [contender.name for contender in self.contenders]
        runs = self.record["runs"]
        return not self.measures or results.complete(runs, number, names, self.measures)

    def round(self, number: int) -> None:
        """Every contender once, those that run already first, so that the order alternates."""
        if self.is_complete(number):
            return
        todo = [
            (contender, name) for contender in self.order(number) for name in self.measures
            if not results.measured(self.record["runs"], self.session, number, contender.name, name)
        ]  # fmt: skip
        self.check_time(f"round {number}", self.round_seconds(todo))
        for contender, name in todo:
            server = self.server(contender)
            try:
                if server is not None:
                    self.measure(server, number, name)
            except (Gemma4ctlError, OSError) as error:
                self.fail(contender, str(error))

    def order(self, number: int) -> list[servers.Contender]:
        """The contenders of a round; every other one begins at the other end."""
        ordered = self.contenders if number % 2 else self.contenders[::-1]
        return sorted(ordered, key=lambda contender: contender.name not in self.running)

    def round_seconds(self, todo: Iterable[tuple[servers.Contender, str]]) -> float:
        """How long the measurements take, with the starts they need."""
        todo = list(todo)
        absent = {found for found, _ in todo if found.name not in self.running}
        takes = SECONDS[self.variant]
        runs: list[float] = [getattr(takes, name) for _, name in todo]
        starts = [self.start_seconds(contender) for contender in absent]
        beside = len(self.contenders) <= self.room
        return (max(starts, default=0) if beside else sum(starts)) + sum(runs)

    def start_seconds(self, contender: servers.Contender) -> float:
        """How long a start takes."""
        takes = SECONDS[self.variant]
        compiles = COMPILE_S if "--enable-torch-compile" in contender.flags else 0
        if self.marker(contender).exists():
            return takes.start + compiles
        first = not any(self.args.logs.glob(f"started-{self.variant}-*"))
        return takes.start + compiles + (takes.cold if first else takes.cold // 4)

    def check_time(self, what: str, seconds: float) -> None:
        left = self.end - time.monotonic()
        if left < seconds:
            raise OutOfTimeError(f"{what} ({seconds:.0f} s, {left:.0f} s are left)")

    def server(self, contender: servers.Contender) -> servers.Server | None:
        """A contender's server, started where it does not run; None where it failed."""
        if contender in self.contenders and contender.name not in self.running:
            self.start(self.fitting(contender))
        return self.running.get(contender.name)

    def fitting(self, contender: servers.Contender) -> list[servers.Contender]:
        """What is started for a contender: where there is room, the others too.

        Servers make room for it, the one that runs longest first.
        """
        while len(self.running) >= self.room:
            self.release(next(iter(self.running)))
        absent = [found for found in self.contenders if found.name not in self.running]
        absent.sort(key=lambda found: found is not contender)
        return absent[: self.room - len(self.running)]

    def start(self, wanted: Sequence[servers.Contender]) -> None:
        """Start servers side by side, and record them or how they failed."""
        gpu = servers.gpus()[self.gpu.index]
        flags = [
            *servers.pool_flags(gpu, self.size, self.tokens, self.room),
            "--max-running-requests", str(RUNNING), *self.args.flags,
        ]  # fmt: skip
        for contender in wanted:
            place = servers.Place(
                self.args.models / f"{self.variant}-it", gpu,
                self.args.port + 100 * gpu.index + list(servers.CONTENDERS).index(contender.name),
                self.args.logs / f"{self.variant}-{contender.name}-{gpu.index}.log",
            )  # fmt: skip
            self.running[contender.name] = servers.Server(contender, place, flags)
        for contender in wanted:
            try:
                self.running[contender.name].must_be_ready(self.end)
                self.started(contender)
            except (Gemma4ctlError, OSError) as error:
                self.fail(contender, str(error))

    def started(self, contender: servers.Contender) -> None:
        """Record a start."""
        server = self.running[contender.name]
        others = [name for name in self.running if name != contender.name]
        cold = not self.marker(contender).exists()
        self.marker(contender).touch()
        about = {"contender": contender.name, "session": self.session, "cold": cold}
        self.record["servers"].append({**about, "beside": others, **server.facts()})
        self.write()
        self.say(f"{contender.name} ready after {server.seconds_to_ready} s")

    def measure(self, server: servers.Server, number: int, name: str) -> None:
        """One run of a workload; all contents of a round are the same, and new to every cache."""
        load = workload(self.variant, name)
        began, before = time.monotonic(), server.retractions()
        found = measure(
            server.endpoint, load, model="default", api="generate", warmup=load.concurrency,
            turn=number,
        )  # fmt: skip
        figures = {name: round(value, 4) for name, value in found.summary.figures().items()}
        self.record["runs"].append({
            "session": self.session, "round": number, "measure": name,
            "contender": server.contender.name, "started": found.started,
            "requests": load.requests, "failed": found.summary.failures,
            "retractions": server.retractions() - before, "figures": figures,
        })  # fmt: skip
        self.write()
        self.say(
            f"round {number} {name} {server.contender.name}: "
            f"TPOT {figures['tpot_ms.mean']:.3f} ms, {figures['output_throughput']:.1f} tok/s, "
            f"TTFT {figures['ttft_ms.mean']:.1f} ms, "
            f"{time.monotonic() - began:.0f} s"
        )

    def profiles(self) -> None:
        """A decode step of every contender, as ``step_profile.py`` records it."""
        path = step_profile.record_path(self.args.out, self.variant, self.gpu)
        record = step_profile.opened(path, self.variant)
        for contender in self.unprofiled():
            absent = contender.name not in self.running
            self.check_time("a profile", PROFILE_S + absent * self.start_seconds(contender))
            server = self.server(contender)
            try:
                if server is not None:
                    step_profile.note(record, server, 1, self.args.logs)
                    write(path, record | servers.host(self.gpu))
            except (Gemma4ctlError, OSError, ValueError) as error:
                self.fail(contender, f"profile: {error}")

    def unprofiled(self) -> list[servers.Contender]:
        """The contenders without a profile, those that run first."""
        path = step_profile.record_path(self.args.out, self.variant, self.gpu)
        record = step_profile.opened(path, self.variant)
        return [c for c in self.order(1) if step_profile.missing(record, c.name, [1])]

    def lacking(self) -> list[servers.Contender]:
        """The contenders without enough warm starts."""
        return [c for c in self.contenders if self.warm_starts(c) < self.args.pairs]

    def starts(self) -> None:
        """Start the contenders alone, in turn, until there are enough warm starts of each."""
        while lacking := self.lacking():
            for contender in lacking:
                self.check_time("a start", self.start_seconds(contender))
                for name in list(self.running):
                    self.release(name)
                self.start([contender])

    def warm_starts(self, contender: servers.Contender) -> int:
        return len(results.warm_starts(self.record["servers"], contender.name))

    def fail(self, contender: servers.Contender, reason: str) -> None:
        """Record why a contender cannot go on, and go on without it."""
        self.contenders.remove(contender)
        server = self.running.get(contender.name)
        failure: dict[str, Any] = {
            "contender": contender.name,
            "session": self.session,
            "reason": reason,
        }
        if server is not None:
            failure |= {"command": server.argv, "log": server.last_lines()}
            self.release(contender.name)
        self.record["failures"].append(failure)
        self.write()
        self.say(f"{contender.name} failed: {reason}", *failure.get("log", [])[-6:])

    def release(self, name: str) -> None:
        self.running.pop(name).stop()

    def marker(self, contender: servers.Contender) -> Path:
        """A file that is there once a contender was started on this machine."""
        folder: Path = self.args.logs
        return folder / f"started-{self.variant}-{contender.name}"

    def write(self) -> None:
        about = {**servers.host(self.gpu), "room": self.room, "flags": self.args.flags}
        write(self.path, self.record | about | {"date": self.session[:10]})

    def say(self, *lines: str) -> None:
        print(f"[{self.gpu.index} {self.variant}]", *lines, sep="\n  " if lines[1:] else " ")
        sys.stdout.flush()


def run(args: argparse.Namespace) -> bool:
    """Play every variant, on all GPUs of this machine or on those of ``--gpus``.

    Returns:
        Whether everything that was asked for is recorded.
    """
    end = time.monotonic() + args.deadline
    if args.child:
        gpu = servers.gpus()[args.gpus[0]]
        (variant,) = args.variants
        match = Match(variant, args, gpu)
        match.play()
        return match.done()
    servers.clear(args.logs)
    found: list[int] = []

    def work(variant: str, gpu: servers.Gpu) -> None:
        words = child(args, variant, gpu.index, end - time.monotonic())
        found.append(subprocess.run([*words, "--", *args.flags], check=False).returncode)

    servers.spread(args.variants, work, args.gpus)
    return not any(found)


def child(args: argparse.Namespace, variant: str, gpu: int, left: float) -> list[str]:
    """The command of a process of its own for one variant: clients must not share a thread."""
    return [
        sys.executable, __file__, "run", str(args.models), str(args.out), "--variants", variant,
        "--child", "--gpus", str(gpu), "--deadline", str(left), "--contenders", *args.contenders,
        "--measures", *args.measures, "--pairs", str(args.pairs), "--campaign", args.campaign,
        "--logs", str(args.logs), "--port", str(args.port),
    ]  # fmt: skip


def tokens(measures: Iterable[str]) -> int:
    """Tokens that the KV pools hold for these measures."""
    return max(POOL_TOKENS[name] for name in measures)


def estimate(variant: str, args: argparse.Namespace, gpu: servers.Gpu) -> str:
    """How many servers fit, and how long all pairs of a variant take."""
    takes, count = SECONDS[variant], len(args.contenders)
    fit = servers.fitting(gpu, size(variant, tokens(args.measures)))
    starts = 1 if fit >= count else (count - 1) * args.pairs + 1
    each = sum(getattr(takes, name) for name in args.measures if name in LOADS)
    seconds = takes.cold + starts * takes.start + count * args.pairs * each
    seconds += count * PROFILE_S * ("profile" in args.measures)
    seconds += COMPILE_S * ("stock-compile" in args.contenders)
    seconds += count * args.pairs * takes.start * ("start" in args.measures)
    return f"{variant:8} {fit} servers on a GPU, about {seconds} s"


def parsed(words: Sequence[str]) -> argparse.Namespace:
    own, flags = split_flags(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    running, estimating = actions.add_parser("run"), actions.add_parser("estimate")
    servers.add_options(running, BOTH, "model")
    servers.add_contenders(estimating, BOTH)
    running.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    running.add_argument("--campaign", default="main")
    estimating.add_argument("--memory", type=float, metavar="GIB", help="free memory of a GPU")
    for action in (running, estimating):
        action.add_argument("--variants", nargs="+", choices=VARIANTS, default=LONGEST_FIRST)
        action.add_argument("--measures", nargs="+", choices=MEASURES, default=["c1", "c100"])
        action.add_argument("--pairs", type=int, default=3)
    comparing = actions.add_parser("compare")
    comparing.add_argument("out", type=Path, metavar="OUT")
    comparing.add_argument("results", type=Path, nargs="?", metavar="RESULTS")
    return parser.parse_args(own, argparse.Namespace(flags=flags))


def main(words: Sequence[str]) -> None:
    args = parsed(words)
    if args.action == "compare":
        results.compare(args.out, args.results)
    elif args.action == "estimate":
        free = int(args.memory * servers.GIB) if args.memory else servers.gpus()[0].free
        for variant in args.variants:
            print(estimate(variant, args, servers.Gpu(0, "an idle GPU", "", free, free)))
    elif not run(args):
        sys.exit("not everything was measured; call again")


if __name__ == "__main__":
    main(sys.argv[1:])
