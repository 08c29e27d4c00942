"""Before attention: the norms of Q, K and V, rotary embedding and the KV store in one launch.

Q, K and V are [tokens, heads * head_dim] with a contiguous last dimension and any row stride, as
the slices of a fused QKV product are. The head dimension is a power of two (Gemma 4: 256 for
sliding layers, 512 for full ones). ``cos_sin`` is the rotary table of the layer, fp32
[positions, head_dim]: cosines then sines of head_dim / 2 angles. The proportional rotary of the
full layers is such a table with angle 0 past the rotated ones, so both kinds are the same NeoX
rotation of (x[i], x[i + head_dim / 2]). Values are rounded after the norm and after the rotation,
as stock does. Offsets into the pools are 64-bit.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from gemma4ctl.sglang_model.kernels import runtime


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
    """Normalise and rotate ``q`` in place; write K and V to row ``slots[t]`` of their pools.

    K is normalised and rotated, V normalised without weight. ``slots`` ([tokens], int32 or int64)
    are the rows of the layer's own pool: SGLang's ``out_cache_loc`` for full layers, its
    translation ``swa_out_cache_loc`` for sliding ones; a negative slot is not written. The pools
    are [rows, kv_heads, head_dim] of the same type as Q. With ``keep`` the results also replace
    ``k`` and ``v``, which attention over new tokens (extend) reads.

    Replaces three launches: stock's QKV norm, RoPE, and KV store.
    """
    head_dim = q_weight.shape[0]
    kv_heads = k_pool.shape[1]
    _check(q, head_dim, cos_sin, positions)
    for pool, new in ((k_pool, k), (v_pool, v)):
        if pool.dtype != q.dtype or pool.shape[2] != head_dim or pool.stride(2) != 1:
            raise ValueError(
                f"expected pools [rows, heads, {head_dim}] of {q.dtype}, got {pool.dtype} "
                f"{tuple(pool.shape)}"
            )
        if new.shape != (q.shape[0], kv_heads * head_dim) or new.stride(-1) != 1:
            raise ValueError(f"expected {kv_heads} heads of {head_dim}, got {tuple(new.shape)}")
    _launch(q, k, v, q_weight, k_weight, cos_sin, positions, slots, k_pool, v_pool, eps, keep)


def norm_rope_query(
    q: torch.Tensor,
    q_weight: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    eps: float,
) -> None:
    """Normalise and rotate ``q`` in place, for layers that share another layer's K and V.

    Replaces three launches: stock's Q norm, the zero fill of a dummy key, and RoPE of both.
    """
    _check(q, q_weight.shape[0], cos_sin, positions)
    _launch(q, q, q, q_weight, q_weight, cos_sin, positions, positions, None, None, eps, False)


def _launch(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    k_pool: torch.Tensor | None,
    v_pool: torch.Tensor | None,
    eps: float,
    keep: bool,
) -> None:
    tokens, head_dim = q.shape[0], q_weight.shape[0]
    q_heads = q.shape[1] // head_dim
    kv_heads = 0 if k_pool is None else k_pool.shape[1]
    _kernels().norm_rope_store[(tokens, q_heads + 2 * kv_heads)](
        q,
        k,
        v,
        q_weight,
        k_weight,
        cos_sin,
        positions,
        slots,
        q if k_pool is None else k_pool,
        q if v_pool is None else v_pool,
        q.stride(0),
        k.stride(0),
        v.stride(0),
        0 if k_pool is None else k_pool.stride(0),
        0 if k_pool is None else k_pool.stride(1),
        0 if v_pool is None else v_pool.stride(0),
        0 if v_pool is None else v_pool.stride(1),
        cos_sin.stride(0),
        eps,
        Q_HEADS=q_heads,
        KV_HEADS=kv_heads,
        D=head_dim,
        KEEP=keep,
        num_warps=1,  # a warp holds a head: its sum needs no shared memory
        **runtime.launch(q),
    )


def _check(q: torch.Tensor, head_dim: int, cos_sin: torch.Tensor, positions: torch.Tensor) -> None:
    """Raise ValueError unless the kernel reads these as they are."""
    if runtime.power_of_two(head_dim) != head_dim or q.shape[1] % head_dim or q.stride(-1) != 1:
        raise ValueError(f"expected [tokens, heads * {head_dim}], got {tuple(q.shape)}")
    if cos_sin.dtype != torch.float32 or cos_sin.shape[1] != head_dim or cos_sin.stride(1) != 1:
        raise ValueError(
            f"expected an fp32 rotary table of width {head_dim}, got {cos_sin.dtype} "
            f"{tuple(cos_sin.shape)}"
        )
    if positions.shape != (q.shape[0],):
        raise ValueError(f"expected {q.shape[0]} positions, got {tuple(positions.shape)}")


@cache
def _kernels() -> ModuleType:
    runtime.need_triton()
    from gemma4ctl.sglang_model.kernels.device import attention

    return attention
