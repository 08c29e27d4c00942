"""Pieces that the kernels share: rounding, RMSNorm, GELU, dependent launch."""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl


@triton.jit
def begin(PDL: tl.constexpr):
    """Let the next kernel start as soon as every program of this one has started."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def wait(PDL: tl.constexpr):
    """Wait until the kernels before this one have finished and their writes are visible."""
    if PDL:
        tl.extra.cuda.gdc_wait()


@triton.jit
def rounded(x, like):
    """``x`` (fp32) rounded to the element type of the pointer ``like``, as fp32."""
    return x.to(like.dtype.element_ty).to(tl.float32)


@triton.jit
def inverse_rms(x, n, eps):
    """1 / sqrt(mean of squares + eps) of a vector of ``n`` values padded with zeros."""
    return tl.rsqrt(tl.sum(x * x, axis=0) / n + eps)


@triton.jit
def gelu(x):
    """GELU with the tanh approximation: x * sigmoid(2u), which is 0.5x (1 + tanh(u))."""
    u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return x / (1.0 + tl.exp(-2.0 * u))


@triton.jit
def add_normed(x, inverse, weight, residual, scalar, like, ROUNDING: tl.constexpr):
    """(x * inverse * weight + residual) * scalar, before its last rounding.

    ROUNDING 0: nothing between (stock's fused tail); 1: the norm (stock's norm, then fused
    add + norm); 2: the norm and the sum (stock's separate launches).
    """
    total = x * inverse * weight
    if ROUNDING > 0:
        total = rounded(total, like)
    total = total + residual
    if ROUNDING == 2:
        total = rounded(total, like)
    return total * scalar
