"""Products of a few rows with a weight [N, K]: what decoding at small batch sizes is made of.

Such a product takes the time to read the weight once. Inputs are bf16 or fp16, [tokens, K] with
a contiguous last dimension, weights [N, K] with a contiguous last dimension (a row slice of a
fused weight computes only its rows: ``weight[:q_size]`` for layers that share K and V). Sums are
fp32, results rounded as stock rounds them; the order of summation differs from cuBLAS, so results
agree within bf16 rounding. ``small`` says when the kernels may apply; otherwise, and for shapes
that ``configs`` knows PyTorch to be faster for, each function computes the same with PyTorch's
product and the fused kernels around it.

Splitting K over programs is not needed: a program takes as few as one row of the weight, which
fills a GPU already from N of about 256.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch.nn import functional

from gemma4ctl.sglang_model.kernels import configs, norms, runtime

SMALL_BATCH = configs.SMALL_BATCH
LONGEST_PROLOGUE = 8192
_NONE, _NORM, _SUM, _SUM_NORM = range(4)  # what happens to x before the product
_PLAIN, _GATE_UP, _GATE_TIMES = range(3)  # and after it


def small(x: torch.Tensor) -> bool:
    """Whether the kernels compute products of ``x`` ([tokens, K])."""
    return 0 < x.shape[0] <= SMALL_BATCH and x.dtype in (torch.bfloat16, torch.float16)


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``x @ weight.T`` [tokens, N]; replaces cuBLAS (with its split-K reduction: two launches)."""
    if not _fits(x, weight, _PLAIN):
        return functional.linear(x, weight)
    return _product(x, weight, _PLAIN)


def gate_up(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``gelu_tanh(gate) * up`` [tokens, I] of ``x @ weight.T``, weight [2I, K]: gate, then up rows.

    Replaces the product and GELU-and-multiply: two launches.
    """
    if _fits(x, weight, _GATE_UP):
        return _product(x, weight, _GATE_UP)
    both = functional.linear(x, weight)
    return gelu_times(both[:, : weight.shape[0] // 2], both[:, weight.shape[0] // 2 :], 1)


def gate_times(x: torch.Tensor, weight: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """``gelu_tanh(x @ weight.T) * factors`` [tokens, N], GELU rounded before it is multiplied.

    Replaces product, GELU and multiplication of the per-layer gate: three launches.
    """
    if _fits(x, weight, _GATE_TIMES):
        return _product(x, weight, _GATE_TIMES, factors)
    return gelu_times(functional.linear(x, weight), factors, 2)


def norm_linear(
    x: torch.Tensor, norm_weight: torch.Tensor, weight: torch.Tensor, eps: float
) -> torch.Tensor:
    """``norm(x) @ weight.T``; for one token the norm is computed by every program (one launch)."""
    if _one(x, weight, _PLAIN):
        return _row(x, weight, _PLAIN, _NORM, norm_weight=norm_weight, eps=eps)[0]
    return linear(norms.rms_norm(x, norm_weight, eps), weight)


def attention_tail_gate_up(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    next_weight: torch.Tensor,
    gate_up_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (activated, new residual): ``norms.attention_tail``, then ``gate_up``.

    For one token a single launch in place of stock's four: two norms, product, GELU-and-multiply.
    """
    if not _one(x, gate_up_weight, _GATE_UP):
        hidden, total = norms.attention_tail(x, weight, residual, next_weight, eps)
        return gate_up(hidden, gate_up_weight), total
    return _row(
        x,
        gate_up_weight,
        _GATE_UP,
        _SUM_NORM,
        rounding=1,
        norm_weight=weight,
        residual=residual,
        next_weight=next_weight,
        eps=eps,
    )


def layer_tail_linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    scalar: torch.Tensor,
    next_weight: torch.Tensor,
    linear_weight: torch.Tensor,
    eps: float,
    *,
    separate: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (y, new residual): ``norms.layer_tail``, then the next layer's QKV product.

    For one token a single launch in place of stock's three (five with ``separate``, see
    ``norms.layer_tail``).
    """
    if not _one(x, linear_weight, _PLAIN):
        hidden, total = norms.layer_tail(
            x, weight, residual, scalar, next_weight, eps, separate=separate
        )
        assert hidden is not None
        return linear(hidden, linear_weight), total
    return _row(
        x,
        linear_weight,
        _PLAIN,
        _SUM_NORM,
        rounding=2 if separate else 0,
        norm_weight=weight,
        residual=residual,
        scalar=scalar,
        next_weight=next_weight,
        eps=eps,
    )


def add_norm_gate_times(
    x: torch.Tensor,
    norm_weight: torch.Tensor,
    residual: torch.Tensor,
    weight: torch.Tensor,
    factors: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (activated, sum): ``norms.add_norm``, then ``gate_times``; one launch for one row."""
    if not _one(x, weight, _GATE_TIMES):
        total = norms.add_norm(x, norm_weight, residual, eps)
        return gate_times(total, weight, factors), total
    return _row(
        x,
        weight,
        _GATE_TIMES,
        _SUM,
        rounding=2,
        norm_weight=norm_weight,
        residual=residual,
        factors=factors,
        eps=eps,
    )


def gelu_times(gate: torch.Tensor, factors: torch.Tensor, rounding: int) -> torch.Tensor:
    """``gelu_tanh(gate) * factors``, [tokens, N] with any row strides, in one launch.

    ``rounding`` 1 rounds once, as GELU-and-multiply does; 2 rounds GELU too, as two launches do.
    """
    tokens, n = gate.shape
    out = torch.empty((tokens, n), dtype=gate.dtype, device=gate.device)
    block = min(runtime.power_of_two(n), 1024)
    _per_layer_kernels().gelu_times[(tokens, -(-n // block))](
        gate,
        factors,
        out,
        gate.stride(0),
        factors.stride(0),
        n,
        ROUNDING=rounding,
        BLOCK=block,
        num_warps=4,
        **runtime.launch(gate),
    )
    return out


def _fits(x: torch.Tensor, weight: torch.Tensor, epilogue: int) -> bool:
    """Whether the kernels compute this product."""
    if not small(x):
        return False
    gated = epilogue == _GATE_UP
    n = weight.shape[0] // (2 if gated else 1)
    name = runtime.architecture(x.device.index)
    return x.shape[0] <= configs.largest(name, n, weight.shape[1], gated=gated)


def _one(x: torch.Tensor, weight: torch.Tensor, epilogue: int) -> bool:
    """Whether the product's kernel also computes what comes before it.

    Every program then computes the whole row, which pays while a row is short.
    """
    short = x.shape[0] == 1 and x.shape[1] <= LONGEST_PROLOGUE
    return short and _fits(x, weight, epilogue)


def _product(
    x: torch.Tensor, weight: torch.Tensor, epilogue: int, factors: torch.Tensor | None = None
) -> torch.Tensor:
    if x.shape[0] == 1:
        return _row(x, weight, epilogue, factors=factors)[0]
    _check(x, weight)
    n = weight.shape[0] // (2 if epilogue == _GATE_UP else 1)
    k = weight.shape[1]
    tiles = configs.rows(runtime.architecture(x.device.index), n, k, gated=epilogue == _GATE_UP)
    out = torch.empty((x.shape[0], n), dtype=x.dtype, device=x.device)
    _kernels().rows[(-(-n // tiles.block_n),)](
        x,
        weight,
        out,
        x if factors is None else factors,
        x.shape[0],
        n,
        x.stride(0),
        weight.stride(0),
        0 if factors is None else factors.stride(0),
        K=k,
        EPILOGUE=epilogue,
        BLOCK_M=16,
        BLOCK_N=tiles.block_n,
        BLOCK_K=tiles.block_k,
        STAGES=tiles.stages,
        num_stages=tiles.stages,
        num_warps=tiles.warps,
        **runtime.launch(x),
    )
    return out


def _row(
    x: torch.Tensor,
    weight: torch.Tensor,
    epilogue: int,
    prologue: int = _NONE,
    *,
    rounding: int = 0,
    norm_weight: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    scalar: torch.Tensor | None = None,
    next_weight: torch.Tensor | None = None,
    factors: torch.Tensor | None = None,
    eps: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The product of one row, and the new residual (``x`` when the prologue makes none)."""
    _check(x, weight)
    gated = epilogue == _GATE_UP
    n = weight.shape[0] // (2 if gated else 1)
    k = weight.shape[1]
    tiles = configs.row(runtime.architecture(x.device.index), n, k, gated=gated)
    out = torch.empty((1, n), dtype=x.dtype, device=x.device)
    total = torch.empty((1, k), dtype=x.dtype, device=x.device) if prologue >= _SUM else x
    width = runtime.power_of_two(k)
    many = tiles.tiles if tiles.block_k == width else 1
    _kernels().row[(-(-n // (tiles.block_n * many)),)](
        x,
        weight,
        out,
        x if norm_weight is None else norm_weight,
        x if residual is None else residual,
        x if scalar is None else scalar,
        x if next_weight is None else next_weight,
        total,
        x if factors is None else factors,
        n,
        weight.stride(0),
        many,
        eps,
        K=k,
        PROLOGUE=prologue,
        ROUNDING=rounding,
        SCALAR=scalar is not None,
        EPILOGUE=epilogue,
        BLOCK_N=tiles.block_n,
        BLOCK_K=tiles.block_k,
        STAGES=tiles.stages,
        WIDTH=width,
        MANY=many > 1,
        num_warps=tiles.warps,
        **runtime.launch(x),
    )
    return out, total


def _check(x: torch.Tensor, weight: torch.Tensor) -> None:
    """Raise ValueError unless the kernels read these as they are."""
    if (
        weight.dtype != x.dtype
        or weight.shape[1] != x.shape[1]
        or weight.stride(1) != 1
        or x.stride(1) != 1
    ):
        raise ValueError(
            f"expected x [tokens, K] and weight [N, K] of one type with contiguous rows, got "
            f"{x.dtype} {tuple(x.shape)} and {weight.dtype} {tuple(weight.shape)}"
        )


@cache
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import linear

    return linear


@cache
def _per_layer_kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import per_layer

    return per_layer
