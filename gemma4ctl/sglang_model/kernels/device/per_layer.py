"""Triton: elementwise parts of the per-layer embeddings."""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import begin, gelu, inverse_rms, rounded, wait


@triton.jit
def gelu_times(
    gate,  # [T, n]
    factors,  # [T, n]
    out,  # [T, n] contiguous
    stride_gate,
    stride_factors,
    n,
    ROUNDING: tl.constexpr,  # 1: once, at the end; 2: GELU too
    BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):
    """GELU times factors, programs (token, block of columns)."""
    begin(PDL)
    token = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n
    wait(PDL)
    value = gelu(tl.load(gate + token * stride_gate + cols, mask=mask, other=0.0).to(tl.float32))
    if ROUNDING == 2:
        value = rounded(value, gate)
    by = tl.load(factors + token * stride_factors + cols, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + token * n + cols, (value * by).to(out.dtype.element_ty), mask=mask)


@triton.jit
def inputs(
    projected,  # [T, layers * P]
    embeds,  # [T, layers * P], or the table [vocabulary, layers * P] if GATHER
    tokens,  # [T] int, read if GATHER
    weight,  # [P]
    out,  # [T, layers * P] contiguous
    stride_projected,
    stride_embeds,
    vocabulary,
    projection_scale,
    embed_scale,
    input_scale,
    eps,
    GATHER: tl.constexpr,
    P: tl.constexpr,
    BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):
    """One layer's per-layer input of one token, programs (token, layer)."""
    begin(PDL)
    row = tl.program_id(0).to(tl.int64)
    layer = tl.program_id(1)
    cols = tl.arange(0, BLOCK)
    mask = cols < P
    where = layer * P + cols
    w = tl.load(weight + cols, mask=mask, other=0.0).to(tl.float32)
    wait(PDL)
    source = row
    if GATHER:
        # Ids outside the table (images, audio, padding) read token 0, as stock does.
        token = tl.load(tokens + row).to(tl.int64)
        source = tl.where((token >= 0) & (token < vocabulary), token, 0)
    embed = tl.load(embeds + source * stride_embeds + where, mask=mask, other=0.0).to(tl.float32)
    if GATHER:
        embed = rounded(embed * embed_scale, out)
    value = tl.load(projected + row * stride_projected + where, mask=mask, other=0.0)
    value = rounded(value.to(tl.float32) * projection_scale, out)
    value = rounded(value * inverse_rms(value, P, eps) * w, out)
    value = rounded(value + embed, out) * input_scale
    target = out + row * (tl.num_programs(1) * P) + where
    tl.store(target, value.to(out.dtype.element_ty), mask=mask)
