"""Tile sizes: candidates for a product, their times, and the winners as rows for the table."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import cases
import graphs
import torch
from torch.nn import functional

from gemma4ctl.sglang_model.kernels import configs, linear, norms, runtime

Tiles = configs.Row | configs.Rows
PROCESSES = 14
MULTIPROCESSORS = 132  # of an H100 or H200
WORTH = 0.99  # of PyTorch's time: what the kernel must reach to be used


def name(product: cases.Product, rows: int) -> str:
    """Products of the same shape are tuned once, whatever they are for."""
    return f"{rows} x [{product.n}, {product.k}]{' gate and up' if product.gated else ''}"


def candidates(product: cases.Product, rows: int) -> Iterator[Tiles]:
    """Tiles worth trying: 2 to 64 KiB of weights in flight in a program."""
    width = runtime.power_of_two(product.k)
    if rows > 1:
        for block_n, warps in ((16, 1), (32, 2), (32, 4), (64, 4)):
            for block_k, stages in ((64, 6), (128, 4), (128, 6), (256, 3)):
                if block_n * block_k * stages <= 48 << 10 and block_k <= width:
                    yield configs.Rows(block_n, block_k, warps, stages)
        return
    if product.k > 8192:
        for block_k in (1024, 2048, 4096):
            for block_n in (1, 2, 4):
                for warps in (4, 8):
                    if 16 <= block_n * block_k // (32 * warps) <= 64:
                        yield configs.Row(block_n, block_k, warps)
        for block_n, block_k, warps in ((2, 1024, 4), (4, 512, 2), (4, 1024, 4), (8, 512, 4)):
            yield configs.Row(block_n, block_k, warps, 4)
    yield from whole_rows(product, width)


def whole_rows(product: cases.Product, width: int) -> Iterator[configs.Row]:
    """Tiles of whole rows, for one to eight programs on a multiprocessor."""
    for warps, block_n, stages in itertools.product((2, 4, 8, 16), (1, 2, 4), (1, 3)):
        of_a_thread = width // (32 * warps)
        weights = of_a_thread * block_n * (1 + product.gated)
        if not (8 <= of_a_thread <= 32 and weights <= 64):
            continue
        for programs in (2, 4, 6):
            tiles = -(-product.n // (block_n * programs * MULTIPROCESSORS))
            if 4 <= programs * warps <= 32 and (tiles > 1 or stages == 1):
                yield configs.Row(block_n, width, warps, stages, tiles)


def best(product: cases.Product, rows: int) -> dict[str, Any]:
    """The fastest tiles, their time, that of the table's present ones, and PyTorch's."""
    architecture = runtime.architecture(0)
    choose = configs.row if rows == 1 else configs.rows
    present = choose(architecture, product.n, product.k, gated=product.gated)
    tried = list(dict.fromkeys((present, *candidates(product, rows))))
    compiled = list(pool().map(partial(_compile, product, rows), tried))
    case = cases.Case(product.name, product.bytes, partial(_calls, product, rows))
    fused, plain = zip(*(case.make(number) for number in range(case.copies)), strict=True)
    times = {}
    for one, works in zip(tried, compiled, strict=True):
        if works:
            use(product, rows, one)
            times[one] = graphs.microseconds(fused)
    fastest = min(times, key=lambda one: times[one])
    use(product, rows, fastest)
    return {
        "key": [architecture, product.n, product.k, product.gated],
        "rows": rows,
        "tiles": list(fastest),
        "us": round(times[fastest], 3),
        "untuned_us": round(times.get(present, float("nan")), 3),
        "pytorch_us": round(graphs.microseconds(plain), 3),
        "tried": {str(list(one)): round(us, 3) for one, us in times.items()},
    }


def use(product: cases.Product, rows: int, chosen: Tiles) -> None:
    """Make ``chosen`` the tiles of a product's shape."""
    key = (runtime.architecture(0), product.n, product.k, product.gated)
    if isinstance(chosen, configs.Row):
        configs.ROW[key] = chosen
    else:
        configs.ROWS[key] = chosen
    configs.LARGEST[key] = max(rows, configs.SMALL_BATCH)


def table(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Rows for configs.py: ROW, ROWS, and LARGEST where PyTorch is faster."""
    largest: dict[tuple[Any, ...], list[tuple[int, bool]]] = {}
    for row in found:
        key = tuple(row["key"])
        kind = "Row" if row["rows"] == 1 else "Rows"
        yield f"{kind.upper()}[{key!r}] = {kind}{tuple(row['tiles'])!r}"
        faster = row["us"] <= row["pytorch_us"] * WORTH
        largest.setdefault(key, []).append((row["rows"], faster))
    for key, rows in largest.items():
        won = 0
        for count, faster in sorted(rows):
            if not faster:
                break
            won = count
        if won < max(count for count, _ in rows):
            yield f"LARGEST[{key!r}] = {won}"


def _calls(product: cases.Product, rows: int, number: int) -> cases.Calls:
    """The kernel and PyTorch's product, for gate and up with the norms before and GELU after."""
    x = cases.random(number, rows, product.k)
    weight = cases.random(number, product.n * (1 + product.gated), product.k, spread=0.02)
    if not product.gated:
        return partial(linear.linear, x, weight), partial(functional.linear, x, weight)
    ops = cases.stock()
    residual, norm = cases.random(number + 1, rows, product.k), weight[0]
    tail = (x, norm, residual, norm)

    def plain() -> torch.Tensor:
        hidden, _ = norms.attention_tail(*tail, cases.EPS)
        made: torch.Tensor = ops.gelu_and_mul(functional.linear(hidden, weight))
        return made

    return partial(linear.attention_tail_gate_up, *tail, weight, cases.EPS), plain


def _compile(product: cases.Product, rows: int, chosen: Tiles) -> bool:
    """Run the kernel once in this process: what it compiles is found on disk by the others."""
    use(product, rows, chosen)
    small = product._replace(n=min(product.n, 64), count=1)
    use(small, rows, chosen)
    try:
        _calls(small, rows, 0)[0]()
    except Exception as error:
        print(f"{name(product, rows)} {chosen}: {type(error).__name__}", file=sys.stderr)
        return False
    return True


@cache
def pool() -> ProcessPoolExecutor:
    """Processes that compile; they start anew, as CUDA cannot be forked."""
    count = min(PROCESSES, os.cpu_count() or 1)
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))


def stop() -> None:
    """End the processes."""
    pool().shutdown()
