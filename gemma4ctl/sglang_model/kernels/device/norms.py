"""Triton: RMSNorm + residual + scalar + the norms that read the sum, one program per row."""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import add_normed, begin, inverse_rms, rounded, wait


@triton.jit
def tail(
    x,  # [T, n]
    weight,  # [n]
    residual,  # [T, n]
    scalar,  # [1], read if SCALAR
    next_weight,  # [n], read if NEXT > 0
    router_weight,  # [n], read if NEXT == 3
    expert_weight,  # [n], read if NEXT == 3
    total_out,  # [T, n] contiguous
    next_out,  # [T, n] contiguous, written if NEXT > 0
    router_out,  # [T, n] contiguous, written if NEXT == 3
    expert_out,  # [T, n] contiguous, written if NEXT == 3
    stride_x,
    stride_residual,
    n,
    eps,
    ROUNDING: tl.constexpr,
    SCALAR: tl.constexpr,
    NEXT: tl.constexpr,
    BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):
    """Norm, add, scale, and 0, 1 or 3 norms of the sum; see ``ops.add_normed`` for ROUNDING."""
    begin(PDL)
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    mask = cols < n
    w = tl.load(weight + cols, mask=mask, other=0.0).to(tl.float32)
    if NEXT > 0:
        w_next = tl.load(next_weight + cols, mask=mask, other=0.0).to(tl.float32)
    if NEXT == 3:
        w_router = tl.load(router_weight + cols, mask=mask, other=0.0).to(tl.float32)
        w_expert = tl.load(expert_weight + cols, mask=mask, other=0.0).to(tl.float32)
    factor = 1.0
    if SCALAR:
        factor = tl.load(scalar).to(tl.float32)

    wait(PDL)
    value = tl.load(x + row * stride_x + cols, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(residual + row * stride_residual + cols, mask=mask, other=0.0).to(tl.float32)
    inverse = inverse_rms(value, n, eps)
    total = add_normed(value, inverse, w, old, factor, x, ROUNDING)
    stored = rounded(total, x)
    out = row * n + cols
    tl.store(total_out + out, stored.to(x.dtype.element_ty), mask=mask)
    if NEXT > 0:
        # The fused add + norm of stock normalises the sum before it is rounded.
        source = total if ROUNDING == 1 else stored
        normed = source * inverse_rms(source, n, eps) * w_next
        tl.store(next_out + out, normed.to(x.dtype.element_ty), mask=mask)
    if NEXT == 3:
        scaled = stored * inverse_rms(stored, n, eps)
        tl.store(router_out + out, (scaled * w_router).to(x.dtype.element_ty), mask=mask)
        tl.store(expert_out + out, (scaled * w_expert).to(x.dtype.element_ty), mask=mask)


@triton.jit
def norm(
    x,  # [T, n]
    weight,  # [n]
    out,  # [T, n] contiguous
    stride_x,
    n,
    eps,
    BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):
    """RMSNorm."""
    begin(PDL)
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    mask = cols < n
    w = tl.load(weight + cols, mask=mask, other=0.0).to(tl.float32)
    wait(PDL)
    value = tl.load(x + row * stride_x + cols, mask=mask, other=0.0).to(tl.float32)
    normed = value * inverse_rms(value, n, eps) * w
    tl.store(out + row * n + cols, normed.to(out.dtype.element_ty), mask=mask)


@triton.jit
def dual_tail(
    dense,  # [T, n]
    dense_weight,  # [n]
    experts,  # [T, n]
    expert_weight,  # [n]
    weight,  # [n]
    residual,  # [T, n]
    scalar,  # [1]
    next_weight,  # [n], read if NEXT
    total_out,  # [T, n] contiguous
    next_out,  # [T, n] contiguous, written if NEXT
    stride_dense,
    stride_experts,
    stride_residual,
    n,
    eps,
    NEXT: tl.constexpr,
    BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):
    """The norms of two branches, the norm of their sum, add, scale, and the next norm."""
    begin(PDL)
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    mask = cols < n
    w_dense = tl.load(dense_weight + cols, mask=mask, other=0.0).to(tl.float32)
    w_expert = tl.load(expert_weight + cols, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight + cols, mask=mask, other=0.0).to(tl.float32)
    if NEXT:
        w_next = tl.load(next_weight + cols, mask=mask, other=0.0).to(tl.float32)
    factor = tl.load(scalar).to(tl.float32)

    wait(PDL)
    a = tl.load(dense + row * stride_dense + cols, mask=mask, other=0.0).to(tl.float32)
    b = tl.load(experts + row * stride_experts + cols, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(residual + row * stride_residual + cols, mask=mask, other=0.0).to(tl.float32)
    both = a * inverse_rms(a, n, eps) * w_dense + b * inverse_rms(b, n, eps) * w_expert
    total = add_normed(both, inverse_rms(both, n, eps), w, old, factor, dense, 0)
    stored = rounded(total, dense)
    out = row * n + cols
    tl.store(total_out + out, stored.to(dense.dtype.element_ty), mask=mask)
    if NEXT:
        normed = stored * inverse_rms(stored, n, eps) * w_next
        tl.store(next_out + out, normed.to(dense.dtype.element_ty), mask=mask)
