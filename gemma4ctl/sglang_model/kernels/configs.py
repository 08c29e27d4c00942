"""Tile sizes of the kernels in ``linear``: measured ones by shape and architecture, safe ones else.

``benchmarks/kernels/micro.py tune`` measures candidates and PyTorch's product on a GPU and prints
rows for the tables.
"""

from __future__ import annotations

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

_VALUES = 4096  # weights that a program of 128 threads requests at once: 8 KiB
_PROGRAMS = 264  # two programs on each of the 132 multiprocessors of an H100 or H200
_LONGEST = 8192  # K up to which a program takes whole rows


def largest(architecture: str, n: int, k: int, *, gated: bool) -> int:
    """Rows up to which the kernel computes a product with [n, k]."""
    return LARGEST.get((architecture, n, k, gated), SMALL_BATCH)


def row(architecture: str, n: int, k: int, *, gated: bool) -> Row:
    """Tiles for one row times [n, k] (``gated``: two such tiles a program).

    Up to K = 8192 a program takes whole rows, several in turn, the first of which it requests
    before it waits for the previous kernel.
    """
    known = ROW.get((architecture, n, k, gated))
    if known:
        return known
    whole = k <= _LONGEST
    block_k = runtime.power_of_two(k) if whole else 4096 if n < 4096 else 2048
    warps = max(4, block_k // 1024) if whole else 4
    block_n = max(1, _VALUES * warps // 4 // block_k // (2 if gated else 1))
    while block_n > 1 and -(-n // block_n) < _PROGRAMS:
        block_n //= 2
    programs = 2 * _PROGRAMS * 4 // warps
    return Row(block_n, block_k, warps, tiles=-(-n // (block_n * programs)) if whole else 1)


def rows(architecture: str, n: int, k: int, *, gated: bool) -> Rows:
    """Tiles for 2 to 16 rows times [n, k]."""
    known = ROWS.get((architecture, n, k, gated))
    if known:
        return known
    if n < 16 * _PROGRAMS:
        return Rows(block_n=16, block_k=128, warps=1, stages=5)
    return Rows(block_n=32, block_k=128, warps=2, stages=4)
