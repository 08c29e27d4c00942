"""Attention of many requests at once: ways to split them, and their times beside stock's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cases
import graphs
import tiles
import torch
from cases import Case

from gemma4ctl.sglang_model.kernels import decode

LOADS = ((448, 0), (1536, 0), (448, 32768))  # tokens of each request, and of one, if longer
TILES = tuple(
    decode.Tile(1 << bits, warps, stages)
    for bits, warps, stages in ((14, 8, 1), (13, 4, 1), (12, 4, 1), (13, 4, 2), (13, 4, 5))
)
SPLITS = ((1, 512), (2, 256), (4, 128), (4, 256), (8, 128), (8, 256))  # and tokens of each at least
CANDIDATES = tuple(decode.Many(tile, *split) for tile, split in product(TILES, SPLITS))
STREAMS = tuple(  # where two query heads share KV
    decode.Many(decode.Stream(*stream), *split)
    for stream, split in product(
        ((4, 1), (4, 2), (4, 4)), ((4, 512), (4, 256), (4, 192), (4, 128), (8, 64))
    )
)
NEAR = 0.02  # a result that is off by more, as a share of its norm, is wrong
ENOUGH = 100  # requests that are many for every variant
Call = partial[torch.Tensor]


def compile_all(variants: Sequence[str]) -> None:
    """Compile every tile for the layers of the variants, in parallel processes."""
    every = dict.fromkeys(many.tile for many in (*CANDIDATES, *STREAMS))
    list(tiles.pool().map(_compile, *zip(*product(variants, every), strict=True)))


def _compile(variant: str, tile: decode.Tile | decode.Stream) -> None:
    """Run a tile once in this process: what it compiles is found on disk by the others."""
    for case in cases.decode_cases(cases.VARIANTS[variant], ENOUGH, (32,)):
        call, _ = case.make(0)
        if tile not in {many.tile for many in ways(call)}:
            continue
        try:
            call(many=decode.Many(tile, 1, 512))
        except Exception as error:
            print(f"{variant} {case.name} {tile}: {type(error).__name__}", file=sys.stderr)


def every_case(
    variants: Sequence[str], rows: Sequence[int], kinds: Sequence[str]
) -> Iterator[tuple[str, Case]]:
    """Attention of so many requests in layers of the variants, named for the record."""
    for (context, longer), count, variant in product(LOADS, rows, variants):
        for case in cases.decode_cases(cases.VARIANTS[variant], count, (context,), longer):
            if case.name.split()[1] in kinds:
                yield f"{variant} {count} {case.name}", case


def measured(case: Case, difference: Callable[..., float | None]) -> dict[str, Any]:
    """Microseconds of every candidate and of stock; of candidates only those that are right."""
    fused, stock = zip(*(case.make(number) for number in range(case.copies)), strict=True)
    times: dict[str, float] = {}
    for many in ways(fused[0]):
        calls = [partial(call, many=many) for call in fused]
        try:
            off = difference(calls[0], stock[0])
            if off is None or off < NEAR:
                times[named(many)] = round(graphs.microseconds(calls), 2)
        except Exception as error:
            print(f"{case.name} {named(many)}: {type(error).__name__}", file=sys.stderr)
    if not times:
        return {"error": "no candidate is right"}
    fastest = min(times, key=lambda name: times[name])
    return {
        "bytes": case.bytes,
        "fastest": fastest,
        "us": times[fastest],
        "stock_us": round(graphs.microseconds(stock), 2),
        "tried": times,
    }


def ways(call: Call) -> Iterator[decode.Many]:
    """The candidates for a call of ``decode.attend``."""
    q, k_pool, *_ = call.args
    yield from CANDIDATES
    if q.shape[1] == 2 * k_pool.shape[1]:
        yield from STREAMS


def named(many: decode.Many) -> str:
    """A candidate as a record names it, by its numbers."""
    kind = "stream " if isinstance(many.tile, decode.Stream) else ""
    return kind + " ".join(map(str, (*many.tile, many.splits, many.least)))
