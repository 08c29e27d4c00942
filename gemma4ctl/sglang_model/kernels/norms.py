"""The ends of a layer's two halves: norm, residual, scalar and the norms that follow, one launch.

All tensors are [tokens, hidden] with a contiguous last dimension and any row stride, all of one
type (bf16, fp16 or fp32); weights are [hidden], the layer scalar [1]. Sums and norms are fp32;
values are rounded where stock SGLang rounds them, so that results differ from stock only by the
order of summation. ``eps`` is that of every norm involved. One row is one program, up to a
hidden size of 16384. The returned residual is the value that stock passes on as hidden states.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from gemma4ctl.sglang_model.kernels import runtime

LARGEST_HIDDEN = 16384


def attention_tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    next_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (hidden, new residual): ``residual + norm(x)``, and its norm with ``next_weight``.

    Replaces two launches: ``post_attention_layernorm`` and the fused add + norm of
    ``pre_feedforward_layernorm`` (which also overwrote its inputs).
    """
    hidden, total = _tail(x, weight, residual, None, next_weight, eps, rounding=1)
    assert hidden is not None
    return hidden, total


def layer_tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    scalar: torch.Tensor,
    next_weight: torch.Tensor | None,
    eps: float,
    *,
    separate: bool = False,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return (hidden, new residual): ``(residual + norm(x)) * scalar``, and the next norm of it.

    Replaces stock's fused norm + add + scalar and the next layer's ``input_layernorm`` (or the
    model's last norm): two launches. ``separate`` keeps the rounding of stock's layers with
    per-layer embeddings, where norm, add and scalar are separate launches (four with the next
    norm). Without ``next_weight`` hidden is None.
    """
    return _tail(x, weight, residual, scalar, next_weight, eps, rounding=2 if separate else 0)


def add_norm(
    x: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor, eps: float
) -> torch.Tensor:
    """Return ``residual + norm(x)``, rounded after the norm and after the sum (two launches)."""
    return _tail(x, weight, residual, None, None, eps, rounding=2)[1]


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """``norm(x)``; one launch, as stock's, for callers that fall back from a fused one."""
    _check(x, weight)
    out = _like(x)
    n = x.shape[1]
    _kernels().norm[(x.shape[0],)](
        x,
        weight,
        out,
        x.stride(0),
        n,
        eps,
        BLOCK=runtime.power_of_two(n),
        num_warps=_warps(n),
        **runtime.launch(x),
    )
    return out


def moe_attention_tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    dense_weight: torch.Tensor,
    router_weight: torch.Tensor,
    expert_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (dense, router, experts, new residual): ``residual + norm(x)`` and its three norms.

    Replaces four launches: ``post_attention_layernorm``, the fused add + norm of
    ``pre_feedforward_layernorm``, the router's norm (``router_weight`` is its weight with the
    scales folded in) and ``pre_feedforward_layernorm_2``.
    """
    _check(x, weight, residual, dense_weight, router_weight, expert_weight)
    dense, router, experts, total = (_like(x) for _ in range(4))
    n = x.shape[1]
    _kernels().tail[(x.shape[0],)](
        x,
        weight,
        residual,
        weight,
        dense_weight,
        router_weight,
        expert_weight,
        total,
        dense,
        router,
        experts,
        x.stride(0),
        residual.stride(0),
        n,
        eps,
        ROUNDING=1,
        SCALAR=False,
        NEXT=3,
        BLOCK=runtime.power_of_two(n),
        num_warps=_warps(n),
        **runtime.launch(x),
    )
    return dense, router, experts, total


def moe_layer_tail(
    dense: torch.Tensor,
    dense_weight: torch.Tensor,
    experts: torch.Tensor,
    expert_weight: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    scalar: torch.Tensor,
    next_weight: torch.Tensor | None,
    eps: float,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return (hidden, new residual) of a layer with experts beside its dense MLP.

    The residual is ``(residual + norm(norm(dense) + norm(experts))) * scalar``. Replaces stock's
    fused dual norm and the next layer's ``input_layernorm``: two launches.
    """
    _check(dense, dense_weight, experts, expert_weight, weight, residual)
    total = _like(dense)
    hidden = None if next_weight is None else _like(dense)
    n = dense.shape[1]
    _kernels().dual_tail[(dense.shape[0],)](
        dense,
        dense_weight,
        experts,
        expert_weight,
        weight,
        residual,
        scalar,
        weight if next_weight is None else next_weight,
        total,
        total if hidden is None else hidden,
        dense.stride(0),
        experts.stride(0),
        residual.stride(0),
        n,
        eps,
        NEXT=next_weight is not None,
        BLOCK=runtime.power_of_two(n),
        num_warps=_warps(n),
        **runtime.launch(dense),
    )
    return hidden, total


def _tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    scalar: torch.Tensor | None,
    next_weight: torch.Tensor | None,
    eps: float,
    *,
    rounding: int,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    _check(x, weight, residual)
    total = _like(x)
    hidden = None if next_weight is None else _like(x)
    unused = weight
    n = x.shape[1]
    _kernels().tail[(x.shape[0],)](
        x,
        weight,
        residual,
        unused if scalar is None else scalar,
        unused if next_weight is None else next_weight,
        unused,
        unused,
        total,
        total if hidden is None else hidden,
        total,
        total,
        x.stride(0),
        residual.stride(0),
        n,
        eps,
        ROUNDING=rounding,
        SCALAR=scalar is not None,
        NEXT=0 if next_weight is None else 1,
        BLOCK=runtime.power_of_two(n),
        num_warps=_warps(n),
        **runtime.launch(x),
    )
    return hidden, total


def _like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _check(x: torch.Tensor, *others: torch.Tensor) -> None:
    """Raise ValueError unless shapes, types and strides are as the kernels read them."""
    if x.dim() != 2 or x.shape[1] > LARGEST_HIDDEN:
        raise ValueError(f"expected [tokens, hidden <= {LARGEST_HIDDEN}], got {tuple(x.shape)}")
    for tensor in (x, *others):
        if tensor.dtype != x.dtype or tensor.stride(-1) != 1 or tensor.shape[-1] != x.shape[1]:
            raise ValueError(
                f"expected {x.dtype} with a contiguous last dimension of {x.shape[1]}, got "
                f"{tensor.dtype} {tuple(tensor.shape)} with strides {tensor.stride()}"
            )
        if tensor.dim() == 2 and tensor.shape != x.shape:
            raise ValueError(f"expected {tuple(x.shape)}, got {tuple(tensor.shape)}")


def _warps(n: int) -> int:
    """Warps per row: 8 to 16 values a thread up to 8192, where one row is all the parallelism."""
    return 4 if n <= 1024 else 8 if n <= 4096 else 16


@cache
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import norms

    return norms
