"""The chosen experts of a few tokens: two launches that read each chosen weight once.

Stock sorts the tokens by expert, multiplies in blocks of 16 tokens, activates, multiplies and
sums: five or six launches, made for many tokens an expert. Up to ``LARGEST_BATCH`` tokens hardly
two of them share one of 128 experts, so here each pair of a token and an expert is computed by
itself. The activation is GELU by the error function, as in stock's experts (the dense MLP's is
the tanh approximation); gate, up, their product and each expert's weighted output are rounded
where stock rounds them, the sum over experts is fp32.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from gemma4ctl.sglang_model.kernels import runtime

LARGEST_BATCH = 4


def small(x: torch.Tensor) -> bool:
    """Whether the kernels are meant for ``x`` ([tokens, hidden])."""
    return 0 < x.shape[0] <= LARGEST_BATCH and x.dtype in (torch.bfloat16, torch.float16)


def experts(
    x: torch.Tensor,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
) -> torch.Tensor:
    """``sum over k of topk_weights * down(gelu(gate(x)) * up(x))`` of the chosen experts, [T, H].

    ``topk_weights`` [T, K] is fp32, ``topk_ids`` [T, K] int32 or int64 (a negative id adds
    nothing), both contiguous; ``gate_up`` is [E, 2I, H] with the gate's rows first and ``down``
    [E, H, I], both with a contiguous last dimension (SGLang's ``w13_weight`` and ``w2_weight`` of
    the Triton runner, not permuted for another one). Under tensor parallelism I is this rank's
    part, and the result is still to be summed over ranks.
    """
    tokens, hidden = x.shape
    count, width = topk_ids.shape[1], down.shape[2]
    _check(x, topk_weights, topk_ids, gate_up, down)
    kernels, launch = _kernels(), runtime.launch(x)
    activated = torch.empty((tokens, count, width), dtype=x.dtype, device=x.device)
    out = torch.empty((tokens, hidden), dtype=x.dtype, device=x.device)
    block_n, block_k = 2, min(1024, runtime.power_of_two(hidden))
    kernels.gate_up[(-(-width // block_n), tokens * count)](
        x,
        gate_up,
        topk_ids,
        activated,
        width,
        x.stride(0),
        gate_up.stride(0),
        gate_up.stride(1),
        H=hidden,
        K=count,
        BLOCK_N=block_n,
        BLOCK_K=block_k,
        num_warps=4,
        **launch,
    )
    kernels.down[(-(-hidden // block_n), tokens)](
        activated,
        down,
        topk_ids,
        topk_weights,
        out,
        hidden,
        down.stride(0),
        down.stride(1),
        I=width,
        K=count,
        BLOCK_N=block_n,
        WIDTH=runtime.power_of_two(width),
        num_warps=1,  # a warp sums its rows without shared memory, eight times
        **launch,
    )
    return out


def _check(
    x: torch.Tensor,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
) -> None:
    """Raise ValueError unless the kernels read these as they are."""
    hidden, width = x.shape[1], down.shape[2]
    if gate_up.shape[1:] != (2 * width, hidden) or down.shape[1] != hidden:
        raise ValueError(
            f"expected weights [E, 2I, {hidden}] and [E, {hidden}, I], got "
            f"{tuple(gate_up.shape)} and {tuple(down.shape)}"
        )
    if {gate_up.dtype, down.dtype} != {x.dtype} or topk_weights.dtype != torch.float32:
        raise ValueError(
            f"expected weights of {x.dtype} and shares of fp32, got {gate_up.dtype}, "
            f"{down.dtype} and {topk_weights.dtype}"
        )
    if x.stride(1) != 1 or gate_up.stride(2) != 1 or down.stride(2) != 1:
        raise ValueError("expected a contiguous last dimension of input and weights")
    if not (topk_ids.is_contiguous() and topk_weights.is_contiguous()):
        raise ValueError("expected contiguous ids and shares of the chosen experts")


@cache
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import experts

    return experts
