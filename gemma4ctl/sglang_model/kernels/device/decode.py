"""Triton: attention of one new token a request over its KV, split along the tokens.

Scores are computed as ``K Q^T``: tokens are the rows of a matrix instruction and the query heads
of one KV head its columns, of which there are 8, so that 8 heads are not padded to 16 rows.
"""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import begin, wait

LOG2_E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(
    -1e30
)  # a maximum of no scores: finite, so that nothing is infinity - infinity
LEAST_WEIGHT = tl.constexpr(1e-30)  # so that padding and requests without tokens give zeros


@triton.jit
def _share(length, splits, least, BLOCK: tl.constexpr):
    """Tokens of each split of a request with ``length`` tokens; the last one has what is left."""
    return tl.maximum(tl.cdiv(tl.cdiv(length, splits), BLOCK) * BLOCK, least)


@triton.jit
def _rows(slots, tokens, end):
    """Rows of the pools [tokens, 1]; the first one in place of those from ``end`` on."""
    return tl.load(slots + tokens, mask=tokens < end, other=0).to(tl.int64)[:, None]


@triton.jit
def _with_tile(k, v, queries, scale, present, top, weight, total):
    """Largest scores, sums of the weights and of V by weight, with those of one more tile."""
    scores = tl.dot(k, queries) * (scale * LOG2_E)
    scores = tl.where(present, scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, axis=0))
    fade = tl.exp2(top - higher)
    weights = tl.exp2(scores - higher[None, :])
    weight = weight * fade + tl.sum(weights, axis=0)
    return higher, weight, tl.dot(tl.trans(v), weights.to(v.dtype), total * fade[None, :])


@triton.jit(do_not_specialize=["splits", "least"])
def split_attention(
    q,  # [B, KV_HEADS * GROUP, D]
    k_pool,  # [slots, KV_HEADS, D]
    v_pool,  # [slots, KV_HEADS, D]
    starts,  # [B + 1] int: where a request's slots begin and end
    slots,  # int, rows of the pools; of a request's, the newest token's is the last
    out,  # [B, KV_HEADS * GROUP, D] contiguous
    sums,  # [B, KV_HEADS, splits, GROUP, D] fp32: V summed by weight
    tops,  # [B, KV_HEADS, splits, 2, GROUP] fp32: largest score, and sum of the weights
    arrived,  # [B * KV_HEADS] int32: zero before and after
    scale,
    stride_q,
    stride_q_head,
    stride_k_slot,
    stride_k_head,
    stride_v_slot,
    stride_v_head,
    splits,
    least,  # tokens of a split at least; a multiple of BLOCK
    GROUP: tl.constexpr,  # query heads of a KV head
    HEADS: tl.constexpr,  # power of two >= GROUP and 8
    D: tl.constexpr,
    BLOCK: tl.constexpr,  # tokens at once
    MERGE: tl.constexpr,  # splits that the last of them to arrive merges; 0: another launch does
    STAGES: tl.constexpr,  # tiles in shared memory; 1: the next one in registers, asked for early
    PDL: tl.constexpr,
):
    """Programs (split, KV head, request); a short request needs only the first of its splits."""
    begin(PDL)
    split = tl.program_id(0)
    kv_head = tl.program_id(1)
    request = tl.program_id(2).to(tl.int64)
    start = tl.load(starts + request).to(tl.int64)
    length = (tl.load(starts + request + 1) - start).to(tl.int32)
    share = _share(length, splits, least, BLOCK)
    first = split * share
    if (split > 0) & (first >= length):
        return

    end = tl.minimum(first + share, length)
    cols = tl.arange(0, D)
    heads = tl.arange(0, HEADS)
    real = heads < GROUP
    k_rows = k_pool + kv_head * stride_k_head + cols[None, :]
    v_rows = v_pool + kv_head * stride_v_head + cols[None, :]
    q_rows = q + request * stride_q + (kv_head * GROUP + heads[:, None]) * stride_q_head
    top = tl.full([HEADS], LOWEST, tl.float32)
    weight = tl.zeros([HEADS], tl.float32)
    total = tl.zeros([D, HEADS], tl.float32)
    if STAGES > 1:
        wait(PDL)
        queries = tl.trans(tl.load(q_rows + cols[None, :], mask=real[:, None], other=0.0))
        for begins in tl.range(first, end, BLOCK, num_stages=STAGES):
            tokens = begins + tl.arange(0, BLOCK)
            row = _rows(slots + start, tokens, end)
            present = (tokens < end)[:, None]
            k = tl.load(k_rows + row * stride_k_slot, mask=present, other=0.0)
            v = tl.load(v_rows + row * stride_v_slot, mask=present, other=0.0)
            top, weight, total = _with_tile(k, v, queries, scale, present, top, weight, total)
    else:
        # All but the newest token's K and V was written in earlier steps: it is requested before
        # the preceding launches have ended.
        newest = length - 1
        tokens = first + tl.arange(0, BLOCK)
        row = _rows(slots + start, tokens, end)
        next_row = _rows(slots + start, tokens + BLOCK, end)
        old = ((tokens < end) & (tokens < newest))[:, None]
        k = tl.load(k_rows + row * stride_k_slot, mask=old, other=0.0)
        v = tl.load(v_rows + row * stride_v_slot, mask=old, other=0.0)
        wait(PDL)
        new = (tokens == newest)[:, None]
        k = tl.load(k_rows + row * stride_k_slot, mask=new, other=k)
        v = tl.load(v_rows + row * stride_v_slot, mask=new, other=v)
        queries = tl.trans(tl.load(q_rows + cols[None, :], mask=real[:, None], other=0.0))
        for ahead in range(first + BLOCK, end + BLOCK, BLOCK):
            present = (tokens < end)[:, None]
            tokens = ahead + tl.arange(0, BLOCK)
            inside = (tokens < end)[:, None]
            row = next_row
            next_row = _rows(slots + start, tokens + BLOCK, end)
            next_k = tl.load(k_rows + row * stride_k_slot, mask=inside, other=0.0)
            top, weight, total = _with_tile(k, v, queries, scale, present, top, weight, total)
            v = tl.load(v_rows + row * stride_v_slot, mask=inside, other=0.0)
            k = next_k

    pair = request * tl.num_programs(1) + kv_head
    target = out + (pair * GROUP + heads[None, :]) * D + cols[:, None]
    if share >= length:
        result = total / tl.maximum(weight, LEAST_WEIGHT)[None, :]
        tl.store(target, result.to(out.dtype.element_ty), mask=real[None, :])
    else:
        place = pair * splits + split
        values = sums + (place * GROUP + heads[None, :]) * D + cols[:, None]
        tl.store(values, total, mask=real[None, :])
        tl.store(tops + place * 2 * GROUP + heads, top, mask=real)
        tl.store(tops + place * 2 * GROUP + GROUP + heads, weight, mask=real)
        if MERGE > 0:
            tl.debug_barrier()  # until all threads have stored
            parts = tl.cdiv(length, share)
            if tl.atomic_add(arrived + pair, 1, sem="acq_rel") == parts - 1:
                tl.store(arrived + pair, 0)
                _merge_all(sums, tops, target, pair * splits, parts, GROUP, HEADS, D, MERGE)


@triton.jit
def _merge_all(
    sums,
    tops,
    target,
    first,
    parts,
    GROUP: tl.constexpr,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    MOST: tl.constexpr,
):
    """All heads of up to MOST splits, each value in one thread; nothing is read from the L1."""
    heads = tl.arange(0, HEADS)
    cols = tl.arange(0, D)
    top = tl.full([HEADS], LOWEST, tl.float32)
    for split in tl.static_range(MOST):
        mask = (heads < GROUP) & (split < parts)
        place = tops + (first + split) * 2 * GROUP + heads
        found = tl.load(place, mask=mask, other=LOWEST, cache_modifier=".cg")
        top = tl.maximum(top, found)
    weight = tl.zeros([HEADS], tl.float32)
    total = tl.zeros([D, HEADS], tl.float32)
    for split in tl.static_range(MOST):
        mask = (heads < GROUP) & (split < parts)
        place = tops + (first + split) * 2 * GROUP + heads
        values = sums + ((first + split) * GROUP + heads[None, :]) * D + cols[:, None]
        found = tl.load(place, mask=mask, other=LOWEST, cache_modifier=".cg")
        share = tl.load(place + GROUP, mask=mask, other=0.0, cache_modifier=".cg")
        value = tl.load(values, mask=mask[None, :], other=0.0, cache_modifier=".cg")
        fade = tl.exp2(found - top)
        weight += share * fade
        total += value * fade[None, :]
    result = total / tl.maximum(weight, LEAST_WEIGHT)[None, :]
    tl.store(target, result.to(target.dtype.element_ty), mask=(heads < GROUP)[None, :])


@triton.jit(do_not_specialize=["splits", "least"])
def merge(
    starts,  # [B + 1] int
    sums,  # [B, KV_HEADS, splits, GROUP, D] fp32
    tops,  # [B, KV_HEADS, splits, 2, GROUP] fp32
    out,  # [B, KV_HEADS * GROUP, D] contiguous
    splits,
    least,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    MOST: tl.constexpr,  # power of two >= splits
    COLUMNS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Programs (columns, head, request): a head's columns of all splits at once."""
    begin(PDL)
    head = tl.program_id(1)
    request = tl.program_id(2).to(tl.int64)
    length = (tl.load(starts + request + 1) - tl.load(starts + request)).to(tl.int32)
    share = _share(length, splits, least, BLOCK)
    wait(PDL)  # all programs: the launch must not end before the one whose results stand
    if share >= length:
        return
    cols = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.arange(0, MOST)
    mask = part < tl.cdiv(length, share)
    pair = request * (tl.num_programs(1) // GROUP) + head // GROUP
    place = pair * splits + part
    own = head % GROUP
    top = tl.load(tops + place * 2 * GROUP + own, mask=mask, other=LOWEST)
    weight = tl.load(tops + place * 2 * GROUP + GROUP + own, mask=mask, other=0.0)
    values = sums + (place[:, None] * GROUP + own) * D + cols[None, :]
    value = tl.load(values, mask=mask[:, None], other=0.0)
    fade = tl.exp2(top - tl.max(top, axis=0))
    result = tl.sum(value * fade[:, None], axis=0) / tl.sum(weight * fade, axis=0)
    target = out + (request * tl.num_programs(1) + head) * D + cols
    tl.store(target, result.to(out.dtype.element_ty))
