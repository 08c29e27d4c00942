"""Switch a Gemma 4 model that SGLang built to the fused layers, or leave it as it is.

Modules change class in place, so nothing is built or loaded twice. Nothing is changed before every
check has passed, and whatever goes wrong leaves SGLang's own layers and a line in the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gemma4ctl.sglang_model import announce, prefill_graphs, support, switches

if TYPE_CHECKING:
    import torch
    from sglang.srt.models.gemma4_causal import Gemma4TextModel

PART_TITLES = {
    "norms": "norms with residuals and per-layer embeddings",
    "attention": "QKV norm with RoPE and KV store",
    "linear": "linears of small batches",
    "experts": "experts of small batches",
    "decode": "attention of decode batches",
    "logits": "softcap of the logits",
}


def adopt(model: Any, text_model: Gemma4TextModel) -> None:
    """Switch ``text_model`` of ``model``, and announce what was done."""
    from sglang.srt.runtime_context import get_server_args

    name, server = type(model).__name__, get_server_args()
    kept: tuple[str, ...] = ()
    try:
        reason = _problem(server, text_model)
        if reason is None:
            kept, reason = _adopt_parts(name, model, text_model)
    except Exception as error:  # SGLang's own layers always work
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        announce.stock_kernels(name, reason)
    if name not in support.DRAFTS:
        prefill_graphs.arrange(server, kept, os.environ)


def _adopt_parts(
    name: str, model: Any, text_model: Gemma4TextModel
) -> tuple[tuple[str, ...], str | None]:
    """Switch the parts that work here; they, and why there is none."""
    asked = [part for part in switches.parts(os.environ) if _has(model, text_model, part)]
    wrong = _kernel_problems(text_model, asked)
    for part, found in wrong.items():
        announce.stock_part(name, PART_TITLES[part], found)
    kept = tuple(part for part in asked if part not in wrong)
    if not kept:
        none = "no kernel passes its check" if asked else f"{switches.PARTS_VARIABLE} names none"
        return (), none
    text_model.placeholders = prefill_graphs.placeholders(model.config)
    _switch(model, text_model, kept)
    titles = ([PART_TITLES[part] for part in chosen] for chosen in (kept, wrong))
    announce.fused(name, len(text_model.layers), *titles)
    return kept, None


def _has(model: Any, text_model: Gemma4TextModel, part: str) -> bool:
    if part == "logits":
        from gemma4ctl.sglang_model import logits

        return logits.has_softcap(model)
    return part != "experts" or any(map(_expert_width, text_model.layers))


def _problem(server: Any, text_model: Gemma4TextModel) -> str | None:
    """Why ``text_model`` stays as it is; the cheap questions come first."""
    weight = text_model.layers[0].input_layernorm.weight
    return (
        support.kernels_problem(server)
        or prefill_graphs.problem(server)
        or _gpu_problem(weight)
        or _weights_problem(text_model)
    )


def _gpu_problem(weight: torch.Tensor) -> str | None:
    """Why the device of ``weight`` runs no kernels."""
    import torch

    from gemma4ctl.sglang_model.kernels import runtime

    if weight.device.type != "cuda":
        return f"the model is on {weight.device.type}"
    if torch.version.hip:
        gpu = torch.cuda.get_device_properties(weight.device).gcnArchName.split(":")[0]
    else:
        gpu = "sm_{}{}".format(*torch.cuda.get_device_capability(weight.device))
    return support.gpu_problem(gpu) or runtime.missing()


def _weights_problem(text_model: Gemma4TextModel) -> str | None:
    """Why these weights need SGLang's own layers."""
    import torch

    if text_model.layers[0].input_layernorm.weight.dtype not in (torch.bfloat16, torch.float16):
        return "activations are neither bfloat16 nor float16"
    gates = (
        linear
        for layer in text_model.layers
        if layer.has_ple
        for linear in (layer.per_layer_input_gate, layer.per_layer_projection)
    )
    return None if all(map(is_plain, gates)) else "quantized per-layer embeddings"


def _kernel_problems(text_model: Gemma4TextModel, parts: Iterable[str]) -> dict[str, list[str]]:
    """What is wrong with the kernels on this GPU, part by part."""
    import torch

    from gemma4ctl.sglang_model import selfcheck

    weight = text_model.layers[0].input_layernorm.weight
    shapes, products = sorted(set(_shapes(text_model))), sorted(set(_products(text_model)))
    try:
        return selfcheck.problems(shapes, products, weight.dtype, weight.device, parts)
    finally:
        torch.cuda.empty_cache()  # SGLang counts what is free


def _shapes(text_model: Gemma4TextModel) -> Iterator[Any]:
    """The shapes that kernels are launched with."""
    from gemma4ctl.sglang_model.selfcheck import Shape

    for layer in text_model.layers:
        attention = layer.self_attn
        yield Shape(
            hidden=layer.hidden_size,
            per_layer=layer.hidden_size_per_layer_input,
            heads=attention.num_heads,
            kv_heads=attention.num_kv_heads,
            head=attention.head_dim,
            experts=_expert_width(layer),
            window=attention.attn.sliding_window_size,
        )


def _products(text_model: Gemma4TextModel) -> Iterator[Any]:
    """The weights of linear layers that kernels read."""
    from gemma4ctl.sglang_model.selfcheck import Product

    gated = [layer.mlp.gate_up_proj for layer in text_model.layers]
    for linear in _plain_linears(text_model):
        fused = any(linear is one for one in gated)
        rows, width = linear.weight.shape
        yield Product(rows, width, gated=fused)
    for attention in (layer.self_attn for layer in text_model.layers):
        if attention.is_kv_shared_layer and is_plain(attention.qkv_proj):
            yield Product(attention.q_size, attention.qkv_proj.weight.shape[1], gated=False)


def _plain_linears(module: Any) -> Iterator[Any]:
    """The linear layers within a module whose weights are plain."""
    for one in module.modules():
        if hasattr(one, "quant_method") and hasattr(one, "weight") and is_plain(one):
            yield one


def _expert_width(layer: Any) -> int:
    """Width of an expert on this rank; 0 without experts, or where their weights are packed."""
    weight = getattr(layer.moe.experts, "w2_weight", None) if layer.enable_moe_block else None
    return 0 if weight is None else int(weight.shape[-1])


def is_plain(linear: Any) -> bool:
    """Whether a linear layer's weight is what its name says: not quantized, not packed."""
    from sglang.srt.layers.quantization.unquant import UnquantizedLinearMethod

    return type(linear.quant_method) is UnquantizedLinearMethod


def _switch(model: Any, text_model: Gemma4TextModel, parts: tuple[str, ...]) -> None:
    """Change the classes; the text model's last, so that it never calls a layer too early."""
    from gemma4ctl.sglang_model import decode, layers, logits, moe

    if text_model.per_layer_model_projection is not None:
        # read once: they are tensors, on the GPU
        text_model.projection_scale = float(text_model.per_layer_projection_scale)
        text_model.input_scale = float(text_model.per_layer_input_scale)
    for layer in text_model.layers:
        if "attention" in parts:
            attention, projection = layer.self_attn, layer.self_attn.qkv_proj
            attention.plain_projection = is_plain(projection) and projection.bias is None
            attention.small_linears = "linear" in parts and attention.plain_projection
            attention.__class__ = layers.FusedAttention
        if "linear" in parts and is_plain(layer.mlp.gate_up_proj):
            layer.mlp.__class__ = layers.FusedMLP
        if "experts" in parts and layer.enable_moe_block:
            moe.switch(layer.moe)
        if "decode" in parts:
            decode.switch(layer.self_attn.attn)
        if "norms" in parts:
            layer.small_linears = "linear" in parts
            layer.__class__ = layers.FusedDecoderLayer
    if "linear" in parts:
        method = layers.SmallBatches()
        for module in _plain_linears(text_model):
            module.quant_method = method
    if "logits" in parts:
        logits.switch(model)
    if "norms" in parts:
        text_model.__class__ = layers.FusedTextModel
