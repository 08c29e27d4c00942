"""The model classes of gemma4ctl, after one of their kernels was broken."""

from __future__ import annotations

import os
from typing import Any

from gemma4ctl.sglang_model import classes, selfcheck
from gemma4ctl.sglang_model.kernels import attention, linear, norms, per_layer

SLIDING_HEAD = 256


def without_residual(right: Any) -> Any:
    """``right`` with a residual of zeros."""

    def wrong(x: Any, weight: Any, residual: Any, *rest: Any, **options: Any) -> Any:
        return right(x, weight, residual * 0, *rest, **options)

    return wrong


def without_scalar(right: Any, position: int) -> Any:
    """``right`` with a layer scalar of one."""

    def wrong(*given: Any, **options: Any) -> Any:
        before, scalar, after = given[:position], given[position], given[position + 1 :]
        return right(*before, scalar * 0 + 1, *after, **options)

    return wrong


def beside(right: Any) -> Any:
    """``right`` storing the KV of sliding layers one slot further."""

    def wrong(*given: Any, **options: Any) -> Any:
        shift = int(given[8].shape[-1] == SLIDING_HEAD)
        return right(*given[:7], given[7] + shift, *given[8:], **options)

    return wrong


def break_kernels(kind: str) -> None:
    """Break what ``kind`` names."""
    if kind == "residual":
        norms.attention_tail = without_residual(norms.attention_tail)
        norms.moe_attention_tail = without_residual(norms.moe_attention_tail)
        linear.attention_tail_gate_up = without_residual(linear.attention_tail_gate_up)
    elif kind == "scalar":
        norms.layer_tail = without_scalar(norms.layer_tail, 3)
        norms.moe_layer_tail = without_scalar(norms.moe_layer_tail, 6)
        per_layer.per_layer_tail = without_scalar(per_layer.per_layer_tail, 7)
    elif kind == "slot":
        attention.norm_rope_store = beside(attention.norm_rope_store)
    else:
        raise ValueError(f"BROKEN={kind!r}: expected residual, scalar or slot")
    selfcheck.problems = lambda *given: {}


break_kernels(os.environ.get("BROKEN", ""))
EntryClass = classes.ALL
