"""The forward passes of Gemma 4's layers with fused kernels.

The classes have no state of their own: :mod:`~gemma4ctl.sglang_model.adopt` makes modules that
SGLang built instances of them, so weights, their loading, quantization and tensor parallelism stay
SGLang's. A call that the kernels do not serve goes to SGLang's own forward.

Shapes: T tokens, H hidden size, D head size; activations are [T, H] in the model's dtype.
"""

from __future__ import annotations

from typing import Any

import torch
from sglang.srt.layers.attention.triton_backend import TritonAttnBackend
from sglang.srt.layers.quantization.unquant import UnquantizedLinearMethod
from sglang.srt.mem_cache.swa_memory_pool import SWAKVPool
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from sglang.srt.model_executor.forward_context import get_attn_backend
from sglang.srt.model_executor.runner_backend_utils.breakable_cuda_graph import (
    is_in_breakable_cuda_graph,
)
from sglang.srt.models.gemma4_causal import (
    Gemma4Attention,
    Gemma4DecoderLayer,
    Gemma4MLP,
    Gemma4TextModel,
)
from torch import Tensor

from gemma4ctl.sglang_model.kernels import attention, linear, norms, per_layer
from gemma4ctl.sglang_model.prefill_graphs import without_placeholders


class FusedAttention(Gemma4Attention):
    """Norm, RoPE and KV store in one launch; no K and V where the layer shares them."""

    def forward(
        self, positions: Tensor, hidden_states: Tensor, forward_batch: ForwardBatch, **kwargs: Any
    ) -> Tensor:
        """[T, H] to [T, H]."""
        if self.is_kv_shared_layer:
            return self._attend_shared(positions, hidden_states, forward_batch)
        store = self._store(len(hidden_states), hidden_states.dtype, forward_batch)
        if store is None:
            return super().forward(positions, hidden_states, forward_batch, **kwargs)
        qkv, _ = self.qkv_proj(hidden_states)
        q, k, v = qkv.split([self.q_size, self.kv_size, self.kv_size], dim=-1)
        k_pool, v_pool, slots = store
        attention.norm_rope_store(
            q,
            k,
            v,
            self.q_norm.weight,
            self.k_norm.weight,
            self.rotary_emb.cos_sin_cache,
            positions,
            slots,
            k_pool,
            v_pool,
            self.q_norm.eps,
            keep=not forward_batch.forward_mode.is_decode(),
        )
        return self._attend(q, k, v, forward_batch)

    def _attend_shared(
        self, positions: Tensor, hidden_states: Tensor, forward_batch: ForwardBatch
    ) -> Tensor:
        """Attention over the KV of another layer: the projection makes queries only."""
        q = self._queries(hidden_states)
        attention.norm_rope_query(
            q, self.q_norm.weight, self.rotary_emb.cos_sin_cache, positions, self.q_norm.eps
        )
        return self._attend(q, None, None, forward_batch)

    def _queries(self, hidden_states: Tensor) -> Tensor:
        """Queries [T, heads * D]: the first rows of the fused projection's weight."""
        if not self.plain_projection:
            qkv, _ = self.qkv_proj(hidden_states)
            return qkv[:, : self.q_size]
        weight = self.qkv_proj.weight[: self.q_size]
        if self.small_linears:
            return linear.linear(hidden_states, weight)
        return torch.nn.functional.linear(hidden_states, weight)

    def _attend(
        self, q: Tensor, k: Tensor | None, v: Tensor | None, forward_batch: ForwardBatch
    ) -> Tensor:
        """Attention and output projection; what K and V are for is stored already."""
        q = q.unflatten(-1, (self.num_heads, self.head_dim))
        out = self.attn(q, k, v, forward_batch=forward_batch, save_kv_cache=False)
        output, _ = self.o_proj(out.flatten(-2, -1) if out.dim() == 3 else out)
        return output

    def _store(
        self, tokens: int, dtype: torch.dtype, forward_batch: ForwardBatch
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """K and V buffers [slots, KV heads, D] and the slots [T] to write.

        Sliding layers have slots of their own. None where SGLang must store: another backend or
        pool, KV of another dtype, or scaled, a batch padded beyond its slots, or a graph that is
        replayed with other slots.
        """
        backend = get_attn_backend()
        if is_in_breakable_cuda_graph():
            return None
        if type(backend) is not TritonAttnBackend or self.attn.k_scale is not None:
            return None
        pool = backend.token_to_kv_pool
        if type(pool) is not SWAKVPool:
            return None
        sliding = pool.layers_mapping[self.attn.layer_id][1]
        metadata = backend.forward_metadata
        slots = metadata.swa_out_cache_loc if sliding else forward_batch.out_cache_loc
        k_pool, v_pool = pool.get_kv_buffer(self.attn.layer_id)
        layout = (pool.swa_kv_pool if sliding else pool.full_kv_pool).kv_cache_layout
        if slots is None or len(slots) != tokens or k_pool.dtype != dtype or layout != "nhd":
            return None
        return k_pool, v_pool, slots


class SmallBatches(UnquantizedLinearMethod):
    """How a linear layer with a plain weight multiplies: a few rows by a kernel of our own."""

    def apply(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[T, in] to [T, out]; SGLang's layer reduces over ranks as before."""
        if bias is None and x.dim() == 2 and linear.small(x):
            return linear.linear(x, layer.weight)
        return super().apply(layer, x, bias)


class FusedMLP(Gemma4MLP):
    """Gate, up and GELU in one launch for a few tokens; more go to SGLang's GEMM."""

    def forward(self, x: Tensor) -> Tensor:
        """[T, H] to [T, H]."""
        if not linear.small(x):
            return super().forward(x)
        output, _ = self.down_proj(linear.gate_up(x, self.gate_up_proj.weight))
        return output


class FusedDecoderLayer(Gemma4DecoderLayer):
    """A decoder layer whose norms, additions and scalar are part of their neighbours' launches."""

    def fused_forward(
        self,
        positions: Tensor,
        normed: Tensor,
        residual: Tensor,
        per_layer_input: Tensor | None,
        forward_batch: ForwardBatch,
        next_weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The layer's output normed for the next layer, and the output itself, both [T, H].

        Args:
            positions: [T].
            normed: the layer's input after its input norm, [T, H].
            residual: the layer's input, [T, H].
            per_layer_input: [T, P] for models with per-layer embeddings, else None.
            forward_batch: SGLang's batch.
            next_weight: weight [H] of the norm that follows: the next layer's, or the last.
        """
        if self.enable_moe_block and not self.router._scale_fused:
            # Once, and well before the kernel that reads it without waiting.
            self.router.fuse_scale()
        attended = self.self_attn(
            positions=positions, hidden_states=normed, forward_batch=forward_batch
        )
        if self.enable_moe_block:
            return self._experts(attended, residual, next_weight)
        hidden, residual = self._dense(attended, residual)
        return self._tail(hidden, residual, per_layer_input, next_weight)

    def _dense(self, attended: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """The MLP's output, and the residual after attention."""
        norm = self.post_attention_layernorm
        weight, next_weight = norm.weight, self.pre_feedforward_layernorm.weight
        eps = norm.variance_epsilon
        if type(self.mlp) is FusedMLP and linear.small(attended):
            activated, residual = linear.attention_tail_gate_up(
                attended, weight, residual, next_weight, self.mlp.gate_up_proj.weight, eps
            )
            hidden, _ = self.mlp.down_proj(activated)
            return hidden, residual
        hidden, residual = norms.attention_tail(attended, weight, residual, next_weight, eps)
        return self.mlp(hidden), residual

    def _tail(
        self,
        hidden: Tensor,
        residual: Tensor,
        per_layer_input: Tensor | None,
        next_weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """From the MLP's output to the next layer's input."""
        norm = self.post_feedforward_layernorm
        if not self.has_ple or per_layer_input is None:
            return norms.layer_tail(
                hidden,
                norm.weight,
                residual,
                self.layer_scalar,
                next_weight,
                norm.variance_epsilon,
                separate=self.has_ple,
            )
        return per_layer.per_layer_tail(
            hidden,
            norm.weight,
            residual,
            self.per_layer_input_gate.weight,
            per_layer_input,
            self.per_layer_projection.weight,
            self.post_per_layer_input_norm.weight,
            self.layer_scalar,
            next_weight,
            norm.variance_epsilon,
            small_linears=self.small_linears,
        )

    def _experts(
        self, attended: Tensor, residual: Tensor, next_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The dense MLP and the experts side by side."""
        norm, router = self.post_attention_layernorm, self.router
        dense, routed, experts, residual = norms.moe_attention_tail(
            attended,
            norm.weight,
            residual,
            self.pre_feedforward_layernorm.weight,
            router.norm.weight,
            self.pre_feedforward_layernorm_2.weight,
            norm.variance_epsilon,
        )
        dense = self.mlp(dense)
        logits, _ = router.proj(routed)
        return norms.moe_layer_tail(
            dense,
            self.post_feedforward_layernorm_1.weight,
            self.moe(experts, logits),
            self.post_feedforward_layernorm_2.weight,
            self.post_feedforward_layernorm.weight,
            residual,
            self.layer_scalar,
            next_weight,
            norm.variance_epsilon,
        )


class FusedTextModel(Gemma4TextModel):
    """The stack of layers, each handing the next one its input normed already."""

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        forward_batch: ForwardBatch,
        input_embeds: Tensor | None = None,
        per_layer_inputs: Tensor | None = None,
        pp_proxy_tensors: Any = None,
        **kwargs: Any,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Hidden states [T, H] after the last norm, and those that a draft asked to capture."""
        if positions.numel() == 0:
            return super().forward(
                input_ids,
                positions,
                forward_batch,
                input_embeds,
                per_layer_inputs,
                pp_proxy_tensors,
                **kwargs,
            )
        if input_ids is not None and input_embeds is None:
            input_embeds = self.embed_tokens(input_ids)
            per_layer_inputs = self.get_per_layer_inputs(input_ids)
        elif input_ids is not None and self.embed_tokens_per_layer is not None:
            # Both are buffers of a CUDA graph, which is replayed without per-layer inputs.
            per_layer_inputs = without_placeholders(
                input_ids, self.placeholders, self.config.pad_token_id
            )
        per_layer_inputs = self.project_per_layer_inputs(input_embeds, per_layer_inputs)
        first = self.layers[0].input_layernorm
        normed = norms.rms_norm(input_embeds, first.weight, first.variance_epsilon)
        residual, captured = input_embeds, []
        for number, layer in enumerate(self.layers):
            if number in self.layers_to_capture:
                captured.append(residual)
            normed, residual = layer.fused_forward(
                positions,
                normed,
                residual,
                None if per_layer_inputs is None else per_layer_inputs[:, number],
                forward_batch,
                self._norm_after(number).weight,
            )
        if len(self.layers) in self.layers_to_capture:
            captured.append(residual)
        return (normed, captured) if captured else normed

    def _norm_after(self, number: int) -> Any:
        """The norm that follows layer ``number``."""
        last = number + 1 == len(self.layers)
        return self.norm if last else self.layers[number + 1].input_layernorm

    def get_per_layer_inputs(self, input_ids: Tensor) -> Tensor | None:
        """The token ids [T]: their embeddings are read where they are projected."""
        return None if self.embed_tokens_per_layer is None else input_ids

    def project_per_layer_inputs(
        self, inputs_embeds: Tensor, per_layer_inputs: Tensor | None = None
    ) -> Tensor | None:
        """Per-layer inputs [T, layers, P] of the embeddings [T, H] and of the tokens.

        ``per_layer_inputs`` are token ids [T], or their embeddings [T, layers, P].
        """
        if self.per_layer_model_projection is None or per_layer_inputs is None:
            return super().project_per_layer_inputs(inputs_embeds, per_layer_inputs)
        projected, _ = self.per_layer_model_projection(inputs_embeds)
        norm = self.per_layer_projection_norm
        rest = (norm.weight, norm.variance_epsilon, self.projection_scale, self.input_scale)
        if per_layer_inputs.is_floating_point():
            return per_layer.per_layer_inputs(projected, per_layer_inputs.flatten(-2, -1), *rest)
        table = self.embed_tokens_per_layer
        return per_layer.per_layer_inputs_of_tokens(
            projected, per_layer_inputs, table.weight, float(table.embed_scale), *rest
        )
