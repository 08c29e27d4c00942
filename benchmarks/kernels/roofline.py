#!/usr/bin/env python3
"""A decode step of one request against the time that reading its bytes takes.

    roofline.py bytes                  bytes of a step, by tensor: needs no GPU
    roofline.py bandwidth OUT          what a copy on this GPU reaches: OUT/bandwidth-GPU.json
    roofline.py table RESULTS [FILE]   with the tpot-c1 and bandwidth records in RESULTS

Bytes are those of bf16 weights and KV that one step cannot do without: rows of the embeddings
that are not looked up, experts that are not chosen, KV beyond the sliding window, and K and V
projections of layers that share KV are not read; layers that take V from K read it once. ``stock``
adds what SGLang's layers read besides. Norms and activations stay in caches and are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import servers
from redaction import redacted
from shared import write
from sizes import VARIANTS

from gemma4ctl.profiles.table import Variant

BF16 = 2
C1_TOKENS = 610 + 422 // 2  # context of the middle step of model.py's c1
COPY_BYTES = 4 << 30
MACHINE = ("variant", "gpu", "driver_version", "sglang_version", "torch_version", "triton_version",
           "gemma4ctl_version", "date")  # fmt: skip
COPIES = 30


class Read(NamedTuple):
    """Bytes that one step reads of a kind of tensor: at least, and with SGLang's own layers."""

    name: str
    least: int
    stock: int


def reads(v: Variant, tokens: int) -> Iterator[Read]:
    """What one decode step of one request with ``tokens`` of context reads."""
    count = v.layers.sliding + v.layers.full
    shared = v.kv_shared_layers.sliding + v.kv_shared_layers.full
    yield same("output layer", v.vocab_size * v.hidden_size)
    yield same("embedding row", v.hidden_size)
    if v.per_layer_input:
        yield same("per-layer embedding row", count * v.per_layer_input)
        yield same("per-layer projection", v.hidden_size * count * v.per_layer_input)
    period = count // v.layers.full
    for layer in range(count):
        yield from _layer(v, tokens, full=(layer + 1) % period == 0, shares=layer >= count - shared)


def _layer(v: Variant, tokens: int, *, full: bool, shares: bool) -> Iterator[Read]:
    """What one layer reads; ``shares``: it reads the KV of an earlier one."""
    head = v.head_dim.full if full else v.head_dim.sliding
    kv = head * (v.kv_heads.full if full else v.kv_heads.sliding)
    query = v.attention_heads * head
    projections = 0 if shares else 1 if full and v.k_eq_v else 2
    yield Read(
        "Q, K, V projections",
        BF16 * (query + projections * kv) * v.hidden_size,
        BF16 * (query + 2 * kv) * v.hidden_size,
    )
    yield same("attention output projection", query * v.hidden_size)
    held = tokens if full else min(tokens, v.sliding_window)
    yield Read("KV", 0 if shares else 2 * BF16 * held * kv, 2 * BF16 * held * kv)
    inner = v.intermediate_size * (2 if v.double_wide_mlp and shares else 1)
    yield same("feed-forward", 3 * inner * v.hidden_size)
    if v.per_layer_input:
        yield same("per-layer gate and projection", 2 * v.per_layer_input * v.hidden_size)
    if v.experts:
        yield same("router", v.experts.count * v.hidden_size)
        one = 3 * v.experts.intermediate_size * v.hidden_size
        yield same("experts", v.experts.top_k * one)


def same(name: str, values: int) -> Read:
    """A tensor that is read once, whoever reads it."""
    return Read(name, BF16 * values, BF16 * values)


def summed(v: Variant, tokens: int) -> dict[str, Read]:
    """The bytes of a step by kind of tensor, the largest first, and ``all``."""
    least: Counter[str] = Counter()
    stock: Counter[str] = Counter()
    for read in reads(v, tokens):
        least[read.name] += read.least
        stock[read.name] += read.stock
    found = {name: Read(name, least[name], stock[name]) for name, _ in stock.most_common()}
    return {**found, "all": Read("all", sum(least.values()), sum(stock.values()))}


def show_bytes(tokens: int) -> None:
    """Print the bytes of a step of every variant."""
    for name, variant in VARIANTS.items():
        print(f"{name}, {tokens} tokens of context: MB at least, MB of stock")
        for read in summed(variant, tokens).values():
            print(f"  {read.least / 1e6:9.1f} {read.stock / 1e6:9.1f}  {read.name}")


def bandwidth(out: Path) -> None:
    """Copy 4 GiB within the GPU again and again; bytes read and written a second."""
    import torch

    gpu = servers.gpus()[0]
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    milliseconds = [_copied(torch, source, target) for _ in range(COPIES + 3)][3:]
    speeds = [2 * COPY_BYTES / (1e-3 * ms) for ms in milliseconds]
    record = {
        **servers.host(gpu), "date": time.strftime("%Y-%m-%d"), "bytes_copied": COPY_BYTES,
        "milliseconds": [round(ms, 4) for ms in milliseconds],
        "bytes_per_second": round(median(speeds)), "best_bytes_per_second": round(max(speeds)),
    }  # fmt: skip
    write(out / f"bandwidth-{gpu.short}.json", record)
    print(f"{gpu.name}: {median(speeds) / 1e12:.3f} TB/s read and written, best {max(speeds):.4g}")


def _copied(torch: Any, source: Any, target: Any) -> float:
    """Milliseconds of one copy."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    target.copy_(source)
    ended.record()
    torch.cuda.synchronize()
    return float(began.elapsed_time(ended))


def table(folder: Path) -> list[dict[str, Any]]:
    """Measured steps beside the bound, for every result of c1 whose GPU has a bandwidth."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("bandwidth-*.json"))]
    by_gpu = {record["gpu"]: record["bytes_per_second"] for record in found}
    rows = []
    for path in sorted(folder.glob("*-tpot-c1.json")):
        result = json.loads(path.read_text())
        speed = by_gpu.get(result["gpu"])
        if speed is None:
            print(f"{path.name}: no bandwidth of {result['gpu']}", file=sys.stderr)
            continue
        read = summed(VARIANTS[result["variant"]], C1_TOKENS)["all"]
        bound = 1e3 * read.least / speed
        tpot = {kind: median(ms) for kind, ms in result["runs"].items() if ms}
        rows.append({
            **{key: result[key] for key in MACHINE}, "context_tokens": C1_TOKENS,
            "bytes_per_second": speed, "bytes_at_least": read.least, "bytes_of_stock": read.stock,
            "bound_ms": round(bound, 4),
            "step_ms": {kind: round(ms, 4) for kind, ms in tpot.items()},
            "times_bound": {kind: round(ms / bound, 3) for kind, ms in tpot.items()},
        })  # fmt: skip
    return rows


def document(rows: Sequence[dict[str, Any]], command: Sequence[str]) -> dict[str, Any]:
    """The table with what it was made of."""
    return {
        "metric": "time of a decode step beside that of reading its bytes",
        "command": list(command),
        "rows": list(rows),
    }


def show_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    for row in rows:
        steps = ", ".join(
            f"{kind} {ms:.3f} ms = {row['times_bound'][kind]:.2f}x"
            for kind, ms in row["step_ms"].items()
        )
        print(
            f"{row['variant']:8} {row['gpu']}: {row['bytes_at_least'] / 1e9:.2f} GB (stock reads "
            f"{row['bytes_of_stock'] / 1e9:.2f}) at {row['bytes_per_second'] / 1e12:.2f} TB/s = "
            f"{row['bound_ms']:.3f} ms; {steps}"
        )


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    counting = actions.add_parser("bytes")
    counting.add_argument("--tokens", type=int, default=C1_TOKENS)
    actions.add_parser("bandwidth").add_argument("out", type=Path, metavar="OUT")
    comparing = actions.add_parser("table")
    comparing.add_argument("folder", type=Path, metavar="RESULTS")
    comparing.add_argument("file", type=Path, nargs="?", metavar="FILE")
    args = parser.parse_args(words)
    if args.action == "bytes":
        show_bytes(args.tokens)
    elif args.action == "bandwidth":
        bandwidth(args.out)
    else:
        rows = table(args.folder)
        if not rows:
            sys.exit(f"{args.folder}: no *-tpot-c1.json of a GPU with a bandwidth-*.json")
        show_table(rows)
        if args.file:
            write(args.file, redacted(document(rows, ["roofline.py", *words])))


if __name__ == "__main__":
    main(sys.argv[1:])
