"""Faults in models from :mod:`tests.sglang_model.server`, which every comparison has to see.

Each takes the requests to come and a stack of what is to be undone afterwards.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from tests.sglang_model.server import Requests, text

WITH_RESIDUAL = {
    "norms": ("attention_tail", "moe_attention_tail"),
    "linear": ("attention_tail_gate_up",),
}


def residual(requests: Requests, stack: ExitStack) -> None:
    """The residual of attention is dropped: in a kernel, or in SGLang's norm with addition."""
    layers = text(requests.model).layers
    if hasattr(layers[0], "fused_forward"):
        for module, names in WITH_RESIDUAL.items():
            found = importlib.import_module(f"gemma4ctl.sglang_model.kernels.{module}")
            for name in names:
                stack.enter_context(patch.object(found, name, _drop(getattr(found, name), 2)))
    else:
        for layer in layers:
            norm = layer.pre_feedforward_layernorm
            stack.enter_context(patch.object(norm, "forward", _drop(norm.forward, 1)))


def _drop(right: Any, position: int) -> Any:
    def wrong(*given: Any, **options: Any) -> Any:
        return right(*given[:position], given[position] * 0, *given[position + 1 :], **options)

    return wrong


def layer_scalar(requests: Requests, stack: ExitStack) -> None:
    """One layer's scalar is 1."""
    text(requests.model).layers[1].layer_scalar.fill_(1)


def window(requests: Requests, stack: ExitStack) -> None:
    """Sliding layers see one token more."""
    for layer in text(requests.model).layers:
        if not layer.is_full_attention:
            layer.self_attn.attn.sliding_window_size += 1


def shared_kv(requests: Requests, stack: ExitStack) -> None:
    """A layer that shares KV reads that of an earlier sliding layer than it should."""
    shared = next(
        layer for layer in text(requests.model).layers if layer.self_attn.is_kv_shared_layer
    )
    shared.self_attn.attn.layer_id -= 1


def slots(requests: Requests, stack: ExitStack) -> None:
    """KV of sliding layers is written one slot further."""
    backend = requests.backend
    right = backend.init_forward_metadata

    def wrong(batch: Any) -> None:
        right(batch)
        backend.forward_metadata.swa_out_cache_loc = backend.forward_metadata.swa_out_cache_loc + 1

    stack.enter_context(patch.object(backend, "init_forward_metadata", wrong))


def per_layer_embeddings(requests: Requests, stack: ExitStack) -> None:
    """Layers get the per-layer embeddings of their neighbours."""
    model = text(requests.model)
    weight = model.embed_tokens_per_layer.weight
    weight.data = weight.data.roll(model.hidden_size_per_layer_input, dims=1)


def key_norm(requests: Requests, stack: ExitStack) -> None:
    """One layer's key norm has no weight."""
    text(requests.model).layers[0].self_attn.k_norm.weight.data.fill_(1)


def values_as_keys(requests: Requests, stack: ExitStack) -> None:
    """A full layer's V is not its K."""
    full = next(layer for layer in text(requests.model).layers if layer.is_full_attention)
    values = full.self_attn.qkv_proj.weight.data[-full.self_attn.kv_size :]
    values.copy_(values.roll(1, dims=0))


def expert_scale(requests: Requests, stack: ExitStack) -> None:
    """Experts have no scale."""
    for layer in text(requests.model).layers:
        layer.moe.per_expert_scale.data.fill_(1)


def softcap(requests: Requests, stack: ExitStack) -> None:
    """Logits are not capped."""
    from sglang.srt.layers.logits_processor import LogitsProcessor

    processor = requests.model.logits_processor
    processor.__class__, processor.final_logit_softcapping = LogitsProcessor, None


EVERY = (residual, layer_scalar, window, slots, key_norm, softcap)
OF_CASES = {
    "E2B": (*EVERY, shared_kv, per_layer_embeddings),
    "31B": (*EVERY, values_as_keys),
    "12B": (*EVERY, values_as_keys),
    "26B-A4B": (*EVERY, values_as_keys, expert_scale),
}
