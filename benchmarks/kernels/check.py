#!/usr/bin/env python3
"""Check every kernel at the sizes of the real models, without SGLang and without weights.

    check.py compile [--variants E2B,31B] [--tp 2]
    check.py run [--variants E2B,31B] [--tp 2] [--dtypes bfloat16] [--seconds 300] [--out PATH]
    check.py chain [--out PATH]

``compile`` needs no GPU: it compiles for sm_90 what a server of these models would launch, prints
what each kernel needs, and fails where one spills registers, has too much shared memory, reads what
other kernels write before it waits for them, or has barriers where it must not. ``run`` needs one:
it runs the check that a server makes at its start, in all types that a kernel takes and in larger
batches too. ``chain`` repeats layers of kernels in a CUDA graph with programmatic dependent launch,
and compares them with the same kernels one by one without it, bit for bit. Each prints a line for
each kernel and fails where one fails. ``--out`` gets the differences that were found beside their
bounds, the machine and the releases as JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import offline
import servers
import torch
from shared import write

from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.table import Variant
from gemma4ctl.sglang_model import selfcheck, switches
from gemma4ctl.sglang_model.kernels import attention, decode, linear, norms, runtime

VARIANTS: dict[str, Variant] = dict(load().variants)
WRITTEN_EARLIER = {  # arguments that no kernel of a forward pass writes
    *("weight", "next_weight", "router_weight", "expert_weight", "dense_weight"),
    *("scalar", "matrix", "q_weight", "k_weight"),
    *("starts", "slots"),  # of the batch
    *("k_pool", "v_pool"),  # decode's earlier tokens; it reads the newest one later
}
# Its programs without work end at once; those of a request's first split always wait.
SOME_WAIT = {"split_attention", "stream_attention"}
STREAMS = {"stream_attention"}  # whose warps meet once
BATCHES = (*selfcheck.TOKENS, 128)
# What the kernels take: attention and products of decoding are for two types only.
PARTS = {
    torch.bfloat16: switches.PARTS,
    torch.float16: switches.PARTS,
    torch.float32: ("norms", "attention"),
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in PARTS}
DEVICE = torch.device("cuda")
LAYERS, REPLAYS = 8, 100
ROUNDS = 4  # how often a request of the chain has every earlier row of the pools
CHAINS = (("E2B", 1), ("E2B", linear.SMALL_BATCH), ("31B", linear.SMALL_BATCH))  # a crowd last
METRICS = {
    "run": "difference of each kernel from its reference, as a share of the reference",
    "chain": "replays of overlapping launches that differ from launches one after the other",
}

Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 1 where a kernel fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("compile", "run", "chain"))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--out", type=Path, metavar="PATH")
    options = parser.parse_args(arguments)
    models = [VARIANTS[name] for name in options.variants.split(",")]
    if options.command == "compile":
        problems = list(compile_all(models, options.tp))
    else:
        dtypes = options.dtypes.split(",")
        chain = options.command == "chain"
        rows = chain_rows() if chain else run_rows(models, options.tp, dtypes, options.seconds)
        problems = [problem for row in rows for problem in row["problems"]]
        if options.out is not None:
            write(options.out, document(options.command, rows, arguments))
    print(f"{len(problems)} problems", *problems, sep="\n  ")
    return int(bool(problems))


def document(command: str, rows: list[Row], arguments: list[str] | None) -> Row:
    """What was found, and where."""
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "metric": METRICS[command],
        "passed": all(row["passed"] for row in rows),
        **servers.host(servers.gpus()[0]),
        "date": time.strftime("%Y-%m-%d"),
        "command": ["benchmarks/kernels/check.py", *words],
        "dependent_launch": runtime.launch(torch.empty(0, device=DEVICE))["PDL"],
        "rows": rows,
    }


def shapes(v: Variant, tp: int) -> list[selfcheck.Shape]:
    """The layers of a variant and of its draft on one rank."""
    found = set()
    for kind in ("sliding", "full"):
        head = getattr(v.head_dim, kind)
        inner = v.experts.intermediate_size // tp if v.experts else 0
        heads, kv = v.attention_heads // tp, max(1, getattr(v.kv_heads, kind) // tp)
        window = v.sliding_window - 1 if kind == "sliding" else -1
        found.add(selfcheck.Shape(v.hidden_size, v.per_layer_input, heads, kv, head, inner, window))
        draft, kv = v.draft, max(1, getattr(v.draft.kv_heads, kind) // tp)
        heads = draft.attention_heads // tp
        found.add(selfcheck.Shape(draft.hidden_size, 0, heads, kv, head, 0, window))
    return sorted(found)


def products(v: Variant, tp: int) -> list[selfcheck.Product]:
    """The linear layers of a variant and of its draft on one rank."""
    found = set()
    for model in (v, v.draft):
        hidden, inner = model.hidden_size, model.intermediate_size // tp
        for width in {inner, 2 * inner if model is v and v.double_wide_mlp else inner}:
            found.add(selfcheck.Product(2 * width, hidden, gated=True))
            found.add(selfcheck.Product(hidden, width, gated=False))
        for kind in ("sliding", "full"):
            head, kv = getattr(v.head_dim, kind), max(1, getattr(model.kv_heads, kind) // tp)
            heads = model.attention_heads // tp
            found.add(selfcheck.Product((heads + 2 * kv) * head, hidden, gated=False))
            found.add(selfcheck.Product(hidden, heads * head, gated=False))
            if model is not v or getattr(v.kv_shared_layers, kind):
                found.add(selfcheck.Product(heads * head, hidden, gated=False))
    layers = v.layers.sliding + v.layers.full
    if v.per_layer_input:
        found.add(selfcheck.Product(layers * v.per_layer_input, v.hidden_size, gated=False))
    if v.experts:
        found.add(selfcheck.Product(v.experts.count, v.hidden_size, gated=False))
    return sorted(found)


def checks(
    models: Iterable[Variant], tp: int, make: selfcheck.Tensors, batches: Sequence[int]
) -> Iterator[selfcheck.Check]:
    """The checks of several models that the type is made for, those of the same sizes once."""
    every = {shape for v in models for shape in shapes(v, tp)}
    parts = PARTS[make.dtype]
    weights = {product for v in models for product in products(v, tp) if "linear" in parts}
    made = selfcheck.checks(sorted(every), sorted(weights), make, batches)
    return (check for check in made if check.part in parts)


class Sizes(selfcheck.Tensors):
    """Tensors without memory."""

    def __init__(self) -> None:
        self.dtype, self.device = torch.bfloat16, torch.device("meta")

    def normal(
        self, *size: int, spread: float = 1.0, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Of this size."""
        return torch.empty(size, dtype=dtype or self.dtype, device=self.device)


def compile_all(models: list[Variant], tp: int) -> Iterator[str]:
    """What is wrong with kernels compiled for sm_90."""
    print("kernel            registers  shared  reads before its wait")
    made = checks(models, tp, Sizes(), selfcheck.TOKENS)
    for kernel in offline.compiled(map(called, made)):
        early = ", ".join(kernel.before)
        print(f"{kernel.name:18}{kernel.registers:9}{kernel.shared:8}  {early}", flush=True)
        if kernel.spilled:
            yield f"{kernel.name} spills {kernel.spilled} bytes"
        if kernel.shared > offline.SHARED_MEMORY[90]:
            yield f"{kernel.name} needs {kernel.shared} bytes of shared memory"
        if not kernel.waits and kernel.name not in SOME_WAIT:
            yield f"{kernel.name} can end without waiting"
        if kernel.barriers and kernel.name in STREAMS:
            yield f"{kernel.name} has {kernel.barriers} barriers in its loops"
        if wrong := set(kernel.before) - WRITTEN_EARLIER:
            yield f"{kernel.name} reads {', '.join(sorted(wrong))} before it waits"


def called(check: selfcheck.Check) -> Callable[[], Any]:
    """The kernel's call."""
    return lambda: check.kernel(*check.arguments, **check.options)


def run_rows(models: list[Variant], tp: int, dtypes: list[str], seconds: float) -> list[Row]:
    """What this GPU makes of every kernel, type by type."""
    end = time.monotonic() + seconds
    grouped: dict[tuple[str, str], list[tuple[str, selfcheck.Difference]]] = {}
    for dtype in dtypes:
        for check in checks(models, tp, selfcheck.Tensors(DTYPES[dtype], DEVICE), BATCHES):
            begin = time.monotonic()
            if begin > end:
                raise SystemExit(f"--seconds are over before {check.title} in {dtype}")
            found = selfcheck.compare(check)
            took = time.monotonic() - begin
            said = found.problem or f"right, off by {found.norm:.1e}"
            print(f"{took:6.2f} s  {check.part}: {check.title} {dtype}: {said}", flush=True)
            grouped.setdefault((check.name, dtype), []).append((check.sizes, found))
    return [row(*key, found) for key, found in grouped.items()]


def row(kernel: str, dtype: str, checked: list[tuple[str, selfcheck.Difference]]) -> Row:
    """All checks of one kernel in one type; ``sizes`` says how far each is off, by norm."""
    sizes: dict[str, list[float]] = {}
    for size, found in checked:
        sizes.setdefault(size, []).append(found.norm)
    bound = selfcheck.bound(DTYPES[dtype])
    problems = [found.problem for _, found in checked if found.problem is not None]
    return {
        "kernel": kernel,
        "dtype": dtype,
        "passed": not problems,
        "checks": len(checked),
        "norm_of_differences": worst(found.norm for _, found in checked),
        "bound_of_norm": bound,
        "largest_difference": worst(found.largest for _, found in checked),
        "bound_of_largest": selfcheck.ROUNDINGS * bound,
        "problems": problems,
        "sizes": {size: worst(norms) for size, norms in sizes.items()},
    }


def worst(shares: Iterable[float]) -> float | None:
    """The largest, to three digits; None, as JSON has no infinity, where one is not finite."""
    every = list(shares)
    return float(f"{max(every):.3g}") if all(map(isfinite, every)) else None


def chain_rows() -> list[Row]:
    """How often launches that overlap give other values than launches one after the other."""
    rows: list[Row] = []
    for variant, tokens in CHAINS:
        layers = Chain(VARIANTS[variant], tokens, DEVICE)
        with dependent_launch(False):
            expected = [one.clone() for one in layers.run()]
        with dependent_launch(True):
            different = repeated(layers.run, expected)
        print(f"{LAYERS} layers of {variant}, {tokens} tokens: {different} of {REPLAYS} differ")
        problem = f"{different} of {REPLAYS} replays of {variant} with {tokens} tokens differ"
        rows.append(
            {
                "variant": variant,
                "chain": LAYERS,
                "tokens": tokens,
                "passed": not different,
                "replays": REPLAYS,
                "different": different,
                "problems": [problem] if different else [],
            }
        )
    return rows


@contextmanager
def dependent_launch(wanted: bool) -> Iterator[None]:
    """Whether launches overlap, for a while."""
    with patch.dict(os.environ, {runtime.PDL_VARIABLE: str(int(wanted))}):
        runtime._dependent_launch.cache_clear()
        yield
    runtime._dependent_launch.cache_clear()


def repeated(run: Callable[[], list[torch.Tensor]], expected: list[torch.Tensor]) -> int:
    """How many replays of a CUDA graph of ``run`` give other bits."""
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    different = 0
    for _ in range(REPLAYS):
        graph.replay()
        torch.cuda.synchronize()
        same = all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        different += not same
    return different


class Chain:
    """Sliding layers of our kernels, each reading what the one before has just written.

    All layers write the newest tokens of the same pools, which attention reads last. A variant's
    dense MLP stands for all of its feed-forward part.
    """

    def __init__(self, v: Variant, tokens: int, device: torch.device) -> None:
        make = selfcheck.Tensors(torch.bfloat16, device)
        hidden, inner, head = v.hidden_size, v.intermediate_size, v.head_dim.sliding
        self.heads, kv_heads = v.attention_heads, v.kv_heads.sliding
        self.x = make.normal(tokens, hidden)
        self.norm, self.norms = make.normal(hidden), [make.normal(head) for _ in range(2)]
        self.scalar, self.table = make.scalar(), make.angles(head)
        self.places = make.places(tokens)
        self.pools = [make.normal(selfcheck.SLOTS, kv_heads, head) for _ in range(2)]
        new = self.places.tolist()
        old = [slot for slot in range(selfcheck.SLOTS) if slot not in new] * ROUNDS
        slots = [slot for own in new for slot in (*old, own)]
        self.slots = torch.tensor(slots, device=device)
        starts = range(0, len(slots) + 1, len(old) + 1)
        self.starts = torch.tensor(starts, dtype=torch.int32, device=device)
        self.sizes = [self.heads * head, kv_heads * head, kv_heads * head]
        self.layers = [
            (
                make.weight(sum(self.sizes), hidden),
                make.weight(hidden, self.sizes[0]),
                make.weight(2 * inner, hidden),
                make.weight(hidden, inner),
            )
            for _ in range(LAYERS)
        ]

    def run(self) -> list[torch.Tensor]:
        """The last layer's results, and what is in the pools."""
        residual, eps = self.x, selfcheck.EPS
        normed = norms.rms_norm(residual, self.norm, eps)
        for number, (qkv, out, gate_up, down) in enumerate(self.layers):
            parts = linear.linear(normed, qkv).split(self.sizes, dim=-1)
            attention.norm_rope_store(
                *parts, *self.norms, self.table, self.places, self.places, *self.pools, eps,
                keep=True,
            )  # fmt: skip
            q = parts[0].unflatten(1, (self.heads, -1))
            longest = (
                None if number % 2 else selfcheck.SLOTS * ROUNDS
            )  # one request of E2B: two launches, or one
            made = decode.attend(q, *self.pools, self.starts, self.slots, 1.0, longest)
            activated, residual = linear.attention_tail_gate_up(
                linear.linear(made.flatten(1), out), self.norm, residual, self.norm, gate_up, eps
            )
            hidden = linear.linear(activated, down)
            normed, residual = norms.layer_tail(
                hidden, self.norm, residual, self.scalar, self.norm, eps
            )
        return [normed, residual, *self.pools]


if __name__ == "__main__":
    raise SystemExit(main())
