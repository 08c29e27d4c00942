"""Triton: RMSNorm, RoPE and KV store, one head of one token a program."""

# ruff: noqa: N803, N806 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import begin, rounded, wait


@triton.jit
def _normed_halves(source, weight, cols, eps, HALF: tl.constexpr, WEIGHTED: tl.constexpr):
    """The two halves of one head after RMSNorm, rounded as stock's norm launch rounds them."""
    low = tl.load(source + cols).to(tl.float32)
    high = tl.load(source + HALF + cols).to(tl.float32)
    squares = tl.sum(low * low + high * high, axis=0)
    inverse = tl.rsqrt(squares / (2 * HALF) + eps)
    low = low * inverse
    high = high * inverse
    if WEIGHTED:
        low = low * tl.load(weight + cols).to(tl.float32)
        high = high * tl.load(weight + HALF + cols).to(tl.float32)
    return rounded(low, source), rounded(high, source)


@triton.jit
def _store_halves(target, low, high, cols, HALF: tl.constexpr):
    tl.store(target + cols, low.to(target.dtype.element_ty))
    tl.store(target + HALF + cols, high.to(target.dtype.element_ty))


@triton.jit
def norm_rope_store(
    q,  # [T, Q_HEADS * D], in place
    k,  # [T, KV_HEADS * D], in place if KEEP; read if KV_HEADS > 0
    v,  # [T, KV_HEADS * D], in place if KEEP; read if KV_HEADS > 0
    q_weight,  # [D]
    k_weight,  # [D]
    cos_sin,  # [positions, D] fp32: D / 2 cosines, then D / 2 sines
    positions,  # [T] int
    slots,  # [T] int, row of the pools; negative: not stored
    k_pool,  # [slots, KV_HEADS, D]
    v_pool,  # [slots, KV_HEADS, D]
    stride_q,
    stride_k,
    stride_v,
    stride_k_slot,
    stride_k_head,
    stride_v_slot,
    stride_v_head,
    stride_position,
    eps,
    Q_HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    KEEP: tl.constexpr,
    PDL: tl.constexpr,
):
    """Programs (token, head): the query heads, then the K heads, then the V heads."""
    begin(PDL)
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    HALF: tl.constexpr = D // 2
    cols = tl.arange(0, HALF)
    wait(PDL)

    if head < Q_HEADS + KV_HEADS:
        position = tl.load(positions + token).to(tl.int64)
        cos = tl.load(cos_sin + position * stride_position + cols)
        sin = tl.load(cos_sin + position * stride_position + HALF + cols)
        if head < Q_HEADS:
            source = q + token * stride_q + head * D
            low, high = _normed_halves(source, q_weight, cols, eps, HALF, True)
            _store_halves(source, low * cos - high * sin, low * sin + high * cos, cols, HALF)
        elif KV_HEADS > 0:
            source = k + token * stride_k + (head - Q_HEADS) * D
            low, high = _normed_halves(source, k_weight, cols, eps, HALF, True)
            first = low * cos - high * sin
            second = low * sin + high * cos
            if KEEP:
                _store_halves(source, first, second, cols, HALF)
            slot = tl.load(slots + token).to(tl.int64)
            if slot >= 0:
                target = k_pool + slot * stride_k_slot + (head - Q_HEADS) * stride_k_head
                _store_halves(target, first, second, cols, HALF)
    elif KV_HEADS > 0:
        kv_head = head - Q_HEADS - KV_HEADS
        source = v + token * stride_v + kv_head * D
        low, high = _normed_halves(source, q_weight, cols, eps, HALF, False)
        if KEEP:
            _store_halves(source, low, high, cols, HALF)
        slot = tl.load(slots + token).to(tl.int64)
        if slot >= 0:
            target = v_pool + slot * stride_v_slot + kv_head * stride_v_head
            _store_halves(target, low, high, cols, HALF)
