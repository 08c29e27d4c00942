"""Attention of decode batches: one new token a request over its KV, split along the tokens.

Stock launches few programs for a small batch of a model with few KV heads (8 for E2B at 512
tokens), pads 8 query heads to 16 rows, and merges in a second launch that waits for the first.
Here

- a grid is as large as the GPU where batch and KV heads leave room, and each request uses as many
  of its splits as it has 64 tokens for. Where they leave little, only long requests are split. The
  grid depends on the batch, never on lengths, which the kernel reads itself: a CUDA graph replays
  for any;
- K and V of earlier steps are requested before the preceding launch has ended (programmatic
  dependent launch), those of the newest token after it;
- few splits are merged by the last of them to arrive, without another launch. It counts arrivals
  in a buffer that it leaves at zero. One program would take long to read many splits (128 of E2B's
  full layers are 2 MiB): these are merged by a second, dependent launch of many programs.

Requests are slices ``slots[starts[i]:starts[i + 1]]`` of pool rows, the newest token's last, as
SGLang's Triton backend keeps them: ``kv_indptr`` and ``kv_indices`` of full layers,
``window_kv_indptr`` and ``window_kv_indices`` of sliding ones, whose rows are of their own pool.
Scores and sums are fp32, weights are rounded before they multiply V, as in stock. Offsets into the
pools are 64-bit.

With more pairs of requests and KV heads than multiprocessors the programs, of which one runs on
each at a time, wait for each other, and stock's smaller ones are faster: see :func:`faster`.
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

_LONGEST_TILE = 64  # tokens of a tile at most
_MOST_SPLITS = 128
_LONG_SPLITS = 4  # at least where a request may be much longer than the others,
_LONG_LEAST = 512  # with more tokens each, so that the others stay whole
_MOST_INSIDE = 16  # splits that the last to arrive merges at most,
_MERGED_BYTES = 1 << 17  # and bytes: what one multiprocessor reads in about a microsecond
_COLUMNS = 32  # of a program of the second launch
_H100_MULTIPROCESSORS = 132  # for the interpreter


class Tile(NamedTuple):
    """Values of K, and of V, that a program holds at once, its warps, and how many run at once.

    ``programs`` is of a multiprocessor.
    """

    values: int
    warps: int
    programs: int


TILE = Tile(1 << 14, 8, 1)  # 32 KiB each of K and V


class Plan(NamedTuple):
    """Splits of a request's KV head, tokens that each has at least, and who merges.

    The last split to arrive merges up to ``inside`` of them; 0: a second launch does.
    """

    splits: int
    least: int
    inside: int


def plan(pairs: int, group: int, head_dim: int, longest: int | None, at_once: int) -> Plan:
    """How to split ``pairs`` of a request and a KV head, with ``group`` query heads each.

    Splits fill one round of the programs that the GPU runs ``at_once``. Where they fill none and
    no request is known to be longer than ``longest`` tokens (None), long requests are split.
    """
    splits, least = at_once // pairs, LEAST
    if longest is not None:
        splits = min(splits, -(-longest // LEAST))
    elif splits < _LONG_SPLITS:
        splits, least = _LONG_SPLITS, _LONG_LEAST
    splits = max(1, min(splits, _MOST_SPLITS))
    inside = min(_MOST_INSIDE, _MERGED_BYTES // (4 * group * head_dim))
    return Plan(splits, least, inside if splits <= inside and pairs <= PAIRS else 0)


def faster(pairs: int, device: torch.device) -> bool:
    """Whether this is faster than stock for ``pairs`` of a request and a KV head.

    Measured on an H200 at 100 requests: as fast with 100 pairs (E2B), 1.25 times as slow with 200
    (E4B) and with 200 and 800 (26B-A4B), ``profile-*-H200.json``.
    """
    return pairs <= _multiprocessors(device)


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
    tile: Tile = TILE,
) -> torch.Tensor:
    """Softmax attention of ``q`` [B, heads, D] over each request's KV, [B, heads, D].

    The pools are [rows, KV heads, D] in the type of ``q`` (bf16 or fp16); ``starts`` [B + 1 or
    more] and ``slots`` are int32 or int64. ``longest`` bounds the tokens of a request (the sliding
    window) or is None. A request without tokens gets zeros.

    Replaces two launches: stock's split attention and its merge.
    """
    _check(q, k_pool, v_pool, starts, slots)
    (batch, heads, head_dim), kv_heads = q.shape, k_pool.shape[1]
    pairs, group = batch * kv_heads, heads // kv_heads
    out = torch.empty((batch, heads, head_dim), dtype=q.dtype, device=q.device)
    if batch == 0:
        return out
    at_once = tile.programs * _multiprocessors(q.device)
    splits, least, inside = plan(pairs, group, head_dim, longest, at_once)
    sums = torch.empty((pairs, splits, group, head_dim), dtype=torch.float32, device=q.device)
    tops = torch.empty((pairs, splits, 2, group), dtype=torch.float32, device=q.device)
    kernels, launch = _kernels(), runtime.launch(q)
    sizes = {
        "GROUP": group,
        "D": head_dim,
        "BLOCK": min(_LONGEST_TILE, tile.values // head_dim),
    }
    kernels.split_attention[(splits, kv_heads, batch)](
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
        HEADS=max(8, runtime.power_of_two(group)),
        MERGE=inside,
        num_warps=tile.warps,
        num_stages=1,
        **sizes,
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
            MOST=_MOST_SPLITS,
            COLUMNS=columns,
            **sizes,
            **launch,
        )
    return out


@cache
def arrivals(device: torch.device) -> torch.Tensor:
    """Counters of a device's pairs, zero between launches.

    Made by the check at start, before CUDA graphs are captured. Launches that share them follow
    each other, as those of one model do.
    """
    return torch.zeros(PAIRS, dtype=torch.int32, device=device)


@cache
def _multiprocessors(device: torch.device) -> int:
    if runtime.interpreted():
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
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import decode

    return decode
