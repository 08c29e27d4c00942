#!/usr/bin/env python3
"""Whole models on stock, tuned stock and fused servers, in turn on one machine.

    model.py run MODELS OUT [--variants V ...] [--contenders C ...] [--measures M ...] [-- FLAGS]
    model.py compare OUT [RESULTS]     the table; RESULTS gets one file a variant and metric
    model.py estimate                  seconds that each variant takes on this machine's GPUs

MODELS holds checkpoints named as on the hub (``E2B-it``, ...); FLAGS go to all servers, such as
``--load-format dummy``. Every GPU works on a variant of its own. Measures:

  c1     one request at a time, 610 tokens in and 422 out: TPOT, TTFT
  c100   100 requests at once, 512 in and 512 out (31B: 512 and 256, 26B-A4B: 256 and 256, so that
         their KV fits): output throughput, TTFT
  p64, p610, p2048  one request at a time of that many tokens and 2 out: TTFT
  padded  the same, of the fewest tokens that the largest CUDA graph of prefill takes
  start  stock and fused started at the same moment, or in turn where not both fit, and nothing else
  profile  launches and busy time of a decode step, as step_profile.py takes them: of one request,
         and of 100 where the pools are those of c100

Tuned stock (``stock-...``) takes part in c1 only, and the measures of prefill are made where they
are asked for. ``fused`` prefills from CUDA graphs, ``fused-eager`` does not. As many servers as fit
stay on a GPU, one working and the others idle, all with pools of the same number of tokens. Where
not all fit with the large pools of c100, the servers are started anew for it, with small pools
before. Where not all fit even so, groups of them meet, fused in each; where only one fits, the two
of a group are started in turn, each for the last half of a pair and the first half of the next
(A, B B, A A, B), where all import their libraries together before the first is measured. Starts of
stock and fused at the same moment, or alone in turn and not held back, are the pairs of start-up. A
server that is to prefill from CUDA graphs and does not, by its log, gets no run of one request at a
time recorded.

A record is written after every measurement. A pair is only begun when there is time for all of
it, and counts only when all of it was measured in one call; a later call with the same OUT adds
the missing ones. OUT/VARIANT-GPU-CAMPAIGN.json: campaigns of other contenders or measures go into
files of their own, which ``compare`` merges.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from gemma4ctl.capacity.pools import DEFAULT_RATIO
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.sglang_model import support


class Seconds(NamedTuple):
    """How long a start and one run of a measure take on an H200, about."""

    start: int
    c1: int
    c100: int


SECONDS = {
    "E2B": Seconds(start=62, c1=11, c100=14),
    "E4B": Seconds(start=60, c1=16, c100=18),
    "26B-A4B": Seconds(start=66, c1=13, c100=15),
    "12B": Seconds(start=62, c1=12, c100=26),
    "31B": Seconds(start=66, c1=25, c100=28),
}
COLD_S = 40  # more for the first start on a machine
COMPILE_S = 70  # more for torch.compile
PROFILE_S = 8
C1_REQUESTS = {"12B": 3, "31B": 3}  # fewer where they take long
C100 = {"26B-A4B": (256, 256), "31B": (512, 256)}  # tokens in and out, elsewhere 512 and 512
RUNNING = 128  # requests a server runs at most: the table of their tokens would take 2 GiB else
PREFILLS = {"p64": 64, "p610": 610, "p2048": 2048, "padded": None}  # tokens of a prompt
PREFILL_S, PREFILL_REQUESTS, PREFILL_OUT = 4, 20, 2
ONE, MANY = "c1", "c100"
LOADS = (ONE, *PREFILLS, MANY)
MEASURES = (ONE, "profile", MANY)  # by default
START = "start"
KINDS = (*MEASURES, *PREFILLS, START)
SMALL_POOL = 4_096  # tokens, for c1 and profile
COMPARED = ("stock", "fused", "stock-splits-16", "stock-compile")
LONGEST_FIRST = ("31B", "26B-A4B", "12B", "E4B", "E2B")


def workload(variant: str, name: str) -> Workload:
    """What a measure asks of a server; all lengths are fixed."""
    given, asked, requests, at_once = {
        ONE: (610, 422, C1_REQUESTS.get(variant, 6), 1),
        MANY: (*C100.get(variant, (512, 512)), 100, 100),
        **{
            key: (n or fewest_of_largest(variant), PREFILL_OUT, PREFILL_REQUESTS, 1)
            for key, n in PREFILLS.items()
        },
    }[name]
    return Workload(
        name=name, input_tokens=given, output_tokens=asked, range_ratio=1.0, requests=requests,
        concurrency=min(at_once, requests),
    )  # fmt: skip


def fewest_of_largest(variant: str) -> int:
    """The fewest tokens that are padded to the largest CUDA graph of prefill."""
    return support.prefill_graph_sizes(variant)[-2] + 1


def large_pool(variant: str) -> int:
    """Tokens of the full pool for c100: its requests must fit into the sliding pool too."""
    load = workload(variant, MANY)
    at_once = load.concurrency * (load.input_tokens + load.output_tokens)
    return int(1.03 * at_once / DEFAULT_RATIO)


class Phase(NamedTuple):
    """Servers that meet each other, and what is measured of them.

    ``tokens``: what their KV pools hold; ``room``: how many of them fit on the GPU; ``first``: the
    number of the first round.
    """

    measures: tuple[str, ...]
    contenders: tuple[str, ...]
    tokens: int
    room: int
    first: int

    def loads(self, contender: str) -> list[str]:
        """What a contender is asked; tuned stock one request at a time only."""
        tuned = results.is_tuned(contender)
        return [name for name in self.measures if name == ONE or (name in LOADS and not tuned)]

    def runs(self, contenders: Iterable[str]) -> list[tuple[str, str]]:
        """The contenders and loads of a round."""
        return [(found, name) for found in contenders for name in self.loads(found)]

    @property
    def beside(self) -> bool:
        """Whether all of them fit."""
        return len(self.contenders) <= self.room

    @property
    def profiled(self) -> list[str]:
        """The contenders whose step is profiled."""
        asked = "profile" in self.measures
        return [name for name in self.contenders if asked and not results.is_tuned(name)]

    @property
    def batches(self) -> list[int]:
        """The numbers of requests whose step is profiled."""
        return [1, *([100] if MANY in self.measures else [])]

    def rounds(self, pairs: int) -> range:
        return range(self.first, self.first + pairs)


def phases(variant: str, args: argparse.Namespace, gpu: servers.Gpu) -> list[Phase]:
    """All phases of a variant: the first group of each kind, then what else is tuned stock."""
    found = []
    large = large_pool(variant)
    beside = len(args.contenders) <= servers.fitting(gpu, size(variant, large))
    for measures, contenders in wanted(args, beside):
        tokens = large if MANY in measures else SMALL_POOL
        room = servers.fitting(gpu, size(variant, tokens))
        found += [
            Phase(measures, group, tokens, room, 1 + 100 * number)
            for number, group in enumerate(groups(contenders, room))
        ]
    return sorted(found, key=lambda phase: phase.first)


def wanted(args: argparse.Namespace, beside: bool) -> list[tuple[tuple[str, ...], list[str]]]:
    """Measures that are made on the same servers, and the contenders that take part.

    All of them where every contender fits ``beside`` the others with large pools.
    """
    untuned = [name for name in args.contenders if not results.is_tuned(name)]
    small = (ONE, *PREFILLS, "profile")
    kinds = [(small, args.contenders), ((MANY,), untuned)]
    if beside and untuned:
        kinds = [((*small, MANY), args.contenders)]
    found = []
    for kind, contenders in (*kinds, ((START,), untuned)):
        measures = tuple(name for name in kind if name in args.measures)
        if measures and contenders:
            found.append((measures, contenders))
    return found


def groups(names: Sequence[str], room: int) -> list[tuple[str, ...]]:
    """Contenders that meet: all where they fit, else as many as fit but at least two.

    The fused server is in every group.
    """
    if len(names) <= room:
        return [tuple(names)]
    ours = [name for name in names if name == results.OURS]
    others = [name for name in names if name != results.OURS]
    count = max(room, 2) - len(ours)
    return [(*others[n : n + count], *ours) for n in range(0, len(others), count)]


class FallbackError(Gemma4ctlError):
    """A server did not do what it was started for."""


class OutOfTimeError(Exception):
    """There is no time for the next pair."""


class Match:
    """The contenders of one variant on one GPU."""

    def __init__(self, variant: str, args: argparse.Namespace, gpu: servers.Gpu) -> None:
        self.variant, self.args, self.gpu = variant, args, gpu
        self.phases = phases(variant, args, gpu)
        self.phase = self.phases[0]
        self.failed: set[str] = set()
        self.running: dict[str, servers.Server] = {}
        self.held: list[servers.Server] = []  # back, until the one before has ended
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
            for phase in self.phases:
                self.enter(phase)
                try:
                    self.measure_phase()
                except OutOfTimeError as reason:
                    self.say(f"no time for {reason}; call again")
        finally:
            self.drop_held()
            for server in self.running.values():
                server.stop()

    def enter(self, phase: Phase) -> None:
        """End the servers that a phase has no use for."""
        self.drop_held()
        kept = phase.contenders if phase.tokens == self.phase.tokens else ()
        for name in [name for name in self.running if name not in kept]:
            self.release(name)
        self.phase = phase
        self.hold_those_to_come()

    def measure_phase(self) -> None:
        """All rounds and profiles that are missing, or starts."""
        if START in self.phase.measures:
            self.starts()
        for number in self.phase.rounds(self.args.pairs):
            self.round(number)
        self.profiles()

    @property
    def contenders(self) -> list[servers.Contender]:
        """Those of the phase that have not failed."""
        names = self.phase.contenders
        return [servers.CONTENDERS[name] for name in names if name not in self.failed]

    def done(self) -> bool:
        """Whether everything that was asked for is recorded."""
        if any(START in phase.measures for phase in self.phases) and not self.started_enough():
            return False
        return not any(self.unprofiled(phase) for phase in self.phases) and all(
            results.complete(self.record["runs"], number, phase.runs(phase.contenders))
            for phase in self.phases
            for number in phase.rounds(self.args.pairs)
        )

    def starts(self) -> None:
        """Start the servers anew until there are as many pairs as asked for, or one fails."""
        while not self.started_enough() and not self.failed:
            together = [self.contenders] if self.phase.beside else [[c] for c in self.contenders]
            seconds = [max(map(self.start_seconds, wanted)) for wanted in together]
            self.check_time("a pair of starts", sum(seconds))
            for wanted in together:
                for name in list(self.running):
                    self.release(name)
                self.start(wanted)

    def started_enough(self) -> bool:
        """Whether there are as many pairs of starts as asked for."""
        found = results.start_pairs(self.record["servers"], results.BASE)
        return len(found) >= self.args.pairs

    def round(self, number: int) -> None:
        """Every contender once, those that run already first, so that the order alternates."""
        names = [contender.name for contender in self.contenders]
        if results.complete(self.record["runs"], number, self.phase.runs(names)):
            return
        todo = [
            (contender, name) for contender in self.order(number, self.running)
            for name in self.phase.loads(contender.name)
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

    def order(self, number: int, running: Collection[str]) -> list[servers.Contender]:
        """The contenders of a round; every other one begins at the other end.

        Those that are ``running`` come first.
        """
        ordered = self.contenders if number % 2 else self.contenders[::-1]
        return sorted(ordered, key=lambda contender: contender.name not in running)

    def round_seconds(self, todo: Iterable[tuple[servers.Contender, str]]) -> float:
        """How long the measurements take, with the starts they need."""
        todo = list(todo)
        absent = {found for found, _ in todo if found.name not in self.running}
        runs = [self.run_seconds(contender, name) for contender, name in todo]
        starts = [self.start_seconds(contender) for contender in absent]
        return (max(starts, default=0) if self.phase.beside else sum(starts)) + sum(runs)

    def run_seconds(self, contender: servers.Contender, name: str) -> float:
        """How long a run takes with its warm-up: what one took in this call, if there is any."""
        key = (self.session, contender.name, name)
        took: list[float] = [
            1.05 * run["figures"]["seconds"] + 1 for run in self.record["runs"]
            if (run["session"], run["contender"], run["measure"]) == key
        ]  # fmt: skip
        return max(took, default=run_seconds(self.variant, name))

    def start_seconds(self, contender: servers.Contender) -> float:
        """How long a start takes: what a warm one took in this call, if there is any."""
        key = (self.session, contender.name, False)
        took = [
            float(start["seconds_to_ready"]) for start in self.record["servers"]
            if (start["session"], start["contender"], start["cold"]) == key
            and not start.get("held")
        ]  # fmt: skip
        cold = not servers.started(self.checkpoint, contender).exists()
        return max(took, default=start_seconds(self.variant, contender) + cold * COLD_S)

    def check_time(self, what: str, seconds: float) -> None:
        left = self.end - time.monotonic()
        if left < seconds:
            raise OutOfTimeError(f"{what} ({seconds:.0f} s, {left:.0f} s are left)")

    def server(self, contender: servers.Contender) -> servers.Server | None:
        """A contender's server, started where it does not run; None where it failed."""
        if contender.name not in self.failed and contender.name not in self.running:
            self.start(self.fitting(contender))
            self.wait_for_held()
        return self.running.get(contender.name)

    def hold_those_to_come(self) -> None:
        """Where only one fits, start all of a phase at once: they import their libraries and wait.

        So no measurement has an import beside it.
        """
        if self.phase.room == 1:
            for number, contender in enumerate(self.starts_to_come(), 1):
                self.held.append(self.launched(contender, self.gpu, held=number))

    def starts_to_come(self) -> list[servers.Contender]:
        """The contenders that are started one after the other for the rounds that are missing."""
        names = [contender.name for contender in self.contenders]
        running, found = list(self.running), []
        for number in self.phase.rounds(self.args.pairs):
            if results.complete(self.record["runs"], number, self.phase.runs(names)):
                continue
            for contender in self.order(number, running):
                if contender.name not in running:
                    found.append(contender)
                running = [contender.name]
        return found

    def wait_for_held(self) -> None:
        """Until all that are held back wait for nothing but to be let go."""
        while not all(server.waits() for server in self.held) and time.monotonic() < self.end:
            time.sleep(0.1)

    def drop_held(self) -> None:
        """End the servers that are held back."""
        for server in self.held:
            server.end()
        self.held.clear()

    def fitting(self, contender: servers.Contender) -> list[servers.Contender]:
        """What is started for a contender: where there is room, the others too.

        Servers make room for it, the one that runs longest first.
        """
        while len(self.running) >= self.phase.room:
            self.release(next(iter(self.running)))
        absent = [found for found in self.contenders if found.name not in self.running]
        absent.sort(key=lambda found: found is not contender)
        return absent[: self.phase.room - len(self.running)]

    def start(self, wanted: Sequence[servers.Contender]) -> None:
        """Start servers side by side, and record them or how they failed."""
        for contender in wanted:
            self.running[contender.name] = self.started_or_let_go(contender)
        company = list(self.running)
        with ThreadPoolExecutor(len(wanted)) as waiting:  # each is ready at a time of its own
            problems = list(waiting.map(self.problem, wanted))
        for contender, problem in zip(wanted, problems, strict=True):
            if problem is None:
                self.started(contender, [name for name in company if name != contender.name])
            else:
                self.fail(contender, problem)

    def started_or_let_go(self, contender: servers.Contender) -> servers.Server:
        """A contender's server, one that is held back where there is one."""
        for number, held in enumerate(self.held):
            if held.contender is contender and held.alive():
                held.let_go()
                return self.held.pop(number)
        return self.launched(contender, servers.gpus()[self.gpu.index])

    def launched(
        self, contender: servers.Contender, gpu: servers.Gpu, held: int = 0
    ) -> servers.Server:
        """A server for the phase, on a GPU that is as free as ``gpu`` says.

        ``held``: its number among those that are held back, 0 where it is not.
        """
        needed = size(self.variant, self.phase.tokens)
        flags = [
            *servers.pool_flags(gpu, needed, self.phase.tokens, self.phase.room),
            "--max-running-requests", str(RUNNING), *self.args.flags,
        ]  # fmt: skip
        suffix = f"-{held}" if held else ""
        kinds = list(servers.CONTENDERS)  # a port for each, and those that are held back follow
        port = len(kinds) + held if held else kinds.index(contender.name)
        place = servers.Place(
            self.checkpoint, gpu, self.args.port + 100 * gpu.index + port,
            self.args.logs / f"{self.variant}-{contender.name}-{gpu.index}{suffix}.log",
        )  # fmt: skip
        return servers.Server(contender, place, flags, held=bool(held))

    def problem(self, contender: servers.Contender) -> str | None:
        """Wait until a server is ready; why it is not, None where it is."""
        try:
            self.running[contender.name].must_be_ready(self.end)
        except (Gemma4ctlError, OSError) as error:
            return str(error)
        return None

    def started(self, contender: servers.Contender, beside: Sequence[str]) -> None:
        """Record a start."""
        server = self.running[contender.name]
        about = {
            "contender": contender.name, "session": self.session, "beside": beside,
            "held": server.held,
        }  # fmt: skip
        self.record["servers"].append({**about, **server.facts()})
        self.write()
        self.say(f"{contender.name} ready after {server.seconds_to_ready} s")

    def measure(self, server: servers.Server, number: int, name: str) -> None:
        """One run of a workload; all contents of a round are the same, and new to every cache.

        Raises:
            FallbackError: a request was not prefilled from CUDA graphs, as it was to be.
        """
        load = workload(self.variant, name)
        began, before = time.monotonic(), server.retractions()
        prefills = server.prefills()
        found = measure(
            server.endpoint, load, model="default", api="generate", warmup=load.concurrency,
            turn=number,
        )  # fmt: skip
        figures = {name: round(value, 4) for name, value in found.summary.figures().items()}
        made = servers.Prefills(*(b - a for a, b in zip(prefills, server.prefills(), strict=True)))
        fits = max(server.graph_sizes, default=0) >= load.input_tokens
        if fits and load.concurrency == 1:
            must_be_from_graphs(made)
        self.record["runs"].append({
            "session": self.session, "round": number, "measure": name,
            "contender": server.contender.name, "started": found.started,
            "requests": load.requests, "failed": found.summary.failures,
            "retractions": server.retractions() - before, "figures": figures,
            "prefills": made._asdict(),
        })  # fmt: skip
        self.write()
        self.say(
            f"round {number} {name} {server.contender.name}: "
            f"TPOT {figures['tpot_ms.mean']:.3f} ms, {figures['output_throughput']:.1f} tok/s, "
            f"TTFT {figures['ttft_ms.median']:.1f} ms, "
            f"{time.monotonic() - began:.0f} s"
        )

    def profiles(self) -> None:
        """A decode step of stock and fused, as ``step_profile.py`` records it."""
        path = step_profile.record_path(self.args.out, self.variant, self.gpu)
        record = step_profile.opened(path, self.variant)
        for contender in self.unprofiled(self.phase):
            absent = contender.name not in self.running
            batches = step_profile.missing(record, contender.name, self.phase.batches)
            seconds = PROFILE_S * len(batches) + absent * self.start_seconds(contender)
            self.check_time("a profile", seconds)
            server = self.server(contender)
            try:
                for batch in batches if server is not None else ():
                    step_profile.note(record, server, batch, self.args.logs)
                    write(path, record | servers.host(self.gpu))
            except (Gemma4ctlError, OSError, ValueError) as error:
                self.fail(contender, f"profile: {error}")

    def unprofiled(self, phase: Phase) -> list[servers.Contender]:
        """The contenders without a profile, those that run first."""
        path = step_profile.record_path(self.args.out, self.variant, self.gpu)
        record = step_profile.opened(path, self.variant)
        missing = [n for n in phase.profiled if step_profile.missing(record, n, phase.batches)]
        missing.sort(key=lambda name: name not in self.running)
        return [servers.CONTENDERS[name] for name in missing]

    def fail(self, contender: servers.Contender, reason: str) -> None:
        """Record why a contender cannot go on, and go on without it."""
        self.failed.add(contender.name)
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

    @property
    def checkpoint(self) -> Path:
        folder: Path = self.args.models
        return folder / f"{self.variant}-it"

    def write(self) -> None:
        about = {**servers.host(self.gpu), "flags": self.args.flags}
        write(self.path, self.record | about | {"date": self.session[:10]})

    def say(self, *lines: str) -> None:
        print(f"[{self.gpu.index} {self.variant}]", *lines, sep="\n  " if lines[1:] else " ")
        sys.stdout.flush()


def must_be_from_graphs(prefills: servers.Prefills) -> None:
    """Refuse what a server did without CUDA graphs.

    Raises:
        FallbackError: any batch, or all there were.
    """
    if prefills.others or not prefills.from_graphs:
        found = f"{prefills.from_graphs} from CUDA graphs, {prefills.others} without"
        raise FallbackError(f"batches of prefill: {found}")


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


def run_seconds(variant: str, name: str) -> int:
    """How long a run of a load takes."""
    takes = SECONDS[variant]
    return {ONE: takes.c1, MANY: takes.c100}.get(name, PREFILL_S)


def start_seconds(variant: str, contender: servers.Contender) -> int:
    """How long a warm start takes."""
    compiles = "--enable-torch-compile" in contender.flags
    return SECONDS[variant].start + compiles * COMPILE_S


def phase_seconds(variant: str, phase: Phase, pairs: int) -> int:
    """How long a phase takes with its starts, the kernels compiled before."""
    starts = [start_seconds(variant, servers.CONTENDERS[name]) for name in phase.contenders]
    runs = sum(run_seconds(variant, name) for _, name in phase.runs(phase.contenders)) * pairs
    profiles = PROFILE_S * len(phase.profiled) * len(phase.batches) * (phase.first == 1)
    if START in phase.measures:
        return (max(starts) if phase.beside else sum(starts)) * pairs
    in_turn = sum(starts[number % len(starts)] for number in range(pairs + 1))
    return (max(starts) if phase.beside else in_turn) + runs + profiles


def estimate(variant: str, args: argparse.Namespace, gpu: servers.Gpu) -> str:
    """Which servers meet, and how long that takes."""
    found = phases(variant, args, gpu)
    seconds = [phase_seconds(variant, phase, args.pairs) for phase in found]
    lines = [f"{variant:8} about {sum(seconds)} s, {COLD_S} s more where kernels must be compiled"]
    for phase, takes in zip(found, seconds, strict=True):
        how = "side by side" if phase.beside else "in turn"
        names = ", ".join(phase.contenders)
        lines.append(f"  {', '.join(phase.measures)}: {names} {how}, {takes} s")
    return "\n".join(lines)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    own, flags = split_flags(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    running, estimating = actions.add_parser("run"), actions.add_parser("estimate")
    servers.add_options(running, COMPARED, "model")
    servers.add_contenders(estimating, COMPARED)
    running.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    running.add_argument("--campaign", default="main")
    estimating.add_argument("--memory", type=float, metavar="GIB", help="free memory of a GPU")
    for action in (running, estimating):
        action.add_argument("--variants", nargs="+", choices=VARIANTS, default=LONGEST_FIRST)
        action.add_argument("--measures", nargs="+", choices=KINDS, default=MEASURES)
        action.add_argument("--pairs", type=int, default=3)
    comparing = actions.add_parser("compare")
    comparing.add_argument("out", type=Path, metavar="OUT")
    comparing.add_argument("results", type=Path, nargs="?", metavar="RESULTS")
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    if args.action != "compare" and not wanted(args, beside=False):
        parser.error("tuned stock takes part in c1 only")
    both = {results.BASE, results.OURS}
    if args.action != "compare" and START in args.measures and not both <= set(args.contenders):
        parser.error("start takes stock and fused")
    return args


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
