"""Every finding's code: how bad it is, and what it means. The codes are stable."""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.checking.finding import Level


class Code(NamedTuple):
    """A kind of finding."""

    level: Level
    summary: str


# What the release's own flags say (gemma4ctl.flags.parse).
FLAG_CODES: dict[str, Code] = {
    "unknown-flag": Code("error", "SGLang has no such flag"),
    "ambiguous-prefix": Code("error", "a shortened flag that could be several"),
    "removed-flag": Code("error", "a flag that this release does not have"),
    "bad-choice": Code("error", "a value that the flag does not take"),
    "bad-type": Code("error", "a value of the wrong type"),
    "missing-value": Code("error", "a flag without its value"),
    "unexpected-value": Code("error", "a word that belongs to no flag"),
    "missing-model": Code("error", "no model is named"),
    "deprecated-flag": Code("warning", "a flag with a newer spelling"),
    "duplicate-flag": Code("warning", "a flag given twice: the last one wins"),
    "abbreviated-flag": Code("note", "a flag that works only as an abbreviation"),
}

# What the planner's rules say of a Gemma 4 launch (gemma4ctl.planning.rules).
RULE_CODES: dict[str, Code] = {
    "release-unknown": Code("note", "a release without a flag table: the newest one stands in"),
    "release-too-old": Code("error", "the release cannot serve this variant"),
    "checkpoint-broken": Code("error", "a checkpoint that does not load"),
    "checkpoint-hardware": Code("error", "a weight format that the GPU has no kernels for"),
    "gpu-too-old": Code("error", "a GPU that cannot run Gemma 4's attention"),
    "router-scale": Code("warning", "26B-A4B where SGLang's router loses its scale (AMD, CPU)"),
    "quantization-rocm": Code("error", "a quantization that ROCm does not have"),
    "does-not-fit": Code("error", "the model does not fit on the named hardware"),
    "too-few-gpus": Code("error", "more GPUs than the named hardware has"),
    "mem-fraction": Code("error", "a memory fraction that is not between 0 and 1"),
    "tp-size": Code("error", "a TP of no GPUs"),
    "tp-indivisible": Code("error", "a TP that does not divide the heads"),
    "context-too-long": Code("error", "a context beyond the model"),
    "context-too-short": Code("error", "a context of no tokens"),
    "attention-backend-refused": Code("error", "a backend that SGLang refuses for Gemma 4"),
    "images-causal": Code("warning", "image input with a backend that is causal over images"),
    "image-mask-memory": Code("warning", "unchunked prefill whose image mask does not fit"),
    "page-size-refused": Code("error", "a KV page size that the backend does not take"),
    "nvfp4-accuracy": Code("warning", "NVFP4 experts with trtllm_mha: check accuracy"),
    "aiter-small-variant": Code("error", "E2B or E4B on AMD without SGLANG_USE_AITER=0"),
    "aiter-kv-dtype": Code("error", "AITER attention with a quantized KV cache"),
    "speculative-unknown": Code("error", "a speculative algorithm that SGLang does not have"),
    "mtp-unsupported": Code("error", "a release without MTP for this variant"),
    "mtp-incomplete": Code("error", "a speculative set with parts missing"),
    "mtp-draft-tokens": Code("warning", "draft tokens that do not match the steps"),
    "mtp-draft-too-long": Code("error", "more draft tokens than the kernels take"),
    "mtp-topk": Code("error", "draft trees with a backend that cannot verify them"),
    "mtp-swa-crash": Code("error", "MTP in a release that crashes with it on Blackwell"),
    "mtp-pipeline": Code("error", "MTP with pipeline parallelism"),
    "mtp-lora": Code("error", "MTP with LoRA"),
    "mtp-eagle3": Code("error", "EAGLE3 with a Gemma 4 assistant"),
    "mtp-mixed-chunk": Code("warning", "mixed chunks, which MTP switches off"),
    "draft-mismatch": Code("warning", "the draft of another checkpoint line or variant"),
    "sliding-overcommit": Code("warning", "a small sliding pool, and no cap on running requests"),
    "radix-cap-chunk": Code("error", "no radix cache with a request cap and unchunked prefill"),
    "pipeline-graphs": Code("error", "E2B or E4B with pipeline parallelism and CUDA graphs"),
    "pipeline-grammar": Code("warning", "structured output under pipeline parallelism"),
    "dp-attention": Code("error", "data-parallel attention, which Gemma 4 does not follow"),
    "lora-limits": Code("note", "LoRA works on attention projections only"),
    "audio-ends-server": Code("warning", "a variant without audio tower, open to audio requests"),
    "exposed-without-key": Code("warning", "a server that others can reach without a key"),
    "secret-in-argv": Code("error", "a secret on the command line"),
    "remote-code": Code("warning", "code of the model repository is run; Gemma 4 needs none"),
}

CODES: dict[str, Code] = FLAG_CODES | RULE_CODES

# Findings that are only true of the hardware they were judged for.
HARDWARE_CODES = {
    "does-not-fit",
    "too-few-gpus",
    "checkpoint-hardware",
    "gpu-too-old",
    "image-mask-memory",
    "images-causal",
    "mtp-draft-too-long",
    "mtp-swa-crash",
    "mtp-topk",
    "nvfp4-accuracy",
    "sliding-overcommit",
}
# Findings that something is absent: not made while part of the command is unknown.
ABSENCE_CODES = {
    "mtp-incomplete",
    "exposed-without-key",
    "audio-ends-server",
    "aiter-small-variant",
    "missing-model",
    "sliding-overcommit",
}
# Findings about an option, whatever its value.
OPTION_CODES = {"unknown-flag", "ambiguous-prefix", "removed-flag", "deprecated-flag"}

# The argument that a finding is about, where it is not said by the finding itself.
DEST_OF = {
    "attention-backend-refused": ("attention_backend", "prefill_attention_backend"),
    "images-causal": ("attention_backend", "prefill_attention_backend"),
    "page-size-refused": ("page_size",),
    "context-too-long": ("context_length",),
    "context-too-short": ("context_length",),
    "mem-fraction": ("mem_fraction_static",),
    "tp-size": ("tp_size",),
    "tp-indivisible": ("tp_size",),
    "too-few-gpus": ("tp_size", "pp_size", "dp_size"),
    "quantization-rocm": ("quantization",),
    "aiter-kv-dtype": ("kv_cache_dtype",),
    "speculative-unknown": ("speculative_algorithm",),
    "mtp-unsupported": ("speculative_algorithm",),
    "mtp-incomplete": ("speculative_algorithm",),
    "mtp-eagle3": ("speculative_algorithm",),
    "mtp-draft-tokens": ("speculative_num_draft_tokens",),
    "mtp-draft-too-long": ("speculative_num_draft_tokens",),
    "mtp-topk": ("speculative_eagle_topk",),
    "mtp-pipeline": ("pp_size",),
    "pipeline-graphs": ("pp_size",),
    "pipeline-grammar": ("pp_size",),
    "mtp-lora": ("lora_paths", "enable_lora"),
    "lora-limits": ("lora_paths", "enable_lora"),
    "mtp-mixed-chunk": ("enable_mixed_chunk",),
    "draft-mismatch": ("speculative_draft_model_path",),
    "radix-cap-chunk": ("disable_radix_cache",),
    "sliding-overcommit": ("swa_full_tokens_ratio",),
    "dp-attention": ("enable_dp_attention", "attn_dp_size"),
    "audio-ends-server": ("limit_mm_data_per_request",),
    "exposed-without-key": ("host",),
    "secret-in-argv": ("api_key", "admin_api_key"),
    "remote-code": ("trust_remote_code",),
}
# What to write in a file, where the rules speak of gemma4ctl's own options.
REMEDIES = {
    "exposed-without-key": "listen on 127.0.0.1, or pass a 0600 file with the key as --config",
    "secret-in-argv": "put `api-key: ...` into a 0600 YAML file and pass it as --config",
    "mtp-incomplete": "add --speculative-num-steps 5 --speculative-num-draft-tokens 6 "
    "--speculative-eagle-topk 1",
    "sliding-overcommit": "add --max-running-requests with that number",
    "mtp-lora": "drop the speculative flags",
    "mtp-unsupported": "drop the speculative flags, or use a newer release",
}
