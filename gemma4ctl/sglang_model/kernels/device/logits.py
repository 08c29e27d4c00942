"""Triton: the softcap of the logits."""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import begin, wait


@triton.jit
def tanh(x):
    """tanh (fp32), within a few units in the last place; NaN stays NaN.

    Below 0.5 by the odd polynomial with the least relative error there (1.5e-8), as the difference
    of exponentials has no digits left near 0; above from exp(-2|x|), which cannot overflow.
    """
    size = tl.abs(x)
    square = x * x
    series = -0.053045503249921654 + square * 0.017241512850516918
    series = -0.33333143899970036 + square * (0.13325879068282126 + square * series)
    small = x * (1.0 + square * series)
    decayed = tl.exp(-2.0 * size)
    large = (1.0 - decayed) / (1.0 + decayed)
    return tl.where(size < 0.5, small, tl.where(x < 0, -large, large))


@triton.jit
def softcap(
    logits,  # [T, n]
    out,  # [T, n] fp32
    stride_logits,
    stride_out,
    n,
    cap,
    inverse,  # 1 / cap
    BLOCK: tl.constexpr,
    PDL: tl.constexpr,
):
    """cap * tanh(logits / cap), programs (token, block of columns), the columns' first."""
    begin(PDL)
    blocks = tl.cdiv(n, BLOCK)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    cols = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n
    wait(PDL)
    value = tl.load(logits + row * stride_logits + cols, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * stride_out + cols, cap * tanh(value * inverse), mask=mask)
