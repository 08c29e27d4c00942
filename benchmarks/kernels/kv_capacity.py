#!/usr/bin/env python3
"""KV only for the layers that own it: tokens at the same memory, and a load that stock retracts.

    kv_capacity.py run MODELS OUT [--variants V ...] [--contenders stock C] [-- FLAGS]
    kv_capacity.py compare OUT [RESULTS]

First both servers are started at SGLang's own memory fraction, up to their pools. Then both serve
one load at a fraction where stock's full pool holds 87% of it: 256 requests of 128 tokens in and
640 out, greedy, twice on each server. Stock admits them all, since it expects answers to end early,
and must retract some; retractions are counted in its log. The sliding pool is made as large as the
full one, so that only the full one is short. Last, stock serves it with memory for half as much
again, so that it retracts nothing either (``roomy``).

Outputs are compared token by token: the two runs of each server with each other, which shows what
the batch's composition alone changes, and the servers. What is retracted is prefilled again, in
other batches, so only roomy stock can give the same. ``shared-kv`` has stock kernels, so only the
pools differ; ``fused`` has both. OUT/capacity-VARIANT-GPU.json is written after every
part, and a later call goes on with the next. While a server works, the next one imports its
libraries and waits for the GPU, so seconds are for orientation only.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import sys
import time
import zlib
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import results
import servers
from shared import split_flags, write
from sizes import size

from gemma4ctl.bench.workload import BOS, TEXT_TOKENS
from gemma4ctl.endpoint import http
from gemma4ctl.errors import Gemma4ctlError

REQUESTS, TOKENS_IN, TOKENS_OUT = 256, 128, 640
HELD = {"loads": 0.87, "roomy": 1.5}  # of the load's tokens, by stock's full pool
RATIO = 1.0
TARGETS = {"E2B": 2.2, "E4B": 1.7}
SECONDS = {
    "pools": 90,
    "loads": 120,
    "roomy": 100,
}  # cold; a part is only begun when so much time is left
ANSWER_S = 150
POOLS_STAND = "Memory pool end"
RETRACTED = re.compile(r"#retracted_reqs: (\d+)")


class Trial:
    """The parts of one variant on one GPU."""

    def __init__(
        self, variant: str, gpu: servers.Gpu, args: argparse.Namespace, end: float
    ) -> None:
        self.variant, self.gpu, self.args, self.end = variant, gpu, args, end
        self.path = args.out / f"capacity-{variant}-{gpu.short}.json"
        self.record = results.read(self.path) or {
            "variant": variant, **{part: {} for part in SECONDS}, "failures": [],
        }  # fmt: skip

    def play(self) -> None:
        """Every part that is missing, as far as the time goes."""
        todo, server = self.missing(), None
        try:
            for one, following in zip_longest(todo, todo[1:]):
                if self.end - time.monotonic() < SECONDS[one[0]]:
                    print(self.variant, *reversed(one), "no time; call again", flush=True)
                    return
                server, working = None, server or self.start(*one)
                if following and self.knows_flags(following[0]):
                    server = self.start(*following)
                working.let_go()
                self.part(*one, working)
        finally:
            if server is not None:
                server.end()

    def knows_flags(self, part: str) -> bool:
        """Whether what a part's flags are made of is recorded."""
        return part == "pools" or "stock" in self.record["pools"]

    def done(self) -> bool:
        """Whether every part is recorded."""
        return not self.missing()

    def missing(self) -> list[tuple[str, str]]:
        """Parts and contenders without a record; roomy is stock's only."""
        return [
            (part, name) for part in SECONDS for name in self.args.contenders
            if name not in self.record[part] and (part != "roomy" or name == "stock")
        ]  # fmt: skip

    def part(self, part: str, name: str, server: servers.Server) -> None:
        """Record what a server gave for one part, or how it failed, and end it."""
        try:
            found = self.pools(server) if part == "pools" else self.load(server)
            self.record[part][name] = {**found, **server.facts()}
            shown = {key: value for key, value in found.items() if key != "outputs"}
            print(self.variant, name, part, shown, flush=True)
        except (Gemma4ctlError, OSError, ValueError) as error:
            lines = server.last_lines()
            failure = {"contender": name, "part": part, "reason": str(error), "log": lines}
            self.record["failures"].append(failure)
            print(self.variant, name, part, error, *lines[-6:], sep="\n  ", flush=True)
        finally:
            server.stop()
            write(self.path, self.record | servers.host(self.gpu))

    def start(self, part: str, name: str) -> servers.Server:
        """A server for one part, which waits for the GPU."""
        number = 3 * list(servers.CONTENDERS).index(name) + list(SECONDS).index(part)
        place = servers.Place(
            self.args.models / f"{self.variant}-it", self.gpu,
            self.args.port + 100 * self.gpu.index + number,
            self.args.logs / f"{self.variant}-{name}-{part}.log",
        )  # fmt: skip
        flags = [*self.flags(part), *self.args.flags]
        return servers.Server(servers.CONTENDERS[name], place, flags, held=True)

    def flags(self, part: str) -> list[str]:
        """What all servers of a part get: the same fraction of the same GPU."""
        if part == "pools":
            return []
        shares = self.record.setdefault("fractions", {})
        share = shares.setdefault(part, self.fraction(part))
        ratio = ["--swa-full-tokens-ratio", str(RATIO)]
        return ["--mem-fraction-static", share, *ratio, "--max-running-requests", str(REQUESTS)]

    def fraction(self, part: str) -> str:
        """The fraction at which stock's full pool holds its share of the load.

        With the memory that stock's start reported, where there is one.
        """
        tokens = int(HELD[part] * REQUESTS * (TOKENS_IN + TOKENS_OUT))
        weights, pool = size(self.variant, tokens, RATIO)
        stock = self.record["pools"].get("stock", {})
        before, after = stock.get("free_gb_at_start"), stock.get("free_gb_after_weights")
        if before is None or after is None:
            return servers.fraction(self.gpu, weights, pool)
        return f"{(before - after + pool) / before:.4f}"

    def pools(self, server: servers.Server) -> dict[str, Any]:
        """Wait until the pools stand; the log has their tokens."""
        server.must_be_ready(self.end, POOLS_STAND)
        return {}

    def load(self, server: servers.Server) -> dict[str, Any]:
        """The load, twice: seconds, retracted requests, and the outputs."""
        server.must_be_ready(self.end)
        runs = [self.served(server) for _ in range(2)]
        outputs = [run.pop("outputs") for run in runs]
        return {"runs": runs, "outputs": packed(outputs[0]), "same_again": agreement(*outputs)}

    def served(self, server: servers.Server) -> dict[str, Any]:
        """One run of the load, all requests at once.

        Raises:
            StartError: it was not answered well.
        """
        http.post(server.endpoint, "/flush_cache", {}, 30)
        before = len(server.text())
        answer = http.post(server.endpoint, "/generate", load(), ANSWER_S)
        if not answer.ok:
            raise servers.StartError(f"the load was not answered: {answer.problem}")
        text = server.text()[before:]
        return {
            "seconds": round(answer.seconds, 2),
            "retractions": text.count("Retract requests"),
            "retracted_requests": sum(map(int, RETRACTED.findall(text))),
            "outputs": [one["output_ids"] for one in answer.json()],
        }


def load() -> dict[str, Any]:
    """The body of the load, the same for all."""
    content = random.Random("capacity")
    prompts = [[BOS, *content.choices(TEXT_TOKENS, k=TOKENS_IN - 1)] for _ in range(REQUESTS)]
    sampling = {"temperature": 0.0, "max_new_tokens": TOKENS_OUT, "ignore_eos": True}
    return {"input_ids": prompts, "sampling_params": sampling}


def packed(outputs: Sequence[Sequence[int]]) -> str:
    """Outputs as one word of a record: they are 164,000 numbers."""
    return base64.b64encode(zlib.compress(json.dumps(outputs).encode())).decode()


def unpacked(word: str) -> list[list[int]]:
    """The outputs of :func:`packed`."""
    found: list[list[int]] = json.loads(zlib.decompress(base64.b64decode(word)))
    return found


def agreement(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> dict[str, float]:
    """How far the outputs of the same requests agree.

    ``same`` is the share of equal ones, ``prefix`` the mean number of tokens up to the first other
    one, ``first_tokens`` the share with the same first token.
    """
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "requests": len(pairs),
        "same": sum(a == b for a, b in pairs) / len(pairs),
        "prefix": sum(map(common, *zip(*pairs, strict=True))) / len(pairs),
        "first_tokens": sum(a[:1] == b[:1] for a, b in pairs) / len(pairs),
    }


def outputs_of(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How far the outputs of two loads agree."""
    return agreement(unpacked(one["outputs"]), unpacked(other["outputs"]))


def common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """Tokens before the first difference."""
    length = min(len(ours), len(theirs))
    return next((n for n in range(length) if ours[n] != theirs[n]), length)


def compared(record: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A contender beside stock, None before both have their pools."""
    pools, loads = record["pools"], record["loads"]
    if not {"stock", name} <= pools.keys():
        return None
    tokens = {kind: pools[kind]["full_layer_tokens"] for kind in ("stock", name)}
    if None in tokens.values():
        return None
    target = TARGETS.get(record["variant"])
    ratio = tokens[name] / tokens["stock"]
    found: dict[str, Any] = {
        "metric": "kv-tokens", "contender": name, "stock": tokens["stock"], "fused": tokens[name],
        "ratio": round(ratio, 4), "target": target, "reached": target is None or ratio >= target,
    }  # fmt: skip
    if {"stock", name} <= loads.keys():
        stock, ours = loads["stock"], loads[name]
        found["load"] = {
            "fractions": record["fractions"],
            "requests": REQUESTS, "tokens_in": TOKENS_IN, "tokens_out": TOKENS_OUT,
            "full_layer_tokens": {k: loads[k]["full_layer_tokens"] for k in ("stock", name)},
            "runs": {"stock": stock["runs"], name: ours["runs"]},
            "stock_again": stock["same_again"],
            f"{name}_again": ours["same_again"],
            "stock_and_ours": outputs_of(stock, ours),
        }  # fmt: skip
        if (roomy := record["roomy"].get("stock")) is not None:
            found["load"]["runs"]["roomy stock"] = roomy["runs"]
            found["load"]["roomy_stock_and_ours"] = outputs_of(roomy, ours)
    return found


def compare(out: Path, target: Path | None) -> None:
    """Print what every record shows, and write a result file for each."""
    for path in sorted(out.glob("capacity-*.json")):
        record = json.loads(path.read_text())
        for name in (kind for kind in record["pools"] if kind != "stock"):
            found = compared(record, name)
            if found is None:
                continue
            reached = "reached" if found["reached"] else "MISSED"
            print(
                f"{path.stem} {name}: {found['stock']:,} -> {found['fused']:,} tokens, "
                f"{found['ratio']:.3f}x, asked {found['target']}: {reached}"
            )
            for key, value in found.get("load", {}).items():
                print(f"  {key}: {value}")
            commands = {
                f"{part} {kind}": record[part][kind]["command"]
                for part in SECONDS
                for kind in ("stock", name)
                if kind in record[part]
            }
            about = {
                key: value for key, value in record.items() if key not in (*SECONDS, "failures")
            }
            if target is not None:
                document = {**about, **found, "commands": commands}
                write(target / f"{path.stem}-{name}.json", document)
        for failure in record["failures"]:
            print(f"  {failure['part']} {failure['contender']} failed: {failure['reason']}")


def run(args: argparse.Namespace) -> bool:
    """Try every variant, on all GPUs of this machine; whether everything is recorded."""
    end = time.monotonic() + args.deadline
    servers.clear(args.logs)
    found: list[bool] = []

    def work(variant: str, gpu: servers.Gpu) -> None:
        trial = Trial(variant, gpu, args, end)
        trial.play()
        found.append(trial.done())

    servers.spread(args.variants, work, args.gpus)
    return all(found) and len(found) == len(args.variants)


def main(words: Sequence[str]) -> None:
    own, flags = split_flags(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    running = actions.add_parser("run")
    servers.add_options(running, ["stock", "shared-kv"], "capacity")
    running.add_argument("--variants", nargs="+", choices=TARGETS, default=list(TARGETS))
    comparing = actions.add_parser("compare")
    comparing.add_argument("out", type=Path, metavar="OUT")
    comparing.add_argument("results", type=Path, nargs="?", metavar="RESULTS")
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    if args.action == "compare":
        compare(args.out, args.results)
    elif not run(args):
        sys.exit("not everything was measured; call again")


if __name__ == "__main__":
    main(sys.argv[1:])
