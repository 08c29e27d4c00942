"""Tile sizes of the kernels in ``linear``: measured ones by shape and architecture, safe ones else.

``benchmarks/kernels/micro.py tune`` measures candidates and PyTorch's product on a GPU and prints
rows for the tables.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gemma4ctl.sglang_model.kernels import runtime


class Row(NamedTuple):
    """Tiles of the kernel for one row; one stage holds them in registers, more in shared memory.

    ``tiles``: how many a program takes, one after the other, where ``block_k`` holds whole rows.
    """

    block_n: int
    block_k: int
    warps: int
    stages: int = 1
    tiles: int = 1


class Rows(NamedTuple):
    """Tiles of the kernel for 2 to 16 rows."""

    block_n: int
    block_k: int
    warps: int
    stages: int


SMALL_BATCH = 8  # rows up to which the kernels compute products, unless LARGEST says otherwise

# Keys: architecture, N, K, and whether there are 2N rows of gate and up.
Key = tuple[str, int, int, bool]
ROW: dict[Key, Row] = {}
ROWS: dict[Key, Rows] = {}
LARGEST: dict[Key, int] = {}  # rows up to which the kernel is the faster one; 0: never

_MULTIPROCESSORS = 132  # of an H100 or H200
_PROGRAMS = 2 * _MULTIPROCESSORS  # at least, where there is so much to do
_LONGEST = 16384  # K up to which a program of one row takes whole rows


def largest(architecture: str, n: int, k: int, *, gated: bool) -> int:
    """Rows up to which the kernel computes a product with [n, k]."""
    return LARGEST.get((architecture, n, k, gated), SMALL_BATCH)


def row(architecture: str, n: int, k: int, *, gated: bool) -> Row:
    """Tiles for one row times [n, k] (``gated``: two such tiles a program).

    A program takes whole rows, the first of which it requests before it waits for the previous
    kernel, and as many in turn as keep all programs on the GPU at once: 2 to 4 of them on a
    multiprocessor. For 13 shapes of E2B and 12B on an H200, 1% slower on average than the fastest
    tiles that were tried, and 6% at most.
    """
    known = ROW.get((architecture, n, k, gated))
    if known:
        return known
    if k > _LONGEST:
        return Row(block_n=2, block_k=2048, warps=8)
    width = runtime.power_of_two(k)
    warps = 16 if width == 16384 or (gated and width == 8192) else 8 if width >= 4096 else 4
    block_n = 4 if width <= 2048 and not gated else 2
    while block_n > 1 and -(-n // block_n) < _PROGRAMS:
        block_n //= 2
    waves = n / (block_n * _MULTIPROCESSORS * (4 if width <= 4096 else 2))
    return Row(block_n, width, warps, tiles=math.ceil(waves) if waves > 1.5 else 1)


def rows(architecture: str, n: int, k: int, *, gated: bool) -> Rows:
    """Tiles for 2 to 16 rows times [n, k]."""
    known = ROWS.get((architecture, n, k, gated))
    if known:
        return known
    if n < 16 * _PROGRAMS:
        return Rows(block_n=16, block_k=128, warps=1, stages=5)
    return Rows(block_n=32, block_k=128, warps=2, stages=4)
