"""The per-layer embeddings of E2B and E4B: their input once a step, their tail in every layer.

P is 256 values a layer and token (``hidden_size_per_layer_input``). Values are rounded where
stock, with a launch for each operation, rounds them. Types as in ``norms`` and ``linear``.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch.nn import functional

from gemma4ctl.sglang_model.kernels import linear, norms, runtime


def per_layer_tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    gate_weight: torch.Tensor,
    per_layer_input: torch.Tensor,
    projection_weight: torch.Tensor,
    norm_weight: torch.Tensor,
    scalar: torch.Tensor,
    next_weight: torch.Tensor | None,
    eps: float,
    *,
    small_linears: bool = True,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """From the MLP's output ``x`` to (the next layer's normed input, new residual).

    With ``h = residual + norm(x)``: ``(h + norm(projection(gelu(gate(h)) * per_layer_input)))
    * scalar``, and the next norm of it. ``x`` and ``residual`` are [T, hidden], ``gate_weight``
    [P, hidden], ``per_layer_input`` [T, P] with any row stride, ``projection_weight``
    [hidden, P]. Replaces ten launches of stock with three for one token, four up to
    ``linear.SMALL_BATCH`` tokens, five above and without ``small_linears``, where both products
    are PyTorch's.
    """
    if small_linears:
        activated, total = linear.add_norm_gate_times(
            x, weight, residual, gate_weight, per_layer_input, eps
        )
        projected = linear.linear(activated, projection_weight)
    else:
        total = norms.add_norm(x, weight, residual, eps)
        gate = functional.linear(total, gate_weight)
        activated = linear.gelu_times(gate, per_layer_input, 2)
        projected = functional.linear(activated, projection_weight)
    return norms.layer_tail(projected, norm_weight, total, scalar, next_weight, eps, separate=True)


def per_layer_inputs(
    projected: torch.Tensor,
    embeds: torch.Tensor,
    norm_weight: torch.Tensor,
    eps: float,
    projection_scale: float,
    input_scale: float,
) -> torch.Tensor:
    """``(norm(projected * projection_scale) + embeds) * input_scale`` [T, layers, P].

    ``projected`` is the product with ``per_layer_model_projection`` and ``embeds`` the scaled
    per-layer embeddings, both [T, layers * P]; the norm is over each P. Pass the scales as the
    model holds them: stock keeps them in the model's type (0.70703125 for 1/sqrt(2) in bf16).
    Replaces four launches.
    """
    return _inputs(projected, embeds, None, norm_weight, eps, projection_scale, 1.0, input_scale)


def per_layer_inputs_of_tokens(
    projected: torch.Tensor,
    tokens: torch.Tensor,
    table: torch.Tensor,
    embed_scale: float,
    norm_weight: torch.Tensor,
    eps: float,
    projection_scale: float,
    input_scale: float,
) -> torch.Tensor:
    """``per_layer_inputs`` with the embeddings ``table[tokens] * embed_scale`` read in place.

    ``table`` is [vocabulary, layers * P], ``tokens`` [T]; ids outside the table read row 0, as
    stock's masking does. Offsets into the table are 64-bit. Replaces eleven launches.
    """
    return _inputs(
        projected, table, tokens, norm_weight, eps, projection_scale, embed_scale, input_scale
    )


def _inputs(
    projected: torch.Tensor,
    embeds: torch.Tensor,
    tokens: torch.Tensor | None,
    norm_weight: torch.Tensor,
    eps: float,
    projection_scale: float,
    embed_scale: float,
    input_scale: float,
) -> torch.Tensor:
    rows, width = projected.shape
    per_layer = norm_weight.shape[0]
    if embeds.shape[-1] != width or width % per_layer or embeds.stride(-1) != 1:
        raise ValueError(
            f"expected embeddings of width {width}, layers of {per_layer}, got "
            f"{tuple(embeds.shape)}"
        )
    out = torch.empty(
        (rows, width // per_layer, per_layer), dtype=projected.dtype, device=projected.device
    )
    _kernels().inputs[(rows, width // per_layer)](
        projected,
        embeds,
        projected if tokens is None else tokens,
        norm_weight,
        out,
        projected.stride(0),
        embeds.stride(0),
        embeds.shape[0],
        projection_scale,
        embed_scale,
        input_scale,
        eps,
        GATHER=tokens is not None,
        P=per_layer,
        BLOCK=runtime.power_of_two(per_layer),
        num_warps=1,
        **runtime.launch(projected),
    )
    return out


@cache
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import per_layer

    return per_layer
