"""Triton: products of a few rows with a large weight, bound by reading the weight once.

``row``: one row, fused multiply-adds on tiles held in registers; with one stage the first weights
are requested before the wait for the previous kernel, and the following ones a tile ahead of
their use; with more stages they pass through shared memory asynchronously. Where a tile holds
whole rows, a program takes several, so that what comes before the product is computed for all of
them once. ``rows``: 2 to 16 rows, tensor cores, the rows padded to 16.
"""

# ruff: noqa: N803 (compile-time arguments are written in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl

from gemma4ctl.sglang_model.kernels.device.ops import (
    add_normed,
    begin,
    gelu,
    inverse_rms,
    rounded,
    wait,
)


@triton.jit
def _weights(tile, mask):
    """Weights are read once a step: they should not displace what is read again."""
    return tl.load(tile, mask=mask, other=0.0, eviction_policy="evict_first")


@triton.jit
def _input(
    x,
    weight,
    residual,
    next_weight,
    cols,
    mask,
    inverse,
    next_inverse,
    factor,
    PROLOGUE: tl.constexpr,
    ROUNDING: tl.constexpr,
):
    """Values ``cols`` of the row that is multiplied, fp32, rounded as if it had been stored."""
    value = tl.load(x + cols, mask=mask, other=0.0).to(tl.float32)
    if PROLOGUE == 1:
        w = tl.load(weight + cols, mask=mask, other=0.0).to(tl.float32)
        value = rounded(value * inverse * w, x)
    if PROLOGUE >= 2:
        w = tl.load(weight + cols, mask=mask, other=0.0).to(tl.float32)
        old = tl.load(residual + cols, mask=mask, other=0.0).to(tl.float32)
        value = add_normed(value, inverse, w, old, factor, x, ROUNDING)
        if PROLOGUE == 2 or ROUNDING != 1:
            value = rounded(value, x)
    if PROLOGUE == 3:
        w_next = tl.load(next_weight + cols, mask=mask, other=0.0).to(tl.float32)
        value = rounded(value * next_inverse * w_next, x)
    return value


@triton.jit
def _finished(products, up_products, factors, mask, x, EPILOGUE: tl.constexpr):
    """What is stored of fp32 products; ``factors`` points to those of each where they are read."""
    result = rounded(products, x)
    if EPILOGUE == 1:
        result = gelu(result) * rounded(up_products, x)
    if EPILOGUE == 2:
        by = tl.load(factors, mask=mask, other=0.0).to(tl.float32)
        result = rounded(gelu(result), x) * by
    return result.to(x.dtype.element_ty)


@triton.jit(do_not_specialize=["tiles"])
def row(
    x,  # [K]
    matrix,  # [N, K], or [2N, K] if EPILOGUE == 1 (gate rows, then up rows)
    out,  # [N]
    weight,  # [K], norm of x, read if PROLOGUE > 0
    residual,  # [K], read if PROLOGUE > 1
    scalar,  # [1], read if SCALAR
    next_weight,  # [K], read if PROLOGUE == 3
    total_out,  # [K], the sum, written if PROLOGUE > 1
    factors,  # [N], read if EPILOGUE == 2
    n,
    stride,  # of the rows of matrix
    tiles,  # of a program, if MANY
    eps,
    K: tl.constexpr,
    PROLOGUE: tl.constexpr,  # 0: x; 1: norm(x); 2: norm(x) + residual; 3: the norm of that
    ROUNDING: tl.constexpr,
    SCALAR: tl.constexpr,
    EPILOGUE: tl.constexpr,  # 0: none; 1: gelu(gate) * up; 2: gelu * factors
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
    WIDTH: tl.constexpr,  # power of two >= K
    MANY: tl.constexpr,  # tiles a program; BLOCK_K is WIDTH then
    PDL: tl.constexpr,
):
    """``BLOCK_N`` values of one row times the transposed matrix; with MANY, every so often."""
    begin(PDL)
    cols = tl.arange(0, BLOCK_K)
    inside = (cols < K)[None, :]
    first_row = tl.program_id(0) * BLOCK_N
    outs = first_row + tl.arange(0, BLOCK_N)
    # Rows past the end repeat the last one, so that loads need no mask for rows.
    real_rows = tl.minimum(outs, n - 1).to(tl.int64)
    tile = matrix + real_rows[:, None] * stride + cols[None, :]
    up_tile = tile
    if EPILOGUE == 1:
        up_tile = matrix + (real_rows + n)[:, None] * stride + cols[None, :]
    if STAGES == 1:
        current = _weights(tile, inside)
        if EPILOGUE == 1:
            current_up = _weights(up_tile, inside)

    wide = tl.arange(0, WIDTH)
    real = wide < K
    if PROLOGUE > 0:
        w = tl.load(weight + wide, mask=real, other=0.0).to(tl.float32)
    if PROLOGUE == 3:
        w_next = tl.load(next_weight + wide, mask=real, other=0.0).to(tl.float32)
    factor = 1.0
    if SCALAR:
        factor = tl.load(scalar).to(tl.float32)
    wait(PDL)

    inverse = 1.0
    next_inverse = 1.0
    value = tl.load(x + wide, mask=real, other=0.0).to(tl.float32)
    if PROLOGUE > 1:
        old = tl.load(residual + wide, mask=real, other=0.0).to(tl.float32)
    if PROLOGUE > 0:
        inverse = inverse_rms(value, K, eps)
    if PROLOGUE == 1:
        value = rounded(value * inverse * w, x)
    if PROLOGUE > 1:
        value = add_normed(value, inverse, w, old, factor, x, ROUNDING)
        stored = rounded(value, x)
        if first_row == 0:
            tl.store(total_out + wide, stored.to(x.dtype.element_ty), mask=real)
        if PROLOGUE == 2 or ROUNDING != 1:
            value = stored
    if PROLOGUE == 3:
        next_inverse = inverse_rms(value, K, eps)
        value = rounded(value * next_inverse * w_next, x)

    if MANY:
        step = tl.num_programs(0) * BLOCK_N
        for number in tl.range(0, tiles, num_stages=STAGES):
            if STAGES == 1:
                ahead = inside & (number + 1 < tiles)
                rows_ahead = tl.minimum(outs + step, n - 1).to(tl.int64)
                following = _weights(matrix + rows_ahead[:, None] * stride + cols[None, :], ahead)
                sums = current.to(tl.float32) * value[None, :]
                up_sums = sums
                current = following
                if EPILOGUE == 1:
                    up_ahead = matrix + (rows_ahead + n)[:, None] * stride + cols[None, :]
                    following_up = _weights(up_ahead, ahead)
                    up_sums = current_up.to(tl.float32) * value[None, :]
                    current_up = following_up
            else:
                rows_here = tl.minimum(outs, n - 1).to(tl.int64)
                here = matrix + rows_here[:, None] * stride + cols[None, :]
                sums = _weights(here, inside).to(tl.float32) * value[None, :]
                up_sums = sums
                if EPILOGUE == 1:
                    up_here = matrix + (rows_here + n)[:, None] * stride + cols[None, :]
                    up_sums = _weights(up_here, inside).to(tl.float32) * value[None, :]
            made, up_made = tl.sum(sums, axis=1), tl.sum(up_sums, axis=1)
            result = _finished(made, up_made, factors + outs, outs < n, x, EPILOGUE)
            tl.store(out + outs, result, mask=outs < n)
            outs += step
    else:
        if STAGES == 1 and BLOCK_K == WIDTH:
            sums = current.to(tl.float32) * value[None, :]
            up_sums = sums
            if EPILOGUE == 1:
                up_sums = current_up.to(tl.float32) * value[None, :]
        else:
            sums = tl.zeros([BLOCK_N, BLOCK_K], dtype=tl.float32)
            up_sums = sums
            for start in tl.range(0, K, BLOCK_K, num_stages=STAGES):
                here = start + cols
                values = _input(
                    x,
                    weight,
                    residual,
                    next_weight,
                    here,
                    here < K,
                    inverse,
                    next_inverse,
                    factor,
                    PROLOGUE,
                    ROUNDING,
                )[None, :]
                if STAGES == 1:
                    ahead = (here + BLOCK_K < K)[None, :]
                    following = _weights(tile + start + BLOCK_K, ahead)
                    sums += current.to(tl.float32) * values
                    current = following
                    if EPILOGUE == 1:
                        following_up = _weights(up_tile + start + BLOCK_K, ahead)
                        up_sums += current_up.to(tl.float32) * values
                        current_up = following_up
                else:
                    within = (here < K)[None, :]
                    sums += _weights(tile + start, within).to(tl.float32) * values
                    if EPILOGUE == 1:
                        up_sums += _weights(up_tile + start, within).to(tl.float32) * values

        made, up_made = tl.sum(sums, axis=1), tl.sum(up_sums, axis=1)
        result = _finished(made, up_made, factors + outs, outs < n, x, EPILOGUE)
        tl.store(out + outs, result, mask=outs < n)


@triton.jit
def rows(
    x,  # [M, K]
    matrix,  # [N, K], or [2N, K] if EPILOGUE == 1
    out,  # [M, N] contiguous
    factors,  # [M, N], read if EPILOGUE == 2
    m,
    n,
    stride_x,
    stride,  # of the rows of matrix
    stride_factors,
    K: tl.constexpr,
    EPILOGUE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
    PDL: tl.constexpr,
):
    """``BLOCK_N`` values of up to ``BLOCK_M`` rows times the transposed matrix."""
    begin(PDL)
    tokens = tl.arange(0, BLOCK_M)
    outs = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    cols = tl.arange(0, BLOCK_K)
    real = tokens < m
    real_rows = tl.minimum(outs, n - 1).to(tl.int64)
    tile = matrix + real_rows[:, None] * stride + cols[None, :]
    inputs = x + tl.minimum(tokens, m - 1)[None, :] * stride_x + cols[:, None]
    wait(PDL)

    sums = tl.zeros([BLOCK_N, BLOCK_M], dtype=tl.float32)
    up_sums = sums
    if EPILOGUE == 1:
        up_tile = matrix + (real_rows + n)[:, None] * stride + cols[None, :]
    for start in tl.range(0, K, BLOCK_K, num_stages=STAGES):
        inside = start + cols < K
        values = tl.load(inputs + start, mask=inside[:, None], other=0.0)
        weights = tl.load(tile + start, mask=inside[None, :], other=0.0)
        sums = tl.dot(weights, values, sums)
        if EPILOGUE == 1:
            weights_up = tl.load(up_tile + start, mask=inside[None, :], other=0.0)
            up_sums = tl.dot(weights_up, values, up_sums)

    mask = (outs < n)[:, None] & real[None, :]
    where = tokens[None, :].to(tl.int64) * stride_factors + outs[:, None]
    result = _finished(sums, up_sums, factors + where, mask, x, EPILOGUE)
    tl.store(out + tokens[None, :] * n + outs[:, None], result, mask=mask)
