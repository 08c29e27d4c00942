"""Attention of decode batches: one new token a request over its KV, split along the tokens.

Stock launches few programs for a small batch of a model with few KV heads (8 for E2B at 512
tokens), pads 8 query heads to 16 rows, and merges in a second launch that waits for the first.
Here

- a grid is as large as the GPU where batch and KV heads leave room, and each request uses as many
  of its splits as it has 64 tokens for. Where they leave little, requests are split into shares
  small enough that no multiprocessor waits long for the last, and several programs run on each.
  The grid depends on the batch, never on lengths, which the kernel reads itself: a CUDA graph
  replays for any;
- K and V of earlier steps are requested before the preceding launch has ended (programmatic
  dependent launch), those of the newest token after it;
- few splits are merged by the last of them to arrive, without another launch. It counts arrivals
  in a buffer that it leaves at zero. One program would take long to read many splits (128 of E2B's
  full layers are 2 MiB): these are merged by a second, dependent launch of many programs.

Requests are slices ``slots[starts[i]:starts[i + 1]]`` of pool rows, the newest token's last, as
SGLang's Triton backend keeps them: ``kv_indptr`` and ``kv_indices`` of full layers,
``window_kv_indptr`` and ``window_kv_indices`` of sliding ones, whose rows are of their own pool.
Scores and sums are fp32. Weights are rounded before they multiply V, as in stock; streams, which
need no tensor cores, keep them in fp32. Offsets into the pools are 64-bit.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch

from gemma4ctl.sglang_model.kernels import runtime

TYPES = (torch.bfloat16, torch.float16)
LARGEST_GROUP = 16  # query heads of a KV head
LARGEST_HEAD = 512
LEAST = 64  # tokens of a split at least: fewer are not worth merging
PAIRS = 1 << 14  # of requests and KV heads, whose splits can be counted

_SHORTEST_TILE, _LONGEST_TILE = 16, 64  # tokens of a tile
_MOST_SPLITS = 128
_MOST_INSIDE = 16  # splits that the last to arrive merges at most,
_MERGED_BYTES = 1 << 17  # and bytes: what one multiprocessor reads in about a microsecond
_COLUMNS = 32  # of a program of the second launch
_H100_MULTIPROCESSORS = 132


class Tile(NamedTuple):
    """Values of K, and of V, that a program holds at once, its warps, and tiles on their way.

    With one of these ``stages`` the next tile is in registers, and the first is requested before
    the preceding launch has ended; with more they are in shared memory.
    """

    values: int
    warps: int
    stages: int = 1


class Stream(NamedTuple):
    """Tokens that each warp of a program holds at once, without tensor cores: for two heads."""

    tokens: int
    warps: int


class Many(NamedTuple):
    """How requests are attended to that leave no room for many splits of each.

    Each is split into up to ``splits`` of ``least`` tokens or more.
    """

    tile: Tile | Stream
    splits: int
    least: int


TILE = Tile(1 << 14, 8)  # 32 KiB each of K and V: one program on a multiprocessor
# With 100 requests on an H200, the fastest ways that split a request into four or more, since one
# may be much longer than the others: in sliding layers, in full ones, and in full ones of more than
# 8 query heads a KV head, of which 8 splits are too many for the last to merge (decode-H200.json).
MANY = Many(Tile(1 << 12, 4), 4, 128)
MANY_WIDE = Many(Tile(1 << 13, 4, 2), 8, 128)
MANY_WIDE_GROUPS = Many(Tile(1 << 13, 4, 5), 4, 256)
# The fastest in sliding layers where two query heads share KV, of 26B-A4B and 31B
# (decode-paired-H200.json). Their window has room for two such shares.
MANY_PAIRED = Many(Stream(4, 2), 4, 512)
PAIRED = (2, 256)  # query heads of a KV head and head dimension where streams need no barriers


class Plan(NamedTuple):
    """A tile, splits of a request's KV head, tokens that each has at least, and who merges.

    The last split to arrive merges up to ``inside`` of them; 0: a second launch does.
    """

    tile: Tile | Stream
    splits: int
    least: int
    inside: int


def plan(
    pairs: int,
    group: int,
    head_dim: int,
    longest: int | None,
    multiprocessors: int,
    many: Many | None = None,
) -> Plan:
    """How to split ``pairs`` of a request and a KV head, with ``group`` query heads each.

    Splits fill one round of programs, one on each of the ``multiprocessors``, where two or more of
    a pair are in it. With more pairs it is done as ``many`` says, or the table. No request has more
    than ``longest`` tokens, where that is known.
    """
    if crowded(pairs, multiprocessors):
        tile, splits, least = many or _many(group, head_dim)
    else:
        tile, splits, least = TILE, multiprocessors // pairs, LEAST
    if longest is not None:
        splits = min(splits, -(-longest // least))
    if pairs > PAIRS:  # more than are counted: nobody merges
        splits = 1
    splits = max(1, min(splits, _MOST_SPLITS))
    inside = min(_MOST_INSIDE, _MERGED_BYTES // (4 * group * head_dim))
    return Plan(tile, splits, least, inside if splits <= inside else 0)


def _many(group: int, head_dim: int) -> Many:
    """What the table says of layers of these sizes."""
    if head_dim > 256:
        return MANY_WIDE if group <= 8 else MANY_WIDE_GROUPS
    return MANY_PAIRED if (group, head_dim) == PAIRED else MANY


def crowded(pairs: int, multiprocessors: int) -> bool:
    """Whether pairs of a request and a KV head leave no room for two programs of each."""
    return 2 * pairs > multiprocessors


def crowd(kv_heads: int, device: torch.device) -> int:
    """The fewest requests that are attended to as a crowd."""
    return _multiprocessors(device) // (2 * kv_heads) + 1


def supported(heads: int, kv_heads: int, head_dim: int) -> bool:
    """Whether the kernels have tiles for these sizes of a layer."""
    power = runtime.power_of_two(head_dim) == head_dim
    grouped = heads % kv_heads == 0 and heads // kv_heads <= LARGEST_GROUP
    return grouped and power and 16 <= head_dim <= LARGEST_HEAD


def attend(
    q: torch.Tensor,
    k_pool: torch.Tensor,
    v_pool: torch.Tensor,
    starts: torch.Tensor,
    slots: torch.Tensor,
    scale: float,
    longest: int | None,
    many: Many | None = None,
) -> torch.Tensor:
    """Softmax attention of ``q`` [B, heads, D] over each request's KV, [B, heads, D].

    The pools are [rows, KV heads, D] in the type of ``q`` (bf16 or fp16); ``starts`` [B + 1 or
    more] and ``slots`` are int32 or int64. ``longest`` bounds the tokens of a request (the sliding
    window) or is None; ``many`` is for measurements. A request without tokens gets zeros.

    Replaces two launches: stock's split attention and its merge.
    """
    _check(q, k_pool, v_pool, starts, slots)
    (batch, heads, head_dim), kv_heads = q.shape, k_pool.shape[1]
    pairs, group = batch * kv_heads, heads // kv_heads
    out = torch.empty((batch, heads, head_dim), dtype=q.dtype, device=q.device)
    if batch == 0:
        return out
    planned = plan(pairs, group, head_dim, longest, _multiprocessors(q.device), many)
    tile, splits, least, inside = planned
    sums = torch.empty((pairs, splits, group, head_dim), dtype=torch.float32, device=q.device)
    tops = torch.empty((pairs, splits, 2, group), dtype=torch.float32, device=q.device)
    (kernels, streams), launch = _kernels(), runtime.launch(q)
    streamed = isinstance(tile, Stream)
    attention = streams.stream_attention if streamed else kernels.split_attention
    attention[(splits, kv_heads, batch)](
        q,
        k_pool,
        v_pool,
        starts,
        slots,
        out,
        sums,
        tops,
        arrivals(q.device),
        scale,
        q.stride(0),
        q.stride(1),
        k_pool.stride(0),
        k_pool.stride(1),
        v_pool.stride(0),
        v_pool.stride(1),
        splits,
        least,
        MERGE=inside,
        num_warps=tile.warps,
        num_stages=1,
        **_constants(tile, group, head_dim),
        **launch,
    )
    if not inside:
        columns = min(_COLUMNS, head_dim)
        kernels.merge[(head_dim // columns, heads, batch)](
            starts,
            sums,
            tops,
            out,
            splits,
            least,
            GROUP=group,
            D=head_dim,
            BLOCK=_tokens(tile, head_dim),
            MOST=_MOST_SPLITS,
            COLUMNS=columns,
            **launch,
        )
    return out


def _tokens(tile: Tile | Stream, head_dim: int) -> int:
    """Tokens of a tile."""
    if isinstance(tile, Stream):
        return tile.tokens * tile.warps
    return min(_LONGEST_TILE, max(_SHORTEST_TILE, tile.values // head_dim))


def _constants(tile: Tile | Stream, group: int, head_dim: int) -> dict[str, int]:
    """What a kernel is compiled for."""
    if isinstance(tile, Stream):
        return {"D": head_dim, "TOKENS": tile.tokens, "WARPS": tile.warps}
    return {
        "GROUP": group,
        "HEADS": max(8, runtime.power_of_two(group)),
        "D": head_dim,
        "BLOCK": _tokens(tile, head_dim),
        "STAGES": tile.stages,
    }


@cache
def arrivals(device: torch.device) -> torch.Tensor:
    """Counters of a device's pairs, zero between launches.

    Made by the check at start, before CUDA graphs are captured. Launches that share them follow
    each other, as those of one model do.
    """
    return torch.zeros(PAIRS, dtype=torch.int32, device=device)


@cache
def _multiprocessors(device: torch.device) -> int:
    """Of a GPU; those of an H100 where there is none."""
    if runtime.interpreted() or device.type != "cuda":
        return _H100_MULTIPROCESSORS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def _check(
    q: torch.Tensor,
    k_pool: torch.Tensor,
    v_pool: torch.Tensor,
    starts: torch.Tensor,
    slots: torch.Tensor,
) -> None:
    """Raise ValueError unless the kernels read these as they are."""
    batch, heads, head_dim = q.shape
    if q.dtype not in TYPES or q.stride(2) != 1:
        raise ValueError(f"expected contiguous heads of bf16 or fp16, got {q.dtype}")
    for pool in (k_pool, v_pool):
        if pool.dtype != q.dtype or pool.shape[2] != head_dim or pool.stride(2) != 1:
            raise ValueError(
                f"expected pools [rows, heads, {head_dim}] of {q.dtype}, got {pool.dtype} "
                f"{tuple(pool.shape)}"
            )
    if not supported(heads, k_pool.shape[1], head_dim):
        raise ValueError(
            f"expected up to {LARGEST_GROUP} query heads a KV head, of a power of two up to "
            f"{LARGEST_HEAD}, got {heads} and {k_pool.shape[1]} heads of {head_dim}"
        )
    if starts.shape[0] <= batch or not (starts.is_contiguous() and slots.is_contiguous()):
        raise ValueError(f"expected {batch + 1} contiguous starts, got {tuple(starts.shape)}")


@cache
def _kernels() -> tuple[ModuleType, ModuleType]:
    """Those of splits and of streams."""
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import decode, streams

    return decode, streams
