"""The kernels' results in plain PyTorch, operation by operation as stock SGLang computes them.

Norms and sums are fp32; a value is rounded to the type of the tensors where stock stores it.
Functions have the names and arguments of those they stand for.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn import functional

ROWS_AT_ONCE = 8192


def norm(x: torch.Tensor, weight: torch.Tensor | None, eps: float) -> torch.Tensor:
    """RMSNorm over the last dimension, fp32, not rounded."""
    value = x.float()
    value = value * torch.rsqrt(value.pow(2).mean(-1, keepdim=True) + eps)
    return value if weight is None else value * weight.float()


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMSNorm, rounded."""
    return norm(x, weight, eps).to(x.dtype)


def attention_tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    next_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Norm, rounded; then add + norm, where the norm reads the sum before it is rounded."""
    total = rms_norm(x, weight, eps).float() + residual.float()
    return norm(total, next_weight, eps).to(x.dtype), total.to(x.dtype)


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
    """Norm, add and scalar, rounded once (``separate``: each); the next norm reads the result."""
    if separate:
        total = (rms_norm(x, weight, eps) + residual) * scalar.to(x.dtype)
    else:
        total = ((norm(x, weight, eps) + residual.float()) * scalar.float()).to(x.dtype)
    return None if next_weight is None else rms_norm(total, next_weight, eps), total


def add_norm(
    x: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor, eps: float
) -> torch.Tensor:
    """Norm, rounded, and add, rounded."""
    return rms_norm(x, weight, eps) + residual


def moe_attention_tail(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    dense_weight: torch.Tensor,
    router_weight: torch.Tensor,
    expert_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """``attention_tail``, and two norms that read the rounded sum."""
    dense, total = attention_tail(x, weight, residual, dense_weight, eps)
    return dense, rms_norm(total, router_weight, eps), rms_norm(total, expert_weight, eps), total


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
    """Two norms, sum, norm, add and scalar, rounded once; the next norm reads the result."""
    both = norm(dense, dense_weight, eps) + norm(experts, expert_weight, eps)
    total = ((norm(both, weight, eps) + residual.float()) * scalar.float()).to(dense.dtype)
    return None if next_weight is None else rms_norm(total, next_weight, eps), total


def rotated(x: torch.Tensor, cos_sin: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """NeoX rotary embedding of [T, heads, D] in fp32, rounded."""
    cos, sin = cos_sin[positions.long()].chunk(2, dim=-1)
    low, high = x.float().chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((low * cos - high * sin, low * sin + high * cos), dim=-1).to(x.dtype)


def norm_rope_query(
    q: torch.Tensor,
    q_weight: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    eps: float,
) -> None:
    """Norm and rotary embedding of every head, in place."""
    heads = q.unflatten(-1, (-1, q_weight.shape[0]))
    q.copy_(rotated(rms_norm(heads, q_weight, eps), cos_sin, positions).flatten(1))


def norm_rope_store(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    k_pool: torch.Tensor,
    v_pool: torch.Tensor,
    eps: float,
    *,
    keep: bool,
) -> None:
    """Norms of Q, K and V, rotary embedding of Q and K, and the store into the pools."""
    head_dim = q_weight.shape[0]
    norm_rope_query(q, q_weight, cos_sin, positions, eps)
    new_k = rotated(rms_norm(k.unflatten(-1, (-1, head_dim)), k_weight, eps), cos_sin, positions)
    new_v = norm(v.unflatten(-1, (-1, head_dim)), None, eps).to(v.dtype)
    stored = slots >= 0
    k_pool[slots[stored].long()] = new_k[stored]
    v_pool[slots[stored].long()] = new_v[stored]
    if keep:
        k.copy_(new_k.flatten(1))
        v.copy_(new_v.flatten(1))


def attend(
    q: torch.Tensor,
    k_pool: torch.Tensor,
    v_pool: torch.Tensor,
    starts: torch.Tensor,
    slots: torch.Tensor,
    scale: float,
    longest: int | None,
) -> torch.Tensor:
    """Softmax attention of each request over its slots, in fp32, rounded once."""
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    group = q.shape[1] // k_pool.shape[1]
    for request, (start, end) in enumerate(pairwise(starts[: q.shape[0] + 1].tolist())):
        rows = slots[start:end].long()
        k, v = (pool[rows].float().repeat_interleave(group, 1) for pool in (k_pool, v_pool))
        weights = torch.einsum("hd,thd->ht", q[request].float(), k).mul(scale).softmax(-1)
        out[request] = torch.einsum("ht,thd->hd", weights, v).to(q.dtype)
    return out


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A product with fp32 sums, rounded; some rows at a time, as fp32 needs twice the memory."""
    parts = [functional.linear(x.float(), part.float()) for part in weight.split(ROWS_AT_ONCE)]
    return torch.cat(parts, dim=-1).to(x.dtype)


def gate_up(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Product, rounded; then GELU and multiplication, rounded once."""
    gate, up = linear(x, weight).float().chunk(2, dim=-1)
    return (functional.gelu(gate, approximate="tanh") * up).to(x.dtype)


def attention_tail_gate_up(
    x: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    next_weight: torch.Tensor,
    gate_up_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``attention_tail``, then ``gate_up``."""
    hidden, total = attention_tail(x, weight, residual, next_weight, eps)
    return gate_up(hidden, gate_up_weight), total


def gate_times(x: torch.Tensor, weight: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Product, GELU and multiplication, each rounded."""
    gate = functional.gelu(linear(x, weight).float(), approximate="tanh").to(x.dtype)
    return gate * factors


def experts(
    x: torch.Tensor,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
) -> torch.Tensor:
    """Each token's experts one by one, each product and activation rounded, summed in fp32."""
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for token, expert in torch.nonzero(topk_ids >= 0).tolist():
        number = int(topk_ids[token, expert])
        gate, up = linear(x[token : token + 1], gate_up[number]).float().chunk(2, dim=-1)
        activated = (functional.gelu(gate) * up).to(x.dtype)
        weighted = activated.float() @ down[number].float().t() * topk_weights[token, expert]
        out[token] += weighted[0].to(x.dtype).float()
    return out.to(x.dtype)


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
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """The launches of stock's layer with per-layer embeddings after its MLP, and the next norm."""
    total = add_norm(x, weight, residual, eps)
    projected = linear(gate_times(total, gate_weight, per_layer_input), projection_weight)
    return layer_tail(projected, norm_weight, total, scalar, next_weight, eps, separate=True)


def per_layer_inputs(
    projected: torch.Tensor,
    embeds: torch.Tensor,
    norm_weight: torch.Tensor,
    eps: float,
    projection_scale: float,
    input_scale: float,
) -> torch.Tensor:
    """Scale, norm, add and scale, each rounded."""
    layers = (-1, norm_weight.shape[0])
    value = (projected.float() * projection_scale).to(projected.dtype).unflatten(-1, layers)
    total = rms_norm(value, norm_weight, eps) + embeds.unflatten(-1, layers)
    return (total.float() * input_scale).to(projected.dtype)


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
    """Mask, look-up and scale of the embeddings, then ``per_layer_inputs``."""
    inside = (tokens >= 0) & (tokens < table.shape[0])
    rows = table[torch.where(inside, tokens, 0).long()]
    embeds = (rows.float() * embed_scale).to(table.dtype)
    return per_layer_inputs(projected, embeds, norm_weight, eps, projection_scale, input_scale)


def softcap(logits: torch.Tensor, cap: float, out: torch.Tensor | None = None) -> torch.Tensor:
    """Widened to fp32, capped there, and not rounded again."""
    capped = cap * torch.tanh(logits.float() / cap)
    return capped if out is None else out.copy_(capped)
