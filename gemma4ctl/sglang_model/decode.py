"""How attention answers a decode batch: by one kernel of our own over SGLang's KV and metadata."""

from __future__ import annotations

from typing import Any, NamedTuple

from sglang.srt.layers.attention.triton_backend import TritonAttnBackend
from sglang.srt.layers.radix_attention import RadixAttention
from sglang.srt.mem_cache.swa_memory_pool import SWAKVPool
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from sglang.srt.model_executor.forward_context import get_attn_backend
from torch import Tensor

from gemma4ctl.sglang_model.kernels import decode


class Cache(NamedTuple):
    """A layer's K and V, and where the requests' are, as :func:`decode.attend` reads them."""

    k_pool: Tensor
    v_pool: Tensor
    starts: Tensor
    slots: Tensor


class DecodeAttention(RadixAttention):
    """Plain decode by the kernel; whatever else SGLang attends to, by its own backend."""

    def forward(
        self,
        q: Tensor,
        k: Tensor | None,
        v: Tensor | None,
        forward_batch: ForwardBatch,
        save_kv_cache: bool = True,
        **kwargs: Any,
    ) -> Tensor:
        """Attention [T, heads * D] of ``q`` [T, heads, D]; K and V are stored where asked for."""
        cache = None if save_kv_cache or kwargs else self._cache(q, forward_batch)
        if cache is None:
            return super().forward(q, k, v, forward_batch, save_kv_cache, **kwargs)
        q = q.view(-1, self.tp_q_head_num, self.head_dim)
        return decode.attend(q, *cache, self.scaling, self._longest).flatten(1)

    @property
    def _longest(self) -> int | None:
        """Tokens of the sliding window, None in full layers."""
        return self.sliding_window_size if self.sliding_window_size > -1 else None

    def _cache(self, q: Tensor, forward_batch: ForwardBatch) -> Cache | None:
        """The KV to attend to; None where SGLang must.

        That is: no decode, or decode of a draft, whose KV is kept differently; another backend or
        pool; KV of another type, or scaled.
        """
        backend = get_attn_backend()
        if not forward_batch.forward_mode.is_decode() or forward_batch.spec_info is not None:
            return None
        if type(backend) is not TritonAttnBackend or self.k_scale is not None:
            return None
        pool, metadata = backend.token_to_kv_pool, backend.forward_metadata
        if type(pool) is not SWAKVPool:
            return None
        full = self._longest is None
        k_pool, v_pool = pool.get_kv_buffer(self.layer_id)
        layout = (pool.full_kv_pool if full else pool.swa_kv_pool).kv_cache_layout
        if layout != "nhd" or k_pool.dtype != q.dtype or q.dtype not in decode.TYPES:
            return None
        if full:
            return Cache(k_pool, v_pool, metadata.kv_indptr, metadata.kv_indices)
        return Cache(k_pool, v_pool, metadata.window_kv_indptr, metadata.window_kv_indices)


def switch(attention: Any) -> None:
    """Let a layer attend so, unless it has sizes or a score function that the kernel lacks."""
    plain = not attention.logit_cap and attention.xai_temperature_len <= 0
    sizes = attention.tp_q_head_num, attention.tp_k_head_num, attention.head_dim
    same = attention.head_dim == attention.v_head_dim and not attention.is_cross_attention
    if type(attention) is RadixAttention and plain and same and decode.supported(*sizes):
        attention.__class__ = DecodeAttention
