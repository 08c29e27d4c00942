#!/usr/bin/env python3
"""Launches and busy time of one decode step, on stock and on fused servers.

    step_profile.py run MODELS OUT [--variants V ...] [--contenders C ...] [--batches N ...]
                    [-- FLAGS]
    step_profile.py read TRACE [--steps N]      the table of one trace
    step_profile.py compare OUT                 all tables of OUT

A server profiles itself (``/start_profile``, by stage, kernels only) for 20 decode steps after
prompts of 512 tokens; of its Chrome trace this counts, a step:

  launches  kernels, copies and fills; those of one CUDA graph count one by one
  busy      microseconds in which at least one of them ran
  within    microseconds between them inside a step; the profiler makes these longer
  between   microseconds from the last one of a step to the first one of the next (the largest gap)

Every GPU works on a variant of its own. OUT/profile-VARIANT-GPU.json is written after each trace.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import results
import servers
from shared import split_flags, write
from sizes import VARIANTS, size

from gemma4ctl.bench.workload import BOS, TEXT_TOKENS
from gemma4ctl.endpoint import http
from gemma4ctl.errors import Gemma4ctlError

STEPS, PROMPT_TOKENS = 20, 512
SECONDS = 150  # a cold start and its traces
KINDS = ("kernel", "gpu_memcpy", "gpu_memset")
KERNELS = servers.ROOT / "gemma4ctl" / "sglang_model" / "kernels"
OURS = "gemma4ctl"
# The first family whose pattern is found in a kernel's name.
FAMILIES = (
    ("MoE", r"moe|topk|routing|router|expert"),
    ("attention", r"_fwd_grouped|_fwd_kernel|attn|attention|kv_indices|kv_splits"),
    ("GEMM", r"nvjet|gemm(?!a)|gemv|cutlass|splitk|cublas|wgmma|(?<!ge)mma_|matmul"),
    ("norm", r"norm"),
    ("RoPE", r"rope|rotary"),
    ("KV store", r"store|set_kv|kvcache"),
    ("activation", r"gelu|silu|act_and_mul"),
    ("sampling", r"softmax|argmax|sampl|penal|sort|scan"),
    ("copy, fill", r"memcpy|memset|copy|fill"),
    ("elementwise", r"elementwise|triton_poi|triton_red|triton_per"),
    ("reduction", r"reduce"),
)  # fmt: skip


class Launch(NamedTuple):
    """One piece of work on the GPU; microseconds."""

    name: str
    start: float
    end: float


class Row(NamedTuple):
    """Launches of one kind, each step."""

    name: str
    launches: float
    us: float


class Step(NamedTuple):
    """The mean of ``steps`` decode steps; microseconds, kinds with the most time first."""

    steps: int
    launches: float
    summed_us: float
    busy_us: float
    within_us: float
    between_us: float
    families: tuple[Row, ...]
    kernels: tuple[Row, ...]


def read(path: Path) -> list[Launch]:
    """The launches of a Chrome trace, ``.json`` or ``.json.gz``, in the order of their start."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    events = json.loads(text)["traceEvents"]
    found = [
        Launch(event["name"], event["ts"], event["ts"] + event["dur"])
        for event in events
        if event.get("ph") == "X" and event.get("cat") in KINDS
    ]
    return sorted(found, key=lambda launch: launch.start)


def step(launches: Sequence[Launch], steps: int) -> Step:
    """The mean step of a trace that holds ``steps``.

    Raises:
        ValueError: the trace holds no launches.
    """
    if not launches:
        raise ValueError("no kernel in the trace")
    busy, gaps, end = 0.0, [], launches[0].start
    for launch in launches:
        if launch.start > end:
            gaps.append(launch.start - end)
        busy += max(0.0, launch.end - max(launch.start, end))
        end = max(end, launch.end)
    gaps.sort(reverse=True)
    breaks = gaps[: steps - 1]
    own = our_kernels()
    return Step(
        steps=steps,
        launches=len(launches) / steps,
        summed_us=sum(launch.end - launch.start for launch in launches) / steps,
        busy_us=busy / steps,
        within_us=sum(gaps[steps - 1 :]) / steps,
        between_us=sum(breaks) / len(breaks) if breaks else 0.0,
        families=rows(launches, steps, lambda name: family(name, own)),
        kernels=rows(launches, steps, short_name),
    )


def rows(launches: Iterable[Launch], steps: int, named: Any) -> tuple[Row, ...]:
    """Launches by what ``named`` makes of their names."""
    count: Counter[str] = Counter()
    time_us: defaultdict[str, float] = defaultdict(float)
    for launch in launches:
        name = named(launch.name)
        count[name] += 1
        time_us[name] += launch.end - launch.start
    ordered = sorted(count, key=lambda name: -time_us[name])
    return tuple(Row(name, count[name] / steps, time_us[name] / steps) for name in ordered)


def family(name: str, own: Iterable[str] = ()) -> str:
    """What a kernel does, by its name; ``own`` are the names of this package's kernels."""
    if short_name(name) in own:
        return OURS
    shown = short_name(name).lower()
    return next((title for title, pattern in FAMILIES if re.search(pattern, shown)), "other")


def our_kernels(folder: Path = KERNELS) -> frozenset[str]:
    """The names of the Triton kernels in the package."""
    pattern = re.compile(r"@triton\.jit.*?\ndef (\w+)", re.DOTALL)
    texts = [file.read_text() for file in folder.rglob("*.py")] if folder.is_dir() else []
    return frozenset(name for text in texts for name in pattern.findall(text))


def short_name(name: str) -> str:
    """A kernel's name without types; an elementwise one with what it computes."""
    plain = re.split(r"[<(]", name.removeprefix("void "), maxsplit=1)[0].split("::")[-1].strip()
    does = re.search(r"(\w*Functor\w*|\w+_kernel_cuda|\w+Kernel_?[Ii]mpl)", name[len(plain) :])
    return f"{plain} {does[1]}" if does and ("elementwise" in plain or "reduce" in plain) else plain


def profiled(server: servers.Server, batch: int, folder: Path) -> Step:
    """The mean decode step of a server with ``batch`` requests.

    Raises:
        StartError: it gave no trace.
    """
    content = random.Random(batch)
    prompts = [[BOS, *content.choices(TEXT_TOKENS, k=PROMPT_TOKENS - 1)] for _ in range(batch)]
    greedy = {"temperature": 0.0, "max_new_tokens": STEPS + 12, "ignore_eos": True}
    asked = {"input_ids": prompts, "sampling_params": greedy}
    warm = http.post(server.endpoint, "/generate", asked, 120)
    http.post(server.endpoint, "/flush_cache", {}, 30)
    order = {
        "output_dir": str(folder), "num_steps": STEPS, "activities": ["GPU"], "with_stack": False,
        "record_shapes": False, "profile_by_stage": True,
    }  # fmt: skip
    began = http.post(server.endpoint, "/start_profile", order, 60)
    answer = http.post(server.endpoint, "/generate", asked, 120)
    problem = warm.problem or began.problem or answer.problem
    if problem:
        raise servers.StartError(f"no profile: {problem}")
    return step(read(trace(folder)), STEPS)


def trace(folder: Path, patience_s: float = 60) -> Path:
    """The trace of the decode steps, when it has been written."""
    end, last = time.monotonic() + patience_s, -1
    while time.monotonic() < end:
        found = sorted(folder.glob("*DECODE*.trace.json.gz"))
        size_now = found[-1].stat().st_size if found else -1
        if found and size_now == last > 0:
            return found[-1]
        last = size_now
        time.sleep(0.5)
    raise servers.StartError(f"no trace in {folder} after {patience_s:g} s")


def profile_variant(variant: str, gpu: servers.Gpu, args: argparse.Namespace, end: float) -> None:
    """All contenders of a variant, one after another."""
    path = record_path(args.out, variant, gpu)
    record = opened(path, variant)
    takes = size(variant, 8_192 + max(args.batches) * (PROMPT_TOKENS + 2 * STEPS))
    for name in args.contenders:
        batches = missing(record, name, args.batches)
        if not batches or end - time.monotonic() < SECONDS:
            continue
        port = args.port + 100 * gpu.index
        place = servers.Place(
            args.models / f"{variant}-it", gpu, port, args.logs / f"{variant}-{name}.log"
        )
        share = servers.fraction(gpu, *takes)
        server = servers.Server(
            servers.CONTENDERS[name], place, ["--mem-fraction-static", share, *args.flags]
        )
        try:
            server.must_be_ready(end)
            for batch in batches:
                note(record, server, batch, args.logs)
        except (Gemma4ctlError, OSError, ValueError) as error:
            print(variant, name, error, *server.last_lines(6), sep="\n  ", flush=True)
            log = {"reason": str(error), "log": server.last_lines()}
            record["failures"].append({"contender": name, **log})
        finally:
            server.stop()
            write(path, record | servers.host(gpu))


def record_path(out: Path, variant: str, gpu: servers.Gpu) -> Path:
    """Where the profiles of a variant are kept."""
    return out / f"profile-{variant}-{gpu.short}.json"


def opened(path: Path, variant: str) -> dict[str, Any]:
    """The record of a variant, a new one where there is none."""
    return results.read(path) or {"variant": variant, "profiles": [], "failures": []}


def missing(record: dict[str, Any], contender: str, batches: Iterable[int]) -> list[int]:
    """The batches that a contender has no profile of."""
    done = {p["batch"] for p in record["profiles"] if p["contender"] == contender}
    return [batch for batch in batches if batch not in done]


def note(record: dict[str, Any], server: servers.Server, batch: int, logs: Path) -> None:
    """Profile a server and add the step to a record.

    Raises:
        StartError: it gave no trace.
        ValueError: the trace holds no kernels.
    """
    variant, name = record["variant"], server.contender.name
    found = profiled(server, batch, logs / f"trace-{variant}-{name}-{batch}-{int(time.time())}")
    about = {"contender": name, "batch": batch, "prompt_tokens": PROMPT_TOKENS}
    record["profiles"].append({**about, **document(found), **server.facts()})
    show(f"{variant} {name}, batch {batch}", found)


def document(found: Step) -> dict[str, Any]:
    """A step as JSON, with the 40 kernels that take longest."""
    rounded = {
        name: round(value, 2) if isinstance(value, float) else value
        for name, value in found._asdict().items()
    }
    for kind, most in (("families", 40), ("kernels", 40)):
        rounded[kind] = [
            {"name": row.name, "launches": round(row.launches, 2), "us": round(row.us, 2)}
            for row in getattr(found, kind)[:most]
        ]
    return rounded


def restored(saved: dict[str, Any]) -> Step:
    """The step of a record."""
    kinds = {kind: tuple(Row(**row) for row in saved[kind]) for kind in ("families", "kernels")}
    fields: dict[str, Any] = {name: saved[name] for name in Step._fields}
    return Step(**{**fields, **kinds})


def show(title: str, found: Step, most: int = 14) -> None:
    """Print the table of a step."""
    print(
        f"{title}: {found.launches:.0f} launches, busy {found.busy_us:.0f} us (sum of kernels "
        f"{found.summed_us:.0f}), within {found.within_us:.0f}, between {found.between_us:.0f}"
    )
    for kind in (found.families, found.kernels[:most]):
        for row in kind:
            print(f"  {row.launches:7.1f} x {row.us:8.1f} us  {row.name}")
        print()
    sys.stdout.flush()


def compare(out: Path) -> None:
    """Print all profiles, and the families of stock and fused side by side."""
    for path in sorted(out.glob("profile-*.json")):
        record = json.loads(path.read_text())
        found = {(p["batch"], p["contender"]): restored(p) for p in record["profiles"]}
        for (batch, name), one in found.items():
            show(f"{record['variant']} {name} on {record['gpu']}, batch {batch}", one)
        for batch in sorted({batch for batch, _ in found}):
            if {(batch, "stock"), (batch, "fused")} <= found.keys():
                beside(batch, found[batch, "stock"], found[batch, "fused"])


def beside(batch: int, stock: Step, fused: Step) -> None:
    """Print the families of two steps beside each other."""
    print(f"batch {batch}: family, stock launches and us, fused launches and us")
    ours = {row.name: row for row in fused.families}
    theirs = {row.name: row for row in stock.families}
    none = Row("", 0, 0)
    for name in dict.fromkeys([*theirs, *ours]):
        a, b = theirs.get(name, none), ours.get(name, none)
        print(f"  {name:12} {a.launches:7.1f} {a.us:8.1f}   {b.launches:7.1f} {b.us:8.1f}")
    print(
        f"  {'all':12} {stock.launches:7.1f} {stock.busy_us:8.1f}   {fused.launches:7.1f} "
        f"{fused.busy_us:8.1f}\n"
    )


def run(args: argparse.Namespace) -> None:
    """Profile every variant, on all GPUs of this machine."""
    end = time.monotonic() + args.deadline
    servers.clear(args.logs)
    servers.spread(args.variants, lambda one, gpu: profile_variant(one, gpu, args, end), args.gpus)


def main(words: Sequence[str]) -> None:
    own, flags = split_flags(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    running = actions.add_parser("run")
    servers.add_options(running, ["stock", "fused"], "profile")
    running.add_argument("--variants", nargs="+", choices=VARIANTS, default=["E2B"])
    running.add_argument("--batches", nargs="+", type=int, default=[1])
    reading = actions.add_parser("read")
    reading.add_argument("trace", type=Path, metavar="TRACE")
    reading.add_argument("--steps", type=int, default=STEPS)
    actions.add_parser("compare").add_argument("out", type=Path, metavar="OUT")
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    if args.action == "run":
        run(args)
    elif args.action == "read":
        show(str(args.trace), step(read(args.trace), args.steps), most=40)
    else:
        compare(args.out)


if __name__ == "__main__":
    main(sys.argv[1:])
