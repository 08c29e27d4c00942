"""What the fused operations mean, in plain PyTorch; written against SGLang's layers, not ours.

Signatures are those of ``gemma4ctl.sglang_model.kernels``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu
from torch.nn.functional import linear as product


def _norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    x32 = x.float()
    normed = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps)
    return (normed if weight is None else normed * weight.float()).to(x.dtype)


rms_norm = _norm


def attention_tail(x, weight, residual, next_weight, eps):
    residual = _norm(x, weight, eps) + residual
    return _norm(residual, next_weight, eps), residual


def layer_tail(x, weight, residual, scalar, next_weight, eps, *, separate=False):
    out = (_norm(x, weight, eps) + residual) * scalar
    return (None if next_weight is None else _norm(out, next_weight, eps)), out


def moe_attention_tail(x, weight, residual, dense_weight, router_weight, expert_weight, eps):
    residual = _norm(x, weight, eps) + residual
    normed = (_norm(residual, w, eps) for w in (dense_weight, router_weight, expert_weight))
    return (*normed, residual)


def moe_layer_tail(
    dense, dense_weight, experts, expert_weight, weight, residual, scalar, next_weight, eps
):
    both = _norm(dense, dense_weight, eps) + _norm(experts, expert_weight, eps)
    return layer_tail(both, weight, residual, scalar, next_weight, eps)


def per_layer_tail(
    x,
    weight,
    residual,
    gate_weight,
    per_layer_input,
    projection_weight,
    norm_weight,
    scalar,
    next_weight,
    eps,
    *,
    small_linears,
):
    hidden = _norm(x, weight, eps) + residual
    gated = gelu(product(hidden, gate_weight), approximate="tanh") * per_layer_input
    hidden = (hidden + _norm(product(gated, projection_weight), norm_weight, eps)) * scalar
    return _norm(hidden, next_weight, eps), hidden


def per_layer_inputs(projected, embeds, norm_weight, eps, projection_scale, input_scale):
    size = norm_weight.shape[0]
    shape = (projected.shape[0], -1, size)
    normed = _norm((projected * projection_scale).view(shape), norm_weight, eps)
    return (normed + embeds.view(shape)) * input_scale


def per_layer_inputs_of_tokens(
    projected, tokens, table, embed_scale, norm_weight, eps, projection_scale, input_scale
):
    embeds = table[tokens.where(tokens < len(table), 0)] * embed_scale
    return per_layer_inputs(projected, embeds, norm_weight, eps, projection_scale, input_scale)


def _rotated(x: Tensor, weight: Tensor | None, cos_sin: Tensor, positions: Tensor, eps: float):
    """[tokens, heads * D] normed per head and rotated, as [tokens, heads, D]."""
    head = cos_sin.shape[1]
    normed = _norm(x.unflatten(-1, (-1, head)), weight, eps)
    cos, sin = cos_sin[positions].to(x.dtype).unsqueeze(1).chunk(2, dim=-1)
    one, two = normed.chunk(2, dim=-1)
    return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)


def norm_rope_query(q, q_weight, cos_sin, positions, eps):
    q.copy_(_rotated(q, q_weight, cos_sin, positions, eps).flatten(1))


def norm_rope_store(
    q, k, v, q_weight, k_weight, cos_sin, positions, slots, k_pool, v_pool, eps, *, keep
):
    norm_rope_query(q, q_weight, cos_sin, positions, eps)
    keys = _rotated(k, k_weight, cos_sin, positions, eps)
    values = _norm(v.unflatten(-1, (-1, cos_sin.shape[1])), None, eps)
    k_pool[slots], v_pool[slots] = keys, values
    k.copy_(keys.flatten(1) if keep else torch.full_like(k, torch.nan))
    v.copy_(values.flatten(1) if keep else torch.full_like(v, torch.nan))


def linear(x, weight, bias=None):
    return product(x, weight, bias)


def gate_up(x, weight):
    gate, up = product(x, weight).chunk(2, dim=-1)
    return gelu(gate, approximate="tanh") * up


def attention_tail_gate_up(x, weight, residual, next_weight, gate_up_weight, eps):
    hidden, residual = attention_tail(x, weight, residual, next_weight, eps)
    return gate_up(hidden, gate_up_weight), residual


def small(x) -> bool:
    return x.shape[0] <= 8
