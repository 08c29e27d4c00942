"""Triton: attention of one new token a request where two query heads share KV, by streams.

Every warp reads tokens of its own and keeps its own maxima and sums; the warps of a program meet
once, at the end of its share. No tensor cores are used, of whose rows two heads would fill few,
and with heads of 256 values, which the lanes of a warp hold between them, no barrier and no shared
memory stands between a tile and the next (other widths work, with barriers).
"""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.decode import (
    LEAST_WEIGHT,
    LOG2_E,
    LOWEST,
    _merge_all,
    _share,
)
from gemma4ctl.sglang_model.kernels.device.ops import begin, wait


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
    q,  # [B, KV_HEADS * 2, D]
    k_pool,  # [slots, KV_HEADS, D]
    v_pool,  # [slots, KV_HEADS, D]
    starts,  # [B + 1] int: where a request's slots begin and end
    slots,  # int, rows of the pools; of a request's, the newest token's is the last
    out,  # [B, KV_HEADS * 2, D] contiguous
    sums,  # [B, KV_HEADS, splits, 2, D] fp32: V summed by weight
    tops,  # [B, KV_HEADS, splits, 2, 2] fp32: largest scores, and sums of the weights
    arrived,  # [B * KV_HEADS] int32: zero before and after
    scale,
    stride_q,
    stride_q_head,
    stride_k_slot,
    stride_k_head,
    stride_v_slot,
    stride_v_head,
    splits,
    least,  # tokens of a split at least; a multiple of those of a tile
    D: tl.constexpr,
    TOKENS: tl.constexpr,  # of a warp at once
    WARPS: tl.constexpr,
    MERGE: tl.constexpr,  # splits that the last of them to arrive merges; 0: another launch does
    PDL: tl.constexpr,
):
    """Programs (split, KV head, request); a short request needs only the first of its splits."""
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
        if MERGE > 0:
            tl.debug_barrier()  # until all threads have stored
            parts = tl.cdiv(length, share)
            if tl.atomic_add(arrived + pair, 1, sem="acq_rel") == parts - 1:
                tl.store(arrived + pair, 0)
                both = target[:, None] + tl.arange(0, 2)[None, :] * D
                _merge_all(sums, tops, both, pair * splits, parts, 2, 2, D, MERGE)
