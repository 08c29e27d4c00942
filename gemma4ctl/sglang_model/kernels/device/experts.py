"""Triton: the chosen experts of a few tokens, each weight read once, no sorting of tokens."""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import begin, rounded, wait


@triton.jit
def gate_up(
    x,  # [T, H]
    matrix,  # [E, 2I, H]: gate rows, then up rows
    ids,  # [T, K] int32, contiguous; negative: no expert
    out,  # [T, K, I] contiguous
    inner,  # I
    stride_x,
    stride_expert,
    stride_row,
    H: tl.constexpr,
    K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PDL: tl.constexpr,
):
    """``gelu(gate) * up`` of one token and one of its experts, programs (columns, token and k)."""
    begin(PDL)
    cols = tl.arange(0, BLOCK_K)
    outs = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tl.minimum(outs, inner - 1).to(tl.int64)
    pair = tl.program_id(1)
    token = (pair // K).to(tl.int64)
    wait(PDL)
    expert = tl.load(ids + pair).to(tl.int64)
    chosen = expert >= 0
    first = matrix + tl.maximum(expert, 0) * stride_expert + rows[:, None] * stride_row
    gate_tile = first + cols[None, :]
    up_tile = gate_tile + inner.to(tl.int64) * stride_row
    mask = (chosen & (cols < H))[None, :]
    gate = tl.load(gate_tile, mask=mask, other=0.0, eviction_policy="evict_first")
    up = tl.load(up_tile, mask=mask, other=0.0, eviction_policy="evict_first")
    gate_sums = tl.zeros([BLOCK_N, BLOCK_K], dtype=tl.float32)
    up_sums = tl.zeros([BLOCK_N, BLOCK_K], dtype=tl.float32)
    for start in range(0, H, BLOCK_K):
        ahead = (chosen & (start + BLOCK_K + cols < H))[None, :]
        next_gate = tl.load(
            gate_tile + start + BLOCK_K, mask=ahead, other=0.0, eviction_policy="evict_first"
        )
        next_up = tl.load(
            up_tile + start + BLOCK_K, mask=ahead, other=0.0, eviction_policy="evict_first"
        )
        here = start + cols
        value = tl.load(x + token * stride_x + here, mask=here < H, other=0.0).to(tl.float32)
        gate_sums += gate.to(tl.float32) * value[None, :]
        up_sums += up.to(tl.float32) * value[None, :]
        gate = next_gate
        up = next_up
    gate_value = rounded(tl.sum(gate_sums, axis=1), x)
    activated = gate_value * 0.5 * (1.0 + tl.erf(gate_value * 0.7071067811865476))
    result = activated * rounded(tl.sum(up_sums, axis=1), x)
    place = out + pair.to(tl.int64) * inner + outs
    tl.store(place, result.to(out.dtype.element_ty), mask=outs < inner)


@triton.jit
def down(
    x,  # [T, K, I] contiguous
    matrix,  # [E, H, I]
    ids,  # [T, K] int32, contiguous; negative: no expert
    weights,  # [T, K] fp32, contiguous
    out,  # [T, H] contiguous
    hidden,  # H
    stride_expert,
    stride_row,
    I: tl.constexpr,  # noqa: E741
    K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WIDTH: tl.constexpr,  # power of two >= I
    PDL: tl.constexpr,
):
    """The weighted sum of a token's experts, programs (columns, token)."""
    begin(PDL)
    cols = tl.arange(0, WIDTH)
    outs = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tl.minimum(outs, hidden - 1).to(tl.int64)
    tile = matrix + rows[:, None] * stride_row + cols[None, :]
    pair = tl.program_id(1).to(tl.int64) * K
    total = tl.zeros([BLOCK_N], dtype=tl.float32)
    wait(PDL)
    for k in tl.static_range(K):
        expert = tl.load(ids + pair + k).to(tl.int64)
        chosen = expert >= 0
        mask = (chosen & (cols < I))[None, :]
        values = tl.load(
            tile + tl.maximum(expert, 0) * stride_expert,
            mask=mask,
            other=0.0,
            eviction_policy="evict_first",
        ).to(tl.float32)
        activated = tl.load(x + (pair + k) * I + cols, mask=cols < I, other=0.0).to(tl.float32)
        share = tl.load(weights + pair + k)
        total += rounded(tl.sum(values * activated[None, :], axis=1) * share, x)
    place = out + tl.program_id(1).to(tl.int64) * hidden + outs
    tl.store(place, total.to(out.dtype.element_ty), mask=outs < hidden)
