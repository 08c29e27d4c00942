#!/usr/bin/env python3
"""Whether fused servers compute what stock ones do, by log-probabilities; with negative controls.

    compare_servers.py run MODELS OUT [--cases E2B E2B-mtp ...] [--contenders ...] [-- FLAGS]
    compare_servers.py judge OUT [--out FILE]

A case is a variant, alone, with its MTP draft, or on two GPUs. ``run`` serves it with stock, with
fused kernels, and with kernels broken on purpose (E2B and 26B-A4B), as many servers at once as fit
on a GPU. All are asked the same 66 prompts and about the same images, one at a time and eight at
once, then 128 short prompts, all at once and 48 at once. The answers are kept, a file a server;
``judge`` compares them: fused must pass, every broken one must fail. All figures go to FILE.
Weights are taken to be random (``--load-format dummy``, drawn by ``inside/fill.py``), so nearly
every prompt must have an answer of its own. Of 26B-A4B it is recorded how evenly experts are used.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import servers
from redaction import redacted
from shared import split_flags, write
from sizes import VARIANTS, Size, size

from gemma4ctl.certifying.ask import ask
from gemma4ctl.certifying.compare import Answers, compare_all
from gemma4ctl.certifying.prompts import CROWD, prompts
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.profiles.load import load
from gemma4ctl.sglang_model import switches

LONGEST = 12_000  # tokens of a prompt
POOL_TOKENS = 32_768  # for all that is asked at once; what prefixes share stays cached
UNEVEN = 3.0  # largest over mean load of an expert
MACHINE = ("gpu", "driver_version", "sglang_version", "torch_version", "triton_version",
           "gemma4ctl_version")  # fmt: skip
SERVER = (
    "date",
    "model_module",
    "command",
    "announced",
    "prefills",
)  # what is kept of a server's record
BROKEN = ("residual", "scalar", "slot")
CONTROLLED = ("E2B", "26B-A4B")  # the cases that the controls are run on by default
USUAL = ("stock", "fused")
CHUNKS = ("--chunked-prefill-size", "1024")  # so that long prompts are prefilled from graphs too
FROM_GRAPHS = 40  # batches of prefill at least; a few tokens and images go without graphs
CONTENDERS = {
    **{name: servers.CONTENDERS[name] for name in (*USUAL, "fused-eager")},
    **{
        f"broken-{kind}": servers.Contender(
            f"broken-{kind}",
            environment={**servers.FUSED, switches.PACKAGE_VARIABLE: "broken", "BROKEN": kind},
            prefills_from_graphs=True,
        )
        for kind in BROKEN
    },
}
MTP = load().mtp
MTP_FLAGS = (
    "--speculative-algorithm", "NEXTN", "--speculative-num-steps", str(MTP.steps),
    "--speculative-eagle-topk", str(MTP.topk),
    "--speculative-num-draft-tokens", str(MTP.draft_tokens),
)  # fmt: skip


class Case(NamedTuple):
    """What is served: a variant, with or without its draft, on ``tp`` GPUs."""

    variant: str
    mtp: bool = False
    tp: int = 1

    @property
    def name(self) -> str:
        """As on the command line: ``E2B``, ``E2B-mtp``, ``26B-A4B-tp2``."""
        return f"{self.variant}{'-mtp' if self.mtp else ''}{'-tp2' if self.tp == 2 else ''}"

    def flags(self, models: Path) -> list[str]:
        """The flags of the case."""
        draft = models / f"{self.variant}-it-assistant"
        drafts = [*MTP_FLAGS, "--speculative-draft-model-path", str(draft)] if self.mtp else []
        return [*drafts, *(["--tp-size", "2"] if self.tp == 2 else [])]


CASES = {
    case.name: case
    for case in (
        *(Case(variant) for variant in VARIANTS),
        *(Case(variant, mtp=True) for variant in VARIANTS),
        *(Case(variant, tp=2) for variant in VARIANTS),
    )
}


def contenders_of(case: Case, chosen: Sequence[str]) -> list[str]:
    """The contenders of a case: controls only where they are asked for or belong."""
    if chosen:
        return list(chosen)
    broken = [f"broken-{kind}" for kind in BROKEN if case.name in CONTROLLED]
    return [*USUAL, *broken]


def run(options: argparse.Namespace, flags: Sequence[str]) -> bool:
    """Ask every server that has no file in OUT yet; whether all have one then."""
    end = time.monotonic() + options.deadline
    servers.clear(options.logs)

    def work(name: str, gpu: servers.Gpu) -> None:
        if options.memory:
            gpu = gpu._replace(free=options.memory * servers.GIB)
        for group in groups(CASES[name], gpu, options):
            if time.monotonic() < end:
                side_by_side(CASES[name], group, gpu, options, flags, end)

    single = [name for name in options.cases if CASES[name].tp == 1]
    servers.spread(single, work, options.gpus)
    pairs = [name for name in options.cases if CASES[name].tp == 2]
    servers.spread(pairs, work, (options.gpus or [gpu.index for gpu in servers.gpus()])[:-1:2])
    return not any(missing(CASES[name], options) for name in options.cases)


def groups(case: Case, gpu: servers.Gpu, options: argparse.Namespace) -> Iterator[list[str]]:
    """The contenders without a file, as many at a time as fit on the GPU."""
    open_ones = missing(case, options)
    room = servers.fitting(gpu, size_of(case))
    for first in range(0, len(open_ones), room):
        yield open_ones[first : first + room]


def size_of(case: Case) -> Size:
    """GiB on each GPU; KV heads are not always split among them."""
    weights, pool = size(case.variant, POOL_TOKENS)
    return Size(weights / case.tp, pool)


def missing(case: Case, options: argparse.Namespace) -> list[str]:
    """The contenders of a case without a file."""
    return [
        name for name in contenders_of(case, options.contenders)
        if not (options.out / f"{case.name}-{name}.json").exists()
    ]  # fmt: skip


def side_by_side(
    case: Case,
    names: Sequence[str],
    gpu: servers.Gpu,
    options: argparse.Namespace,
    flags: Sequence[str],
    end: float,
) -> None:
    """Start servers at the same time, and write what each answers."""
    started = [(name, start(case, name, gpu, options, flags)) for name in names]

    def work(name: str, server: servers.Server) -> None:
        try:
            found = answered(case, name, server, end)
        except (Gemma4ctlError, OSError) as error:
            print(case.name, name, error, *server.last_lines(8), sep="\n  ", flush=True)
        else:
            write(options.out / f"{case.name}-{name}.json", found)
            print(f"{case.name} {name}: written", flush=True)

    threads = [threading.Thread(target=work, args=one) for one in started]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, server in started:
        server.stop()


def start(
    case: Case, name: str, gpu: servers.Gpu, options: argparse.Namespace, flags: Sequence[str]
) -> servers.Server:
    """Start a contender."""
    place = servers.Place(
        options.models / f"{case.variant}-it",
        gpu,
        options.port + 100 * gpu.index + list(CONTENDERS).index(name),
        options.logs / f"{case.name}-{name}.log",
    )
    needed = size_of(case)
    own = [
        *servers.pool_flags(gpu, needed, POOL_TOKENS, servers.fitting(gpu, needed)),
        "--max-running-requests", str(CROWD), *CHUNKS, *case.flags(options.models),
        *flags,
    ]  # fmt: skip
    contender = CONTENDERS[name]
    if records_experts(case, name):
        contender = replace(contender, environment={"EXPERT_COUNTS": str(counts(place.log))})
    return servers.Server(contender, place, own, case.tp)


def counts(log: Path) -> Path:
    """Where a server that counts how often experts are chosen writes."""
    return log.with_suffix(".experts.json")


def records_experts(case: Case, name: str) -> bool:
    """Whether a server counts how often experts are chosen."""
    return case == Case("26B-A4B") and name == "stock"


def answered(case: Case, name: str, server: servers.Server, end: float) -> dict[str, Any]:
    """What a server answers, when it is ready.

    Raises:
        StartError: it did not become ready.
        ServerFailedError: it did not answer.
    """
    server.must_be_ready(end)
    answers = ask(server.endpoint, prompts(LONGEST), about_images=True)
    load = expert_load(counts(server.log)) if records_experts(case, name) else None
    record = {**servers.host(server.gpu), "variant": case.variant, "case": case.name}
    return {
        **record, "contender": name, **server.facts(),
        "expert_load": load,
        **answers.model_dump(mode="json"),
    }  # fmt: skip


def expert_load(counts: Path) -> float:
    """Largest over mean load of an expert in the worst layer; infinite where none was counted."""
    rows = json.loads(counts.read_text()) if counts.exists() else []
    return max((max(row) * len(row) / sum(row) for row in rows), default=math.inf)


def judge(out: Path, file: Path | None = None) -> bool:
    """Print every verdict and write them to ``file``; True when all are as they must be."""
    document = judgment(out)
    for case in document["cases"]:
        show(case)
    if file is not None:
        write(file, redacted(document))
    right: bool = document["passed"]
    return right


def judgment(out: Path) -> dict[str, Any]:
    """All comparisons of the records in OUT, and whether they are what they must be.

    Raises:
        SystemExit: there are no records, or they are of different machines or versions.
    """
    records = [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]
    machines = [{key: record.get(key) for key in MACHINE} for record in records]
    if not records or any(machine != machines[0] for machine in machines):
        sys.exit(f"{out}: records of one machine with one set of versions are needed")
    cases = [judged(records, stock) for stock in records if stock["contender"] == "stock"]
    return {
        "metric": "log-probabilities of servers against those of stock, nats",
        **machines[0],
        "date": max(record["date"] for record in records),
        "passed": bool(cases) and all(case["passed"] for case in cases),
        "cases": cases,
    }


def judged(records: Sequence[dict[str, Any]], stock: dict[str, Any]) -> dict[str, Any]:
    """The comparisons of a case."""
    load = stock["expert_load"]
    even = load is None or load < UNEVEN
    found = [
        against(stock, record) for name in CONTENDERS for record in records
        if (record["case"], record["contender"]) == (stock["case"], name) and name != "stock"
    ]  # fmt: skip
    return {
        **{key: stock[key] for key in ("case", "variant")},
        "passed": even and bool(found) and all(server["right"] for server in found),
        "expert_load": load,
        "experts_even": even,
        "stock": {key: stock[key] for key in SERVER if key in stock},
        "servers": found,
    }


def against(stock: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What the comparisons of a server with stock say; ``right`` where they say what they must."""
    wanted = not other["contender"].startswith("broken")
    active = any("kernels: fused" in line for line in other["announced"]) and _graphs(other)
    found = {
        kind: {"passed": one.passed, **one.model_dump(mode="json")}
        for kind, one in compare_all(*map(answers_of, (stock, other)), random_weights=True).items()
    }
    return {
        "contender": other["contender"],
        **{key: other[key] for key in SERVER if key in other},
        "kernels_active": active,
        "right": active and all(one["passed"] == wanted for one in found.values()),
        "comparisons": found,
    }


def _graphs(record: dict[str, Any]) -> bool:
    """Whether a server prefilled from CUDA graphs, where it was to and can: alone, undrafted."""
    asked = CONTENDERS[record["contender"]].prefills_from_graphs
    if not asked or record["case"].endswith(("-mtp", "-tp2")):
        return True
    return bool(record["prefills"]["from_graphs"] >= FROM_GRAPHS)


def show(case: dict[str, Any]) -> None:
    """Print a line for each comparison of a case."""
    if case["expert_load"] is not None:
        word = _word(case["experts_even"])
        print(f"{case['case']} experts: load up to {case['expert_load']:.2f} of the mean, {word}")
    for server in case["servers"]:
        wanted = not server["contender"].startswith("broken")
        for kind, found in server["comparisons"].items():
            right = server["kernels_active"] and found["passed"] == wanted
            print(line(f"{case['case']} {kind}", server["contender"], found, right))
        if not server["kernels_active"]:
            print(f"    it did not run the kernels, or the graphs: {server['announced']}")


def answers_of(record: dict[str, Any]) -> Answers:
    """The answers that a record holds."""
    return Answers.model_validate({kind: record[kind] for kind in Answers.model_fields})


def line(case: str, name: str, found: dict[str, Any], right: bool) -> str:
    """A row of the table."""
    fused, noise = found["fused"], found["noise"]
    return (
        f"{case} {name}: mean {fused['mean']:.4f} (noise {noise['mean']:.4f}), "
        f"p99 {fused['p99']:.3f} ({noise['p99']:.3f}) nats of {fused['differ']} "
        f"({noise['differ']}) of {fused['values']} values; "
        f"{fused['same_texts']} of {found['prompts']} same texts; spread {found['spread']:.1f}, "
        f"distinct {found['distinct']:.0%}; "
        f"{'passed' if found['passed'] else 'refused'}: {_word(right)}"
        + "".join(f"\n    {problem}" for problem in found["problems"])
    )


def _word(right: bool) -> str:
    return "right" if right else "WRONG"


def main(words: Sequence[str]) -> int:
    """Run or judge."""
    before, flags = split_flags(words)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    servers.add_options(running, [], "compare_servers", CONTENDERS)
    running.add_argument("--memory", type=int, metavar="GIB", help="of a GPU, if others use it too")
    running.add_argument("--cases", nargs="+", choices=CASES, default=list(VARIANTS))
    judging = commands.add_parser("judge")
    judging.add_argument("answers", type=Path, metavar="OUT")
    judging.add_argument("--out", type=Path, metavar="FILE", help="a JSON file for all figures")
    options = parser.parse_args(before)
    if options.command == "run":
        return 0 if run(options, flags) else 1
    return 0 if judge(options.answers, options.out) else 4


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
