"""What the module is made for, and why a server is left to SGLang's own code.

Each function returns the reason in a few words, or None where there is none. Server arguments are
SGLang's ``ServerArgs``, of which single attributes are read; one that a release does not have
counts as unset. Releases, GPUs and architectures stand here once: the planner reads them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RELEASES = ("0.5.16",)
GPUS = ("sm_90",)  # of the fused kernels; the KV pools do not depend on the GPU
# Release, GPU and variant that answer as SGLang's own code and faster, by what is kept under
# benchmarks/results/kernels: what ``--kernels auto`` may use, once certified for the weights.
MEASURED: frozenset[tuple[str, str, str]] = frozenset(
    ("0.5.16", "sm_90", variant) for variant in ("E2B", "E4B", "12B", "31B", "26B-A4B")
)
# Release, GPU and variant that prefill from CUDA graphs faster, with the same answers.
PREFILL_GRAPHS_MEASURED: frozenset[tuple[str, str, str]] = frozenset(
    ("0.5.16", "sm_90", variant) for variant in ("E2B", "E4B", "12B", "31B", "26B-A4B")
)
# Tokens of each graph. A batch is padded to the next of them, which must not take longer than the
# launches that are saved: of larger models only the smaller ones (``ttft-padded``).
_PREFILL_GRAPHS = (16, 32, 64, 128, 256, 384, 512, 640, 768, 1024, 1536, 2048)
_LONGEST_PREFILL_GRAPH = {"26B-A4B": 1536, "12B": 768, "31B": 384}
TARGETS = (
    "Gemma4ForConditionalGeneration",
    "Gemma4UnifiedForConditionalGeneration",
    "Gemma4ForCausalLM",
)
DRAFTS = ("Gemma4AssistantForCausalLM", "Gemma4UnifiedAssistantForCausalLM")
FROZEN_KV_MTP = "FROZEN_KV_MTP"  # what SGLang makes of NEXTN and EAGLE with a Gemma 4 draft

# Server arguments that are left to stock when they are set to anything but the first value.
_KERNELS_NEED: Mapping[str, tuple[Any, str]] = {
    "pp_size": (1, "pipeline parallelism"),
    "enable_dp_attention": (False, "DP attention"),
    "enable_two_batch_overlap": (False, "two-batch overlap"),
    "enable_lora": (False, "LoRA"),
    "enable_torch_compile": (False, "--enable-torch-compile"),
    "enable_deterministic_inference": (False, "deterministic inference"),
    "rl_on_policy_target": (None, "--rl-on-policy-target"),
    "cpu_offload_gb": (0, "weights offloaded to the CPU"),
    "offload_group_size": (-1, "weights offloaded to the CPU"),
    "forward_hooks": (None, "--forward-hooks"),
    "debug_tensor_dump_output_folder": (None, "a dump of tensors"),
    "dcp_size": (1, "decode context parallelism"),
}
_KV_NEEDS: Mapping[str, tuple[Any, str]] = {
    "pp_size": (1, "pipeline parallelism"),
    "disaggregation_mode": ("null", "prefill/decode disaggregation"),
    "disable_hybrid_swa_memory": (False, "--disable-hybrid-swa-memory"),
    "enable_unified_memory": (False, "--enable-unified-memory"),
    "enable_hierarchical_cache": (False, "--enable-hierarchical-cache"),
    "enable_hisparse": (False, "--enable-hisparse"),
    "enable_lmcache": (False, "LMCache"),
    "dcp_size": (1, "decode context parallelism"),
}
_PREFILL_GRAPHS_NEED: Mapping[str, tuple[Any, str]] = {
    "tp_size": (1, "tensor parallelism"),  # each rank decides alone, and all must agree
    "speculative_algorithm": (None, "speculative decoding"),
    "disaggregation_mode": ("null", "prefill/decode disaggregation"),
    "moe_a2a_backend": ("none", "a MoE all-to-all backend"),
    "attn_cp_size": (1, "context parallelism"),
    "enable_memory_saver": (False, "--enable-memory-saver"),
    "enable_return_hidden_states": (False, "--enable-return-hidden-states"),
}
_BACKENDS = ("attention_backend", "prefill_attention_backend", "decode_attention_backend")


def release_problem(release: str) -> str | None:
    """Why the module does not work with an SGLang release."""
    if release.split("+")[0] in RELEASES:
        return None
    return f"the module is made for SGLang {', '.join(RELEASES)}, not {release}"


def gpu_problem(gpu: str) -> str | None:
    """Why the fused kernels do not run on an architecture such as "sm_90"."""
    return None if gpu in GPUS else f"the kernels are made for {', '.join(GPUS)}, not {gpu}"


def kernels_problem(server: Any) -> str | None:
    """Why a server with these arguments keeps SGLang's own layers."""
    return _first_other(server, _KERNELS_NEED)


def kv_problem(server: Any) -> str | None:
    """Why a server with these arguments keeps SGLang's own KV pools."""
    reason = _first_other(server, _KV_NEEDS) or _backend_problem(server)
    algorithm = getattr(server, "speculative_algorithm", None)
    if reason is None and algorithm not in (None, FROZEN_KV_MTP):
        reason = f"speculative decoding by {algorithm}"
    return reason


def prefill_graph_sizes(variant: str) -> tuple[int, ...]:
    """The tokens of each CUDA graph that prefill of a variant has."""
    longest = _LONGEST_PREFILL_GRAPH.get(variant, _PREFILL_GRAPHS[-1])
    return tuple(size for size in _PREFILL_GRAPHS if size <= longest)


def prefill_graphs_problem(server: Any) -> str | None:
    """Why a server with these arguments prefills without CUDA graphs."""
    return _first_other(server, _PREFILL_GRAPHS_NEED) or _backend_problem(server)


def architecture(names: Iterable[str] | None) -> str | None:
    """The Gemma 4 target among a configuration's architectures, None when there is none."""
    return next((name for name in names or () if name in TARGETS), None)


def _first_other(server: Any, needs: Mapping[str, tuple[Any, str]]) -> str | None:
    """The title of the first argument that has another value than it needs."""
    for name, (needed, title) in needs.items():
        value = getattr(server, name, needed)
        if value != needed and (value or needed):
            return title
    return None


def _backend_problem(server: Any) -> str | None:
    named = (getattr(server, name, None) for name in _BACKENDS)
    other = next((name for name in named if name not in (None, "triton")), None)
    return f"the attention backend {other}" if other else None
