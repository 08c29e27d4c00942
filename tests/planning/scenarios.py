"""At least one scenario for every rule: a request on a host, and what the rule makes of it.

Hosts are constructed; platforms, releases and checkpoints are rows of the built-in table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.hardware.inventory import Device, Inventory
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.command import argv, environment

from .hosts import gpu, host, node, planned, sick, table, tuned


@dataclass(frozen=True)
class Scenario:
    """``values``: decisions; ``flags`` and ``env``: parts of the command; ``warnings``: codes
    that are given; ``refused``: the code of the error instead of a plan; ``cell``: what the table
    holds besides its own cells."""

    rule: str
    inventory: Inventory | str
    request: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: str | None = None
    cell: dict[str, Any] = field(default_factory=dict)

    def holds(self, *, without: tuple[str, ...] = ()) -> bool:
        """Whether the planner does what is expected."""
        try:
            profiles = tuned(**self.cell) if self.cell else table()
            plan = planned(self.inventory, without=without, profiles=profiles, **self.request)
        except Gemma4ctlError as error:
            return self.refused is not None and error.code == self.refused
        return self.refused is None and self._fits(plan)

    def _fits(self, plan: Plan) -> bool:
        named = {warning.code for warning in plan.warnings if warning.rule == self.rule}
        command = " ".join(argv(plan)) + " "
        return (
            all(plan.value(name) == value for name, value in self.values.items())
            and all(f" {flag} " in command for flag in self.flags)
            and self.env.items() <= environment(plan).items()
            and set(self.warnings) <= named
        )


def _user(*words: str, **request: Any) -> dict[str, Any]:
    return {"model": "31B", "extra_args": words, **request}


def _old_gpu() -> Device:
    return gpu(
        0,
        "H200",
        name="Quadro RTX 8000",
        platform=None,
        architecture="sm_75",
        memory_total_mib=49_152,
        memory_free_mib=49_000,
    )


TWO_H200 = host(gpu(0), gpu(1))
# What `gemma4ctl tune` might write.
TUNED = {
    "variant": "E2B",
    "platform": "H200",
    "swa_full_tokens_ratio": 0.3,
    "chunked_prefill_size": 2_048,
    "cuda_graph_max_bs": 96,
    "triton_attention_num_kv_splits": 16,
    "speculative_num_steps": 3,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 4,
    "load": "1024 in / 256 out, 64 at once, output-throughput",
}
KEPT = {"swa_full_tokens_ratio": 0.3}
BUSY = host(gpu(0, memory_free_mib=30_000), gpu(1))

SCENARIOS = [
    # release
    Scenario("release", "H200", {"model": "E2B"}, values={"sglang_version": "0.5.16"}),
    Scenario(
        "release",
        host(gpu(0), packages={"sglang": "0.5.20"}),
        {"model": "E2B"},
        values={"sglang_version": "0.5.20"},
    ),
    Scenario(
        "release",
        "H200",
        {"model": "E2B", "image": "lmsysorg/sglang:v0.5.19-cu129"},
        values={"sglang_version": "0.5.19"},
    ),
    Scenario(
        "release-unknown",
        "H200",
        {"model": "E2B", "sglang_version": "0.5.24"},
        warnings=("release-unknown",),
    ),
    Scenario(
        "release-serves-variant",
        "H200",
        {"model": "12B", "sglang_version": "0.5.14"},
        refused="release-too-old",
    ),
    Scenario(
        "driver-cuda",
        host(gpu(0), cuda_driver_version="12.8"),
        {"model": "E2B", "sglang_version": "0.5.20"},
        warnings=("driver-too-old",),
    ),
    # model
    Scenario(
        "checkpoint-loads",
        "H200",
        {"model": "12B", "checkpoint": "qat"},
        refused="checkpoint-broken",
    ),
    Scenario(
        "checkpoint-loads",
        "H200",
        {"model": "31B", "checkpoint": "fp8"},
        warnings=("checkpoint-unmeasured",),
    ),
    Scenario(
        "checkpoint-hardware",
        "MI300X",
        {"model": "31B", "checkpoint": "nvfp4"},
        refused="checkpoint-hardware",
    ),
    Scenario(
        "checkpoint-hardware",
        "GB10",
        {"model": "26B-A4B", "checkpoint": "fp8"},
        refused="checkpoint-hardware",
    ),
    Scenario("gpu-architecture", host(_old_gpu()), {"model": "E2B"}, refused="gpu-too-old"),
    Scenario(
        "quantization",
        "B200",
        {"model": "31B", "checkpoint": "nvfp4"},
        values={"quantization": "nvfp4"},
    ),
    Scenario(
        "quantization",
        "MI300X",
        _user("--quantization", "modelopt_fp8"),
        warnings=("quantization-rocm",),
    ),
    Scenario("router-scale", "MI300X", {"model": "26B-A4B"}, warnings=("router-scale",)),
    Scenario("router-scale", "Xeon", {"model": "26B-A4B"}, warnings=("router-scale",)),
    Scenario(
        "kv-cache",
        "B200",
        {"model": "31B", "checkpoint": "nvfp4"},
        values={"kv_cache_dtype": "fp8_e4m3"},
    ),
    Scenario(
        "kv-cache",
        "H200",
        {"model": "31B", "checkpoint": "fp8", "sglang_version": "0.5.19"},
        warnings=("kv-cache-unknown",),
    ),
    Scenario(
        "modalities",
        "H200",
        {"model": "31B", "modalities": ("text", "audio")},
        refused="modality-unsupported",
    ),
    Scenario("kernels", "H200", {"model": "31B"}, values={"kernels": "stock"}),
    Scenario(
        "kernels",
        "H200",
        {"model": "31B", "kernels": "fused", "sglang_version": "0.5.16"},
        values={"kernels": "fused", "kv_pools": "shared"},
    ),
    Scenario(
        "kernels",
        "H200",
        {"model": "31B", "kernels": "fused", "sglang_version": "0.5.23"},
        values={"kernels": "stock"},
        warnings=("kernels-stock",),
    ),
    Scenario(
        "prefill-graphs",
        "H200",
        {"model": "E2B", "kernels": "fused", "sglang_version": "0.5.16"},
        values={"prefill_graphs": "16,32,64,128,256,384,512,640,768,1024,1536,2048"},
    ),
    Scenario(
        "context-limit",
        "H200",
        {"model": "E2B", "context_length": 200_000},
        refused="context-too-long",
    ),
    Scenario(
        "context-limit",
        "H200",
        {"model": "E2B", "extra_args": ("--context-length", "200000")},
        refused="context-too-long",
    ),
    Scenario(
        "model-path",
        "H200",
        {"model": "26B-A4B", "checkpoint": "qat"},
        flags=("--model-path google/gemma-4-26B-A4B-it-qat-q4_0-unquantized",),
    ),
    Scenario("model-type", "H200", {"model": "E2B"}, flags=("--model-type llm",)),
    Scenario(
        "host-ram",
        host(gpu(0), gpu(1), ram_total_mib=32_000, swap_total_mib=2_000),
        {"model": "31B"},
        warnings=("host-ram-small",),
    ),
    # speculative decoding
    Scenario("mtp", "H200", {"model": "E2B", "objective": "latency"}, values={"mtp": True}),
    Scenario("mtp", "MI300X", {"model": "31B", "mtp": True}, warnings=("mtp-unpublished",)),
    Scenario(
        "mtp",
        "H200",
        {"model": "31B", "mtp": True, "sglang_version": "0.5.12"},
        refused="mtp-unsupported",
    ),
    Scenario(
        "mtp-flags",
        "H200",
        {"model": "12B", "mtp": True},
        flags=(
            "--speculative-algorithm NEXTN",
            "--speculative-draft-model-path google/gemma-4-12B-it-assistant",
            "--speculative-num-steps 5",
            "--speculative-num-draft-tokens 6",
            "--speculative-eagle-topk 1",
        ),
    ),
    Scenario(
        "mtp-flags",
        "B200",
        {"model": "31B", "mtp": True, "modalities": ("text",), "sglang_version": "0.5.15"},
        values={"speculative_num_steps": 3, "speculative_num_draft_tokens": 4},
    ),
    Scenario(
        "mtp-flags", "Xeon", {"model": "31B", "mtp": True}, flags=("--speculative-algorithm NGRAM",)
    ),
    Scenario(
        "mtp-shape",
        "B200",
        {
            "model": "31B",
            "mtp": True,
            "modalities": ("text",),
            "extra_args": ("--speculative-eagle-topk", "4"),
        },
        warnings=("mtp-topk",),
    ),
    Scenario(
        "mtp-shape",
        "H200",
        _user("--speculative-num-steps", "3", "--speculative-num-draft-tokens", "8", mtp=True),
        warnings=("mtp-draft-tokens",),
    ),
    Scenario(
        "mtp-shape",
        "B200",
        _user(
            "--speculative-num-steps",
            "5",
            mtp=True,
            modalities=("text",),
            sglang_version="0.5.15",
        ),
        warnings=("mtp-draft-too-long",),
    ),
    Scenario(
        "mtp-by-hand",
        "H200",
        _user("--speculative-algorithm", "NEXTN"),
        warnings=("mtp-incomplete",),
    ),
    Scenario(
        "mtp-swa-crash",
        "B200",
        {"model": "31B", "mtp": True, "modalities": ("text",), "sglang_version": "0.5.13"},
        warnings=("mtp-swa-crash",),
    ),
    Scenario(
        "sliding-overcommit",
        node("H200", 1),
        _user("--swa-full-tokens-ratio", "0.1", model="31B"),
        warnings=("sliding-overcommit",),
    ),
    Scenario(
        "sliding-overcommit",
        node("H200", 1),
        _user("--max-running-requests", "300", model="12B", request_tokens="32k"),
        warnings=("sliding-overcommit",),
    ),
    Scenario(
        "running-requests",
        "H200",
        {"model": "E2B"},
        cell=TUNED,
        flags=("--max-running-requests 1329",),
    ),
    Scenario(
        "attention-splits",
        node("H200", 1),
        {"model": "E2B", "request_tokens": "32000+128", "concurrency": 1},
        flags=("--triton-attention-num-kv-splits 128",),
    ),
    Scenario(
        "attention-splits",
        node("H100", 1),
        {"model": "31B", "request_tokens": "16k", "concurrency": 2},
        flags=("--triton-attention-num-kv-splits 16",),
    ),
    *(
        Scenario(
            "attention-splits",
            platform,
            {"model": "E2B", "request_tokens": "32k", **more},
            values={"triton_attention_num_kv_splits": None},
        )
        for platform, more in (
            ("H200", {}),
            ("H200", {"concurrency": 64}),
            ("H200", {"concurrency": 1, "request_tokens": "1k"}),
            ("H200", {"concurrency": 1, "mtp": True}),
            ("H200", {"concurrency": 1, "safe": True}),
            ("MI300X", {"concurrency": 1}),
        )
    ),
    Scenario(
        "mtp-running-requests",
        "H200",
        {"model": "E2B", "mtp": True, "concurrency": 100},
        flags=("--max-running-requests 100",),
    ),
    Scenario(
        "mtp-running-requests",
        "H200",
        {"model": "E2B", "mtp": True, "concurrency": 10, "safe": True},
        values={"max_running_requests": 48},
    ),
    Scenario(
        "mtp-running-requests",
        "H200",
        {"model": "31B", "mtp": True, "request_tokens": "32k+512"},
        flags=("--max-running-requests 33",),
    ),
    Scenario(
        "mtp-exclusions",
        "H200",
        _user("--pp-size", "2", "--enable-lora", "--enable-mixed-chunk", mtp=True),
        warnings=("mtp-pipeline", "mtp-lora", "mtp-mixed-chunk"),
    ),
    Scenario(
        "mtp-exclusions",
        "H200",
        _user("--speculative-algorithm", "EAGLE3", mtp=True),
        warnings=("mtp-eagle3",),
    ),
    Scenario(
        "mtp-draft-line",
        "H200",
        {"model": "31B", "mtp": True, "draft_path": "google/gemma-4-E2B-it-assistant"},
        warnings=("draft-mismatch",),
    ),
    Scenario(
        "speculative-name",
        "H200",
        _user("--speculative-algorithm", "NEXTNN"),
        warnings=("speculative-unknown",),
    ),
    Scenario(
        "unified-memory",
        "GB10",
        {"model": "E2B"},
        values={"mem_fraction_static": 0.7},
        warnings=("unified-memory",),
    ),
    Scenario("context-beyond-pool", "H100", {"model": "12B"}, warnings=("context-beyond-pool",)),
    # container
    Scenario(
        "container-image", "H200", {"model": "E2B"}, values={"image": "lmsysorg/sglang:v0.5.16"}
    ),
    Scenario(
        "container-image",
        "H200",
        {"model": "E2B", "sglang_version": "0.5.23"},
        warnings=("image-guess",),
    ),
    Scenario(
        "container-image",
        "H200",
        {"model": "E2B", "image": "lmsysorg/sglang:latest"},
        warnings=("image-floating",),
    ),
    # devices
    Scenario(
        "device", "Xeon", {"model": "E2B"}, flags=("--device cpu --disable-overlap-schedule",)
    ),
    Scenario("device", "Arc-B", {"model": "31B"}, flags=("--device xpu",)),
    Scenario("tensor-parallel", "H200", {"model": "31B"}, flags=("--tp-size 2",)),
    Scenario("tensor-parallel", "H200", {"model": "26B-A4B", "mtp": True}, flags=("--tp-size 2",)),
    Scenario(
        "tensor-parallel",
        node("H200", 1),
        {"model": "31B"},
        values={"tensor_parallel_size": 1, "min_tensor_parallel_size": 1},
        warnings=("tp-below-recommended",),
    ),
    Scenario(
        "tensor-parallel",
        "H100",
        {"model": "26B-A4B", "mtp": True},
        values={"tensor_parallel_size": 2, "min_tensor_parallel_size": 1},
    ),
    Scenario(
        "tensor-parallel",
        node("GB10", 1),
        {"model": "26B-A4B", "mtp": True},
        values={"tensor_parallel_size": 1, "recommended_tensor_parallel_size": 2},
        warnings=("tp-below-recommended",),
    ),
    Scenario(
        "tensor-parallel",
        host(gpu(0, memory_free_mib=54_000), gpu(1, memory_free_mib=54_000)),
        {"model": "26B-A4B"},
        values={"tensor_parallel_size": 2, "recommended_tensor_parallel_size": 1},
        warnings=("tp-above-recommended",),
    ),
    Scenario("tensor-parallel", "RTX-4090", {"model": "31B", "tp": 2}, refused="does-not-fit"),
    Scenario("tensor-parallel", node("RTX-4090", 1), {"model": "31B"}, refused="does-not-fit"),
    Scenario("tensor-parallel", "H200", {"model": "E2B", "tp": 8}, refused="tp-indivisible"),
    Scenario("tensor-parallel", TWO_H200, {"model": "31B", "tp": 4}, refused="too-few-gpus"),
    Scenario(
        "tensor-parallel", "H200", {"model": "31B", "tp": 4}, warnings=("tp-not-recommended",)
    ),
    Scenario(
        "devices",
        BUSY,
        {"model": "E2B"},
        env={"CUDA_VISIBLE_DEVICES": "GPU-00000001-0000-0000-0000-000000000000"},
    ),
    Scenario(
        "devices",
        host(gpu(0, "MI300X"), gpu(1, "MI300X", memory_free_mib=9_000)),
        {"model": "E2B"},
        env={"ROCR_VISIBLE_DEVICES": "GPU-00000000-0000-0000-0000-000000000000"},
    ),
    Scenario(
        "devices",
        host(*(gpu(n) for n in range(4))),
        {"model": "31B"},
        env={"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    ),
    Scenario(
        "device-health",
        host(gpu(0, health=sick("lost")), gpu(1, health=sick("degraded", "throttled"))),
        {"model": "E2B"},
        warnings=("gpu-left-out", "gpu-degraded"),
    ),
    Scenario(
        "moe-throughput-tp",
        "H200",
        {"model": "26B-A4B", "objective": "throughput"},
        warnings=("tp2-for-throughput",),
    ),
    # attention
    Scenario("aiter", "MI300X", {"model": "E4B"}, env={"SGLANG_USE_AITER": "0"}),
    Scenario("attention-backend", "B300", {"model": "E2B"}, flags=("--attention-backend triton",)),
    Scenario("attention-backend", "B200", {"model": "31B"}, flags=("--attention-backend triton",)),
    Scenario(
        "attention-backend",
        "B200",
        {"model": "31B", "modalities": ("text",)},
        values={"attention_backend": "trtllm_mha"},
    ),
    Scenario(
        "attention-backend",
        "B200",
        {
            "model": "26B-A4B",
            "checkpoint": "nvfp4",
            "modalities": ("text",),
            "sglang_version": "0.5.15",
        },
        flags=("--attention-backend triton",),
    ),
    Scenario(
        "attention-backend-allowed",
        "H200",
        _user("--attention-backend", "fa3"),
        warnings=("attention-backend-refused",),
    ),
    Scenario(
        "image-backend",
        "B200",
        _user("--prefill-attention-backend=trtllm_mha"),
        warnings=("images-causal",),
    ),
    Scenario(
        "image-backend",
        "B200",
        _user("--attention-backend", "trtllm_mha"),
        warnings=("images-causal",),
    ),
    Scenario(
        "small-variant-image-mask", "B300", {"model": "E2B"}, warnings=("image-mask-differs",)
    ),
    Scenario(
        "small-variant-image-mask",
        "H200",
        {"model": "E2B", "modalities": ("image",)},
        warnings=("image-mask-differs",),
    ),
    Scenario(
        "nvfp4-accuracy",
        "B200",
        {"model": "26B-A4B", "checkpoint": "nvfp4", "modalities": ("text",)},
        warnings=("nvfp4-accuracy",),
    ),
    Scenario(
        "page-size", "B200", {"model": "31B", "modalities": ("text",)}, values={"page_size": 64}
    ),
    Scenario("page-size", "H200", {"model": "31B"}, values={"page_size": 1}),
    Scenario(
        "page-size",
        "B200",
        _user("--page-size", "1", modalities=("text",)),
        warnings=("page-size-refused",),
    ),
    Scenario(
        "aiter-kv",
        "MI300X",
        _user(
            "--attention-backend", "aiter", "--kv-cache-dtype", "fp8_e4m3", sglang_version="0.5.20"
        ),
        warnings=("aiter-kv-dtype",),
    ),
    # memory
    Scenario("memory-fraction", "H200", {"model": "31B"}, flags=("--mem-fraction-static 0.85",)),
    Scenario("memory-fraction", "B200", {"model": "26B-A4B"}, values={"mem_fraction_static": 0.75}),
    Scenario(
        "memory-fraction", "H200", {"model": "31B", "mem_fraction": 1.5}, refused="mem-fraction"
    ),
    Scenario(
        "memory-unknown",
        host(gpu(0, "Arc-B"), gpu(1, "Arc-B")),
        {"model": "E2B"},
        warnings=("memory-unknown",),
    ),
    Scenario(
        "memory-unknown",
        "Xeon",
        {"model": "E2B", "optimize": True},
        warnings=("load-not-modelled",),
    ),
    Scenario(
        "memory-left",
        node("H100", 1),
        {"model": "E2B", "mem_fraction": "0.97"},
        warnings=("memory-left",),
    ),
    Scenario(
        "memory-unknown",
        host(gpu(0, memory_free_mib=None)),
        {"model": "E2B"},
        warnings=("free-memory-unknown",),
    ),
    Scenario(
        "context-length",
        "H200",
        {"model": "31B", "context_length": 65_536},
        flags=("--context-length 65536",),
    ),
    Scenario(
        "prefill-chunk",
        "H200",
        {"model": "31B", "context_length": 8_192},
        flags=("--chunked-prefill-size -1",),
    ),
    Scenario(
        "prefill-chunk",
        "H200",
        {"model": "31B", "context_length": 65_536},
        values={"chunked_prefill_size": 12_288},
        warnings=("images-cut",),
    ),
    Scenario("prefill-chunk", "H200", {"model": "31B"}, warnings=("images-cut",)),
    Scenario(
        "prefill-chunk",
        "H200",
        _user("--chunked-prefill-size", "-1"),
        warnings=("image-mask-memory",),
    ),
    Scenario(
        "prefill-chunk", "H200", _user("--chunked-prefill-size=4096"), warnings=("images-cut",)
    ),
    Scenario(
        "concurrency",
        "H200",
        {"model": "31B", "concurrency": 64, "context_length": 65_536, "safe": True},
        warnings=("concurrency-exceeds-kv",),
    ),
    Scenario(
        "concurrency",
        node("H200", 1),
        {"model": "31B", "concurrency": 64, "context_length": 65_536},
        warnings=("concurrency-exceeds-kv",),
    ),
    # load
    Scenario(
        "context-limit",
        "H200",
        {"model": "31B", "request_tokens": "1k:9,64k:1", "context_length": 32_768},
        refused="request-too-long",
    ),
    Scenario(
        "tensor-parallel",
        "H200",
        {"model": "31B", "request_tokens": "64k", "concurrency": 64},
        values={"tensor_parallel_size": 4, "recommended_tensor_parallel_size": 2},
        warnings=("tp-above-recommended",),
    ),
    Scenario(
        "prefill-chunk",
        node("H200", 1),
        {"model": "31B", "context_length": 32_768, "modalities": ("text",)},
        flags=("--chunked-prefill-size 4096",),
    ),
    Scenario(
        "prefill-chunk",
        "H200",
        {"model": "E2B"},
        cell=TUNED,
        flags=("--chunked-prefill-size 2048",),
    ),
    Scenario(
        "kv-split",
        node("H200", 1),
        {"model": "31B", "optimize": True},
        flags=("--swa-full-tokens-ratio 0.09",),
    ),
    Scenario("kv-split", "H200", {"model": "E2B"}, cell=TUNED, values=KEPT),
    Scenario(
        "kv-split",
        "H200",
        {"model": "E2B", "extra_args": ("--swa-full-tokens-ratio", "0.5")},
        cell=TUNED,
        values={"swa_full_tokens_ratio": 0.5},
    ),
    Scenario(
        "tuned-settings",
        "H200",
        {"model": "E2B"},
        cell=TUNED,
        flags=("--cuda-graph-max-bs-decode 96", "--triton-attention-num-kv-splits 16"),
    ),
    Scenario(
        "mtp-flags",
        "H200",
        {"model": "E2B", "mtp": True},
        cell=TUNED,
        flags=("--speculative-num-steps 3", "--speculative-num-draft-tokens 4"),
    ),
    Scenario(
        "running-requests",
        "H200",
        {"model": "31B", "context_length": 65_536},
        flags=("--max-running-requests 33", "--cuda-graph-max-bs-decode 33"),
    ),
    Scenario(
        "running-requests",
        "H200",
        {"model": "E2B", "request_tokens": "1k"},
        values={"max_running_requests": 2_638, "cuda_graph_max_bs": None},
    ),
    Scenario(
        "load-fits",
        node("H200", 1),
        {"model": "31B", "request_tokens": "32k", "concurrency": 100},
        refused="load-does-not-fit",
    ),
    Scenario(
        "load-fits",
        node("H200", 1),
        {"model": "31B", "context_length": 32_768, "concurrency": 4_000},
        refused="load-does-not-fit",
    ),
    Scenario(
        "load-trade",
        "H200",
        {"model": "31B", "context_length": 65_536},
        warnings=("load-trade",),
    ),
    Scenario(
        "radix-cap-chunk",
        "H200",
        _user(
            "--disable-radix-cache",
            "--max-running-requests",
            "8",
            "--chunked-prefill-size",
            "-1",
            context_length=8_192,
        ),
        warnings=("radix-cap-chunk",),
    ),
    # server
    Scenario("reasoning-parser", "H200", {"model": "E2B"}, flags=("--reasoning-parser gemma4",)),
    Scenario("tool-call-parser", "H200", {"model": "E2B"}, flags=("--tool-call-parser gemma4",)),
    Scenario(
        "scheduler-interval",
        "B200",
        {"model": "12B", "objective": "throughput"},
        flags=("--scheduler-recv-interval 16",),
    ),
    Scenario(
        "audio-limit",
        "H200",
        {"model": "31B"},
        flags=("""--limit-mm-data-per-request {"audio": 0}""",),
    ),
    Scenario(
        "audio-limit",
        "MI300X",
        {"model": "26B-A4B", "modalities": ("text",), "safe": True, "sglang_version": "0.5.23"},
        flags=("""--limit-mm-data-per-request {"audio": 0}""",),
    ),
    Scenario(
        "audio-limit",
        "H200",
        _user("--limit-mm-data-per-request", '{"image": 2}'),
        flags=("""--limit-mm-data-per-request {"image": 2}""",),
        warnings=("audio-ends-server",),
    ),
    Scenario(
        "audio-limit",
        "H200",
        _user('--limit-mm-data-per-request={"audio": 1}'),
        warnings=("audio-ends-server",),
    ),
    Scenario("address", "H200", {"model": "E2B"}, flags=("--host 127.0.0.1", "--port 30000")),
    Scenario(
        "api-key",
        "H200",
        {"model": "E2B", "api_key_config": "/run/user/1000/key.yaml"},
        flags=("--config /run/user/1000/key.yaml",),
    ),
    Scenario(
        "exposure", "H200", {"model": "E2B", "host": "0.0.0.0"}, warnings=("exposed-without-key",)
    ),
    Scenario("exposure", "H200", _user("--host", "::"), warnings=("exposed-without-key",)),
    Scenario("secret-in-argv", "H200", _user("--api-key", "x"), warnings=("secret-in-argv",)),
    Scenario("remote-code", "H200", _user("--trust-remote-code"), warnings=("remote-code",)),
    Scenario(
        "pipeline-parallel",
        "H200",
        {"model": "E2B", "extra_args": ("--pp-size", "2")},
        warnings=("pipeline-graphs", "pipeline-grammar"),
    ),
    Scenario("lora", "H200", _user("--lora-paths", "a=/tmp/a"), warnings=("lora-limits",)),
    Scenario("dp-attention", "H200", _user("--enable-dp-attention"), warnings=("dp-attention",)),
    Scenario("user-flags", "H200", _user("--no-such-flag"), warnings=("unknown-flag",)),
    Scenario("user-flags", "H200", _user("--pp", "2"), warnings=("ambiguous-prefix",)),
]

# Requests near a rule's border where it must keep quiet: (rule, host, request).
QUIET: list[tuple[str, Inventory | str, dict[str, Any]]] = [
    ("release-unknown", "H200", {"model": "E2B", "sglang_version": "v0.5.16+cu129"}),
    ("driver-cuda", host(gpu(0), cuda_driver_version="12.8"), {"model": "E2B"}),
    ("driver-cuda", host(gpu(0), cuda_driver_version="unknown"), {"model": "E2B"}),
    ("host-ram", host(gpu(0), gpu(1), ram_total_mib=64_000), {"model": "31B"}),
    (
        "host-ram",
        host(gpu(0), ram_total_mib=8_000),
        {"model": "E2B", "model_path": "/models/e2b"},
    ),
    ("mtp-swa-crash", "B200", {"model": "31B", "mtp": True, "sglang_version": "0.5.13"}),
    ("mtp-draft-line", "H200", {"model": "31B", "mtp": True, "draft_path": "/models/draft"}),
    ("mtp-by-hand", "H200", _user("--speculative-algorithm", "NGRAM")),
    ("router-scale", "H200", {"model": "26B-A4B"}),
    ("router-scale", "MI300X", {"model": "31B"}),
    ("router-scale", "MI300X", {"model": "26B-A4B", "sglang_version": "0.5.12"}),
    ("speculative-name", "H200", _user("--speculative-algorithm", "nextn")),
    # the TP 2 that the page asks for can never fit there
    ("tensor-parallel", "RTX-4090", {"model": "26B-A4B", "mtp": True}),
    ("moe-throughput-tp", "H200", {"model": "26B-A4B", "objective": "throughput", "tp": 2}),
    ("image-backend", "B200", {"model": "31B", "modalities": ("text",)}),
    ("small-variant-image-mask", "H200", {"model": "E2B"}),
    ("prefill-chunk", "B200", {"model": "31B", "modalities": ("text",)}),
    ("prefill-chunk", "H200", {"model": "31B", "context_length": 8_192}),
    ("radix-cap-chunk", "H200", _user("--disable-radix-cache", context_length=8_192)),
    ("memory-left", "H100", {"model": "E2B", "mem_fraction": "0.9"}),
    (
        "radix-cap-chunk",
        "H200",
        _user(
            "--disable-radix-cache",
            "--max-running-requests",
            "8",
            "--chunked-prefill-size",
            "-1",
            context_length=8_192,
            sglang_version="0.5.22",
        ),
    ),
    ("audio-limit", "H200", {"model": "31B"}),
    ("audio-limit", "H200", _user('--limit-mm-data-per-request={"audio": 0, "image": 2}')),
    ("audio-limit", "H200", _user('--limit-mm-data-per-request={"image": 2}', model="E4B")),
    ("exposure", "H200", {"model": "E2B", "host": "::1"}),
    ("exposure", "H200", {"model": "E2B", "host": "localhost"}),
    ("exposure", "H200", {"model": "E2B", "host": "0.0.0.0", "api_key_config": "/k.yaml"}),
    ("concurrency", "H200", {"model": "E2B", "concurrency": 8, "context_length": 8_192}),
    ("load-trade", "H200", {"model": "31B", "context_length": 65_536, "safe": True}),
    ("load-trade", "H200", {"model": "31B", "request_tokens": "1k:9,32k:1"}),
    ("load-trade", node("H200", 1), {"model": "31B", "request_tokens": "1k:9,32k:1"}),
    ("load-trade", "H200", {"model": "31B"}),
    ("sliding-overcommit", "H200", _user("--swa-full-tokens-ratio", "0.9", model="31B")),
    (
        "sliding-overcommit",
        "H200",
        _user("--swa-full-tokens-ratio", "0.1", "--disable-radix-cache", model="31B"),
    ),
    (
        "sliding-overcommit",
        node("H200", 1),
        _user("--max-running-requests", "70", model="12B", request_tokens="32k"),
    ),
    (
        "sliding-overcommit",
        node("H200", 1),
        _user("--swa-full-tokens-ratio", "0.1", "--max-running-requests", "10", model="31B"),
    ),
    (
        "sliding-overcommit",
        "H200",
        _user("--swa-full-tokens-ratio", "0.1", model="31B", request_tokens="32k"),
    ),
    ("pipeline-parallel", "H200", _user("--pp-size", "2", "--grammar-backend", "none")),
]
