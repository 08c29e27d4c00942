"""Tiny Gemma 4 checkpoints with the structure of the published ones, made by transformers.

Every model has sliding and full layers with heads of different widths, a window shorter than the
prompts and a softcap that is felt. Weights are random, of one seed; no norm, scale or layer scalar
is 1, so that leaving one out shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

SEED = 20260722
VOCABULARY = 96
WINDOW = 8
LENGTHS = (17, 11)  # tokens of the prompts

TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 32,
    "sliding_window": WINDOW,
    "max_position_embeddings": 64,
    "final_logit_softcapping": 8.0,
    "num_hidden_layers": 6,
    "layer_types": (["sliding_attention"] * 2 + ["full_attention"]) * 2,
}
K_IS_V = {
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
    "use_bidirectional_attention": "vision",
}
TEXTS: dict[str, dict[str, Any]] = {
    "E2B": {
        "num_key_value_heads": 1,
        "num_kv_shared_layers": 3,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCABULARY,
    },
    "31B": {**K_IS_V, "hidden_size_per_layer_input": 0},
    "26B-A4B": {
        **K_IS_V,
        "hidden_size_per_layer_input": 0,
        "enable_moe_block": True,
        "num_experts": 8,
        "top_k_experts": 2,
        "moe_intermediate_size": 16,
    },
    "12B": {**K_IS_V, "hidden_size_per_layer_input": 0},
}
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "position_embedding_size": 16,
}
PATCHES = {"patch_size": 2, "mm_embed_dim": 16, "mm_posemb_size": 8, "output_proj_dims": 16}
TOKENS = {"image_token_id": 90, "video_token_id": 91, "audio_token_id": 92}
MARKS = {"boi_token_id": 93, "eoi_token_id": 94, "boa_token_id": 95, "eoa_token_index": 95}


def save(case: str, folder: Path) -> Any:
    """transformers' model of ``case``, in fp32, saved into ``folder``."""
    text, other = {**TEXT, **TEXTS[case]}, {"audio_config": None, **TOKENS, **MARKS}
    if case == "12B":
        config = transformers.Gemma4UnifiedConfig(text_config=text, vision_config=PATCHES, **other)
        model = transformers.Gemma4UnifiedForConditionalGeneration._from_config(
            config, attn_implementation="eager", dtype=torch.float32
        )
    else:
        config = transformers.Gemma4Config(text_config=text, vision_config=TOWER, **other)
        model = transformers.Gemma4ForConditionalGeneration._from_config(
            config,
            attn_implementation="eager",
            experts_implementation="eager",
            dtype=torch.float32,
        )
    _fill(model)
    model.save_pretrained(folder)
    if case == "12B":
        _publish_patch_size(folder / "config.json")
    return model.eval()


def _publish_patch_size(path: Path) -> None:
    """Add what the published configuration holds and transformers computes."""
    config = json.loads(path.read_text())
    vision = config["vision_config"]
    vision["model_patch_size"] = vision["patch_size"] * vision["pooling_kernel_size"]
    path.write_text(json.dumps(config))


def _fill(model: Any) -> None:
    """Norms and scales between 0.5 and 1.5, layer scalars between 0.5 and 0.9."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, tensor in sorted(model.state_dict().items()):
            if "layer_scalar" in name:
                tensor.uniform_(0.5, 0.9, generator=generator)
            elif tensor.dim() < 2:
                tensor.uniform_(0.5, 1.5, generator=generator)
            else:
                spread = 0.3 if "embed_tokens" in name else tensor.shape[-1] ** -0.5
                tensor.normal_(0, spread, generator=generator)


def prompts() -> list[torch.Tensor]:
    """Random tokens; none of them stands for an image or audio."""
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randint(1, 90, (length,), generator=generator) for length in LENGTHS]


def logits(model: Any) -> list[torch.Tensor]:
    """transformers' logits [tokens, vocabulary] of the prompts, computed without a cache."""
    with torch.no_grad():
        return [model(input_ids=tokens[None], use_cache=False).logits[0] for tokens in prompts()]


def cached_logits(model: Any) -> list[torch.Tensor]:
    """The same token by token, through transformers' KV cache."""
    return [_cached(model, tokens) for tokens in prompts()]


def _cached(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    found, cache = [], transformers.DynamicCache(config=model.config.get_text_config())
    with torch.no_grad():
        for token in tokens:
            found.append(model(input_ids=token[None, None], past_key_values=cache).logits[0])
    return torch.cat(found)


def use_exact_gelu(model: Any) -> None:
    """Give the experts the GELU that SGLang computes, by the error function."""
    for layer in model.model.language_model.layers:
        layer.experts.act_fn = torch.nn.GELU()
