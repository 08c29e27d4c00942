"""Attention of many requests with two query heads a KV head: a candidate without tensor cores.

Every warp streams tokens of its own and keeps its own maxima and sums; warps meet once, at the end
of a request's share. No barrier and no shared memory stands between a load and the next.
"""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import torch
import triton
import triton.language as tl

sys.path.insert(0, str(Path(__file__).parents[2]))

from gemma4ctl.sglang_model.kernels import decode, runtime
from gemma4ctl.sglang_model.kernels.device.decode import (
    LEAST_WEIGHT,
    LOG2_E,
    LOWEST,
    _merge_all,
    _share,
)
from gemma4ctl.sglang_model.kernels.device.ops import begin, wait


class Stream(NamedTuple):
    """Tokens that a warp holds, warps of a program, and splits of at least so many tokens."""

    tokens: int
    warps: int
    splits: int
    least: int


def attend(
    q: torch.Tensor,
    k_pool: torch.Tensor,
    v_pool: torch.Tensor,
    starts: torch.Tensor,
    slots: torch.Tensor,
    scale: float,
    longest: int | None,
    stream: Stream,
) -> torch.Tensor:
    """As ``decode.attend``, for two query heads a KV head and splits that one program merges."""
    (batch, heads, head_dim), kv_heads = q.shape, k_pool.shape[1]
    out = torch.empty((batch, heads, head_dim), dtype=q.dtype, device=q.device)
    splits = stream.splits
    if longest is not None:
        splits = min(splits, -(-longest // stream.least))
    pairs = batch * kv_heads
    sums = torch.empty((pairs, splits, 2, head_dim), dtype=torch.float32, device=q.device)
    tops = torch.empty((pairs, splits, 2, 2), dtype=torch.float32, device=q.device)
    stream_attention[(splits, kv_heads, batch)](
        q,
        k_pool,
        v_pool,
        starts,
        slots,
        out,
        sums,
        tops,
        decode.arrivals(q.device),
        scale,
        q.stride(0),
        q.stride(1),
        k_pool.stride(0),
        k_pool.stride(1),
        v_pool.stride(0),
        v_pool.stride(1),
        splits,
        stream.least,
        D=head_dim,
        TOKENS=stream.tokens,
        WARPS=stream.warps,
        MERGE=max(2, runtime.power_of_two(splits)),
        num_warps=stream.warps,
        num_stages=1,
        **runtime.launch(q),
    )
    return out


@triton.jit
def _places(slots, tokens, end):
    """Rows of the pools [WARPS, TOKENS, 1]; the first one in place of those from ``end`` on."""
    return tl.load(slots + tokens, mask=tokens < end, other=0).to(tl.int64)[:, :, None]


@triton.jit
def _head(k, v, q, scale, present, top, weight, total):
    """A tile's part of a head: maxima [WARPS], sums of weights [WARPS] and of V [WARPS, D]."""
    scores = tl.sum(k * q[None, None, :], axis=2) * (scale * LOG2_E)
    scores = tl.where(present, scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, axis=1))
    fade = tl.exp2(top - higher)
    weights = tl.exp2(scores - higher[:, None])
    weight = weight * fade + tl.sum(weights, axis=1)
    total = total * fade[:, None] + tl.sum(weights[:, :, None] * v, axis=1)
    return higher, weight, total


@triton.jit
def _together(top, weight, total):
    """Those of all warps."""
    highest = tl.max(top, axis=0)
    factor = tl.exp2(top - highest)
    return highest, tl.sum(weight * factor, axis=0), tl.sum(total * factor[:, None], axis=0)


@triton.jit(do_not_specialize=["splits", "least"])
def stream_attention(
    q,
    k_pool,
    v_pool,
    starts,
    slots,
    out,
    sums,
    tops,
    arrived,
    scale,
    stride_q,
    stride_q_head,
    stride_k_slot,
    stride_k_head,
    stride_v_slot,
    stride_v_head,
    splits,
    least,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    WARPS: tl.constexpr,
    MERGE: tl.constexpr,
    PDL: tl.constexpr,
):
    begin(PDL)
    block: tl.constexpr = TOKENS * WARPS
    split = tl.program_id(0)
    kv_head = tl.program_id(1)
    request = tl.program_id(2).to(tl.int64)
    start = tl.load(starts + request).to(tl.int64)
    length = (tl.load(starts + request + 1) - start).to(tl.int32)
    share = _share(length, splits, least, block)
    first = split * share
    if (split > 0) & (first >= length):
        return
    end = tl.minimum(first + share, length)
    newest = length - 1
    cols = tl.arange(0, D)
    within = tl.arange(0, WARPS)[:, None] * TOKENS + tl.arange(0, TOKENS)[None, :]
    k_rows = k_pool + kv_head * stride_k_head + cols[None, None, :]
    v_rows = v_pool + kv_head * stride_v_head + cols[None, None, :]
    tokens = first + within
    row = _places(slots + start, tokens, end)
    next_row = _places(slots + start, tokens + block, end)
    old = ((tokens < end) & (tokens < newest))[:, :, None]
    k = tl.load(k_rows + row * stride_k_slot, mask=old, other=0.0)
    v = tl.load(v_rows + row * stride_v_slot, mask=old, other=0.0)
    wait(PDL)
    new = (tokens == newest)[:, :, None]
    k = tl.load(k_rows + row * stride_k_slot, mask=new, other=k)
    v = tl.load(v_rows + row * stride_v_slot, mask=new, other=v)
    q_rows = q + request * stride_q + kv_head * 2 * stride_q_head + cols
    q_a = tl.load(q_rows).to(tl.float32)
    q_b = tl.load(q_rows + stride_q_head).to(tl.float32)
    top_a = tl.full([WARPS], LOWEST, tl.float32)
    top_b = tl.full([WARPS], LOWEST, tl.float32)
    weight_a = tl.zeros([WARPS], tl.float32)
    weight_b = tl.zeros([WARPS], tl.float32)
    total_a = tl.zeros([WARPS, D], tl.float32)
    total_b = tl.zeros([WARPS, D], tl.float32)
    for ahead in range(first + block, end + block, block):
        present = tokens < end
        tokens = ahead + within
        inside = (tokens < end)[:, :, None]
        row = next_row
        next_row = _places(slots + start, tokens + block, end)
        next_k = tl.load(k_rows + row * stride_k_slot, mask=inside, other=0.0)
        next_v = tl.load(v_rows + row * stride_v_slot, mask=inside, other=0.0)
        wide_k, wide_v = k.to(tl.float32), v.to(tl.float32)
        top_a, weight_a, total_a = _head(
            wide_k, wide_v, q_a, scale, present, top_a, weight_a, total_a
        )
        top_b, weight_b, total_b = _head(
            wide_k, wide_v, q_b, scale, present, top_b, weight_b, total_b
        )
        k, v = next_k, next_v
    top_a, weight_a, total_a = _together(top_a, weight_a, total_a)
    top_b, weight_b, total_b = _together(top_b, weight_b, total_b)
    pair = request * tl.num_programs(1) + kv_head
    target = out + pair * 2 * D + cols
    if share >= length:
        tl.store(target, (total_a / tl.maximum(weight_a, LEAST_WEIGHT)).to(out.dtype.element_ty))
        tl.store(
            target + D, (total_b / tl.maximum(weight_b, LEAST_WEIGHT)).to(out.dtype.element_ty)
        )
    else:
        place = pair * splits + split
        tl.store(sums + place * 2 * D + cols, total_a)
        tl.store(sums + (place * 2 + 1) * D + cols, total_b)
        tl.store(tops + place * 4, top_a)
        tl.store(tops + place * 4 + 1, top_b)
        tl.store(tops + place * 4 + 2, weight_a)
        tl.store(tops + place * 4 + 3, weight_b)
        tl.debug_barrier()
        parts = tl.cdiv(length, share)
        if tl.atomic_add(arrived + pair, 1, sem="acq_rel") == parts - 1:
            tl.store(arrived + pair, 0)
            heads = tl.arange(0, 2)
            both = out + (pair * 2 + heads[None, :]) * D + cols[:, None]
            _merge_all(sums, tops, both, pair * splits, parts, 2, 2, D, MERGE)
