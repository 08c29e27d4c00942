#!/usr/bin/env python3
"""Whether fused servers compute what stock ones do, by log-probabilities; with negative controls.

    compare_servers.py run MODELS OUT [--variants E2B ...] [--checks ...] -- FLAGS
    compare_servers.py judge OUT

``run`` serves each checkpoint with stock, with fused kernels, and with kernels broken on purpose,
asks all the same 66 prompts (one at a time and eight at once) and keeps the answers, a file a
server; ``judge`` compares them: fused must pass, every broken one must fail. Weights are taken to
be random (``--load-format dummy`` with a fill that keeps activations alive), so nearly every prompt
must have an answer of its own. ``--checks experts`` records how evenly experts are used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import servers

from gemma4ctl.certifying import collect
from gemma4ctl.certifying.compare import Comparison, Sample, compare
from gemma4ctl.certifying.prompts import prompts
from gemma4ctl.endpoint import http
from gemma4ctl.sglang_model import switches

HERE = Path(__file__).parent
VARIANTS = ("E2B", "E4B", "12B", "26B-A4B", "31B")
LONGEST = 12_000  # tokens of a prompt
AT_ONCE = 8
UNEVEN = 3.0  # largest over mean load of an expert
FUSED = {**switches.fused_environment(), **switches.shared_kv_environment()}
BROKEN = ("residual", "scalar", "slot")
CONTENDERS = {
    "stock": servers.CONTENDERS["stock"],
    "fused": servers.CONTENDERS["fused"],
    **{
        f"broken-{kind}": servers.Contender(
            f"broken-{kind}",
            environment={**FUSED, switches.PACKAGE_VARIABLE: "broken", "BROKEN": kind},
        )
        for kind in BROKEN
    },
}
EXPERT_FLAGS = ("--expert-distribution-recorder-mode", "stat")


def run(options: argparse.Namespace, flags: Sequence[str]) -> None:
    """Ask every server that has no file in OUT yet."""
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(HERE), os.environ.get("PYTHONPATH")])
    )
    end = time.monotonic() + options.deadline
    servers.clear(options.logs)

    def work(variant: str, gpu: servers.Gpu) -> None:
        for name in options.contenders:
            file = options.out / f"{variant}-{name}.json"
            if not file.exists() and time.monotonic() < end:
                servers.write(file, ask(variant, name, gpu, options, flags, end))
                print(f"{variant} {name}: written")

    servers.spread(options.variants, work, options.gpus)


def ask(
    variant: str,
    name: str,
    gpu: servers.Gpu,
    options: argparse.Namespace,
    flags: Sequence[str],
    end: float,
) -> dict[str, Any]:
    """Start one server and keep what it answers."""
    experts = "experts" in options.checks and variant == "26B-A4B" and name == "stock"
    place = servers.Place(
        options.models / f"{variant}-it",
        gpu,
        options.port + gpu.index,
        options.logs / f"{variant}-{name}.log",
    )
    own = [*flags, *(EXPERT_FLAGS if experts else ())]
    server = servers.Server(CONTENDERS[name], place, own)
    try:
        server.must_be_ready(end)
        if experts:
            http.post(server.endpoint, "/start_expert_distribution_record", {}, 60)
        asked = prompts(LONGEST)
        alone = collect.collect(server.endpoint, asked, 1)
        together = collect.collect(server.endpoint, asked, AT_ONCE)
        loads = expert_loads(server) if experts else None
        record = {**servers.host(gpu), "variant": variant, "contender": name, **server.facts()}
        answers = {"alone": _plain(alone), "together": _plain(together)}
        seconds = collect.seconds_per_token(server.endpoint)
        return {**record, "expert_load": loads, "seconds_per_token": seconds, **answers}
    finally:
        server.stop()


def expert_loads(server: servers.Server) -> float | None:
    """Largest over mean load of an expert, in the worst layer; None where it was not recorded."""
    import torch

    folder = Path(os.environ.get("SGLANG_EXPERT_DISTRIBUTION_RECORDER_DIR", "/tmp"))
    began = time.time()
    http.post(server.endpoint, "/stop_expert_distribution_record", {}, 60)
    http.post(server.endpoint, "/dump_expert_distribution_record", {}, 120)
    files = list(folder.glob("expert_distribution_recorder_*.pt"))
    new = [file for file in files if file.stat().st_mtime > began - 1]
    if not new:
        return None
    counts = torch.load(max(new, key=lambda file: file.stat().st_mtime), weights_only=False)
    by_layer = counts["logical_count"].float().flatten(0, -3).sum(0)
    used = by_layer[by_layer.sum(-1) > 0]
    return float((used.max(-1).values / used.mean(-1)).max())


def _plain(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    return [sample.model_dump(mode="json") for sample in samples]


def judge(out: Path) -> bool:
    """Print a line for each server of each variant; True when every verdict is as it must be."""
    right = True
    for file in sorted(out.glob("*-stock.json")):
        stock = json.loads(file.read_text())
        variant = stock["variant"]
        load = stock.get("expert_load")
        if load is not None:
            even = load < UNEVEN
            right = right and even
            print(f"{variant} experts: load up to {load:.2f} of the mean, {_word(even)}")
        for name in list(CONTENDERS)[1:]:
            other = out / f"{variant}-{name}.json"
            if not other.exists():
                continue
            record = json.loads(other.read_text())
            found = verdict(stock, record)
            wanted = found.passed != name.startswith("broken")
            active = any("kernels: fused" in line for line in record["announced"])
            right = right and wanted and active
            print(line(variant, name, found, wanted and active))
            if not active:
                print(f"    it did not run the kernels: {record['announced']}")
    return right


def verdict(stock: dict[str, Any], other: dict[str, Any]) -> Comparison:
    """The comparison of two records."""
    return compare(
        _samples(stock["alone"]),
        _samples(stock["together"]),
        _samples(other["alone"]),
        random_weights=True,
    )


def _samples(rows: Sequence[dict[str, Any]]) -> list[Sample]:
    return [Sample.model_validate(row) for row in rows]


def line(variant: str, name: str, found: Comparison, right: bool) -> str:
    """A row of the table."""
    fused, noise = found.fused, found.noise
    return (
        f"{variant} {name}: mean {fused.mean:.4f} (noise {noise.mean:.4f}), p99 {fused.p99:.3f} "
        f"({noise.p99:.3f}) nats of {fused.values}; {fused.same_texts} of {found.prompts} same "
        f"texts; spread {found.spread:.1f}, distinct {found.distinct:.0%}; "
        f"{'passed' if found.passed else 'refused'}: {_word(right)}"
        + "".join(f"\n    {problem}" for problem in found.problems)
    )


def _word(right: bool) -> str:
    return "right" if right else "WRONG"


def main(words: Sequence[str]) -> int:
    """Run or judge."""
    before, flags = servers.split_flags(words)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("models", type=Path, metavar="MODELS")
    running.add_argument("out", type=Path, metavar="OUT")
    running.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    running.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    running.add_argument("--checks", nargs="*", choices=["experts"], default=[])
    running.add_argument("--deadline", type=float, default=3600, metavar="SECONDS")
    running.add_argument("--logs", type=Path, default=servers.LOGS / "compare_servers")
    running.add_argument("--port", type=int, default=30_000)
    running.add_argument("--gpus", nargs="+", type=int, metavar="N")
    judging = commands.add_parser("judge")
    judging.add_argument("out", type=Path, metavar="OUT")
    options = parser.parse_args(before)
    if options.command == "run":
        run(options, flags)
        return 0
    return 0 if judge(options.out) else 4


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
