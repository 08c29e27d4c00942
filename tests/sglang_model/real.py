"""Tiny Gemma 4 models built by the real SGLang on a CPU, and attention over its real KV pools.

Constructed configurations with the structure of the published ones: sliding and full layers with
heads of different widths, shared KV and per-layer embeddings (as E2B), one KV for K and V, experts
(as 26B-A4B). Weights are random, norms and scalars far from 1, so that leaving one out shows.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.functional import gelu

SLIDING, FULL, WINDOW = 64, 128, 16  # head widths, window
PAGES = 200

SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "vocab_size_per_layer_input": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": SLIDING,
    "global_head_dim": FULL,
    "sliding_window": WINDOW,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
E2B = {
    "num_hidden_layers": 10,
    "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 2,
    "num_kv_shared_layers": 5,
    "hidden_size_per_layer_input": 8,
    "use_double_wide_mlp": True,
}
DENSE = {
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 0,
}
EXPERTS = {
    **DENSE,
    "enable_moe_block": True,
    "num_experts": 8,
    "top_k_experts": 2,
    "moe_intermediate_size": 16,
}


def text_config(**values: Any) -> Any:
    """A text configuration as SGLang rewrites it: full widths as such, sliding ones beside."""
    from transformers import Gemma4TextConfig

    config = Gemma4TextConfig(**SMALL | values)
    config.swa_head_dim = config.swa_v_head_dim = SLIDING
    config.swa_num_key_value_heads = config.num_key_value_heads
    config.head_dim = config.v_head_dim = FULL
    return config


@cache
def process(rank: int = 0, ranks: int = 1, meeting: str | None = None) -> Any:
    """This process as one rank of a server; its server arguments.

    The ranks meet at a file that none of them has made before.
    """
    from sglang.srt import runtime_context
    from sglang.srt.distributed import parallel_state
    from sglang.srt.layers.moe import initialize_moe_config

    arguments = {"disable_cuda_graph": True, "tp_size": ranks, "device": "cpu"}
    server = runtime_context.get_context().override_server_args(**arguments).install()
    meeting = meeting or str(Path(tempfile.mkdtemp()) / "meeting")
    os.environ["SGLANG_NCCL_SO_PATH"] = "none"  # as on a machine without NCCL
    parallel_state.set_custom_all_reduce(False)
    parallel_state.init_distributed_environment(
        world_size=ranks,
        rank=rank,
        local_rank=rank,
        distributed_init_method=f"file://{meeting}",
        backend="gloo",
    )
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=ranks, backend="gloo")
    initialize_moe_config(server)
    return server


def build(module: str, name: str, config: Any) -> Any:
    """The model class ``name`` of ``module`` with random weights, the same for each call."""
    process()
    torch.manual_seed(0)
    model = getattr(importlib.import_module(module), name)(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, tensor in sorted(model.state_dict().items()):
            spread = 1.0 if tensor.dim() < 2 else tensor.shape[-1] ** -0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * spread)
            if "scalar" in key:
                tensor.fill_(0.7)
    for layer in model.model.layers:
        if layer.enable_moe_block:
            layer.moe.forward = partial(_experts, layer.moe)
            layer.router.norm.with_scale = True  # its native forward drops the folded weight
    return model.eval()


def _experts(moe: Any, hidden: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Experts, computed plainly: SGLang has no GELU experts on CPUs. Routing is by softmax."""
    weights, ids = logits.softmax(-1).topk(2, dim=-1)
    gate, up = torch.einsum("th,eih->tei", hidden, moe.experts.w13_weight).chunk(2, dim=-1)
    made = torch.einsum("tei,ehi->teh", gelu(gate) * up, moe.experts.w2_weight)
    chosen = made.gather(1, ids[..., None].expand(-1, -1, hidden.shape[1]))
    return (chosen * weights[..., None]).sum(1)


def pool(own: int | None, config: Any) -> Any:
    """SGLang's two KV pools for the layers below ``own`` (None: all)."""
    from sglang.srt.mem_cache.swa_memory_pool import SWAKVPool

    kinds = list(enumerate(config.layer_types))[:own]
    made = SWAKVPool(
        size=PAGES,
        size_swa=PAGES // 2,
        page_size=1,
        dtype=torch.float32,
        head_num=1,
        head_dim=FULL,
        v_head_dim=FULL,
        swa_head_num=1,
        swa_head_dim=SLIDING,
        swa_v_head_dim=SLIDING,
        swa_attention_layer_ids=[i for i, kind in kinds if kind == "sliding_attention"],
        full_attention_layer_ids=[i for i, kind in kinds if kind == "full_attention"],
        device="cpu",
        post_capture_active=False,
    )
    made.register_mapping((torch.arange(PAGES + 2) * 3 + 1) % (PAGES // 2))  # other slots
    return made


class Backend:
    """Attention of one request, computed plainly over SGLang's pool, as its Triton backend."""

    def __init__(self, kv_pool: Any) -> None:
        from sglang.srt.layers.attention.triton_backend import TritonAttnBackend

        self.backend = object.__new__(TritonAttnBackend)
        self.backend.token_to_kv_pool = kv_pool
        self.backend.forward = self._forward
        self.pool = kv_pool
        self.slots = torch.zeros(0, dtype=torch.int64)
        self.stored: list[bool] = []  # whether SGLang stored K and V, call by call

    @contextmanager
    def batch(self, tokens: int, *, decode: bool) -> Any:
        """A batch of the next ``tokens`` of the request."""
        from sglang.srt.model_executor.forward_context import ForwardContext, forward_context

        before = len(self.slots)
        new = (torch.arange(before, before + tokens) * 5 + 3) % PAGES
        self.slots = torch.cat([self.slots, new])
        translated = self.pool.translate_loc_from_full_to_swa(new)
        self.backend.forward_metadata = SimpleNamespace(swa_out_cache_loc=translated)
        mode = SimpleNamespace(is_decode=lambda: decode, is_extend=lambda: not decode)
        with forward_context(ForwardContext(attn_backend=self.backend)):
            yield SimpleNamespace(forward_mode=mode, out_cache_loc=new)

    def _forward(self, q, k, v, layer, forward_batch, save_kv_cache=True, **kwargs):
        from sglang.srt.mem_cache.memory_pool import KVWriteLoc

        if save_kv_cache:
            swa = self.backend.forward_metadata.swa_out_cache_loc
            where = KVWriteLoc(forward_batch.out_cache_loc, swa, full_loc=None)
            self.pool.set_kv_buffer(layer, where, k, v)
        self.stored.append(save_kv_cache)
        sliding = self.pool.layers_mapping[layer.layer_id][1]
        slots = self.pool.translate_loc_from_full_to_swa(self.slots) if sliding else self.slots
        keys, values = (buffer[slots] for buffer in self.pool.get_kv_buffer(layer.layer_id))
        new = len(forward_batch.out_cache_loc)
        if k is not None and not forward_batch.forward_mode.is_decode():
            keys, values = keys.clone(), values.clone()
            keys[-new:], values[-new:] = k, v  # as extend does: new tokens from the arguments
        rows = torch.arange(len(slots) - new, len(slots))[:, None] - torch.arange(len(slots))
        seen = (rows >= 0) & (rows <= (layer.sliding_window_size if sliding else len(slots)))
        q = q.view(new, layer.tp_q_head_num, layer.head_dim)
        scores = torch.einsum("qhd,kd->hqk", q, keys[:, 0]).masked_fill(~seen, -torch.inf)
        out = torch.einsum("hqk,kd->qhd", scores.softmax(-1), values[:, 0])
        return out.flatten(1)


def hidden_states(model: Any, backend: Backend, chunks: list[int]) -> torch.Tensor:
    """Hidden states of a request computed in ``chunks``; chunks of 1 token are decoded."""
    text, start, found = model.model, 0, []
    tokens = torch.randint(1, 96, (sum(chunks),), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for size in chunks:
            ids = tokens[start : start + size]
            with backend.batch(size, decode=size == 1) as batch:
                found.append(text(ids, torch.arange(start, start + size), batch))
            start += size
    return torch.cat(found)


def draft(target: Any, module: str = "sglang.srt.models.gemma4_mtp") -> Any:
    """An MTP draft of two layers for the text configuration ``target``, with random weights."""
    values = {
        **DENSE,
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    config = SimpleNamespace(
        text_config=text_config(**values), backbone_hidden_size=target.hidden_size
    )
    return build(module, "Gemma4AssistantForCausalLM", config)
