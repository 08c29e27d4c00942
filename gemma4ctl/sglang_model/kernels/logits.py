"""The softcap of the logits, where they are widened to fp32: one launch.

Logits are [T, V] with contiguous columns and any row stride, bf16 or fp16, as the LM head makes
them: V is the vocabulary, 262144 for Gemma 4. What comes out is fp32, as SGLang samples from it.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from gemma4ctl.sglang_model.kernels import runtime

TYPES = (torch.bfloat16, torch.float16)
BLOCK = 2048  # values of a program: 128 programs for one token's, 16 values a thread
WARPS = 4


def softcap(logits: torch.Tensor, cap: float, out: torch.Tensor | None = None) -> torch.Tensor:
    """``cap * tanh(logits / cap)`` in fp32, [T, V]: in ``out`` where given, else in a new tensor.

    Replaces two launches: the copy to fp32 and the softcap in place of the copy. ``cap`` is above
    0; ``out`` is fp32 [T, V] with contiguous columns. Offsets of rows are 64-bit. Within 1e-6 of
    each value, however small.
    """
    _check(logits, out)
    rows, n = logits.shape
    if out is None:
        out = torch.empty(logits.shape, dtype=torch.float32, device=logits.device)
    if not logits.numel():
        return out
    _kernels().softcap[(rows * -(-n // BLOCK),)](
        logits,
        out,
        logits.stride(0),
        out.stride(0),
        n,
        float(cap),
        1 / cap,
        BLOCK=BLOCK,
        num_warps=WARPS,
        **runtime.launch(logits),
    )
    return out


def supported(logits: torch.Tensor, out: torch.Tensor | None = None) -> bool:
    """Whether the kernel takes these logits and this buffer, and has anything to do."""
    here = logits.is_cuda or runtime.interpreted()
    return here and logits.numel() > 0 and _problem(logits, out) is None


def _check(logits: torch.Tensor, out: torch.Tensor | None) -> None:
    """Raise ValueError unless shapes, types and strides are as the kernel reads them."""
    if (problem := _problem(logits, out)) is not None:
        raise ValueError(problem)


def _problem(logits: torch.Tensor, out: torch.Tensor | None) -> str | None:
    """What the kernel does not take, and what it does."""
    if logits.dim() != 2 or logits.dtype not in TYPES or logits.stride(1) != 1:
        return f"expected bf16 or fp16 [T, V] with contiguous columns, got {_described(logits)}"
    if out is None:
        return None
    same = out.shape == logits.shape and out.device == logits.device
    if same and out.dtype == torch.float32 and out.stride(1) == 1:
        return None
    return f"expected an fp32 {tuple(logits.shape)} with contiguous columns, got {_described(out)}"


def _described(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} with strides {tensor.stride()}"


@cache
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import logits

    return logits
