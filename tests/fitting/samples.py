"""A constructed document: a variant that runs, one that runs with less, one that cannot.

The figures are made up, so that tables do not change with the memory model.
"""

from __future__ import annotations

from typing import Any

from gemma4ctl.fitting.document import (
    AtConcurrency,
    AtLength,
    FitDocument,
    FitHardware,
    Lever,
    Split,
    VariantFit,
)
from gemma4ctl.planning.plan import MemoryStages

USUAL = Split(
    ratio=0.8,
    share=0.85,
    chunk=8192,
    full_layer_tokens=85_406,
    swa_layer_tokens=68_324,
    max_running_requests=2048,
)
BEST = USUAL.model_copy(
    update={"ratio": 0.05, "full_layer_tokens": 512_439, "swa_layer_tokens": 25_621}
)
USAGE = MemoryStages(
    total=143_771,
    others=617,
    runtime=691,
    weights=61_042,
    draft=950,
    full_kv=6_672,
    sliding_kv=53_378,
    tables=1_221,
    graphs=1_340,
    free=17_860,
)


def at_length(tokens: int, published: int, best: int) -> AtLength:
    return AtLength(
        tokens=tokens,
        published=published,
        published_limit="full pool",
        best=best,
        best_limit="memory",
        best_split=BEST,
        command=f"gemma4ctl suggest --model 31B --request-tokens {tokens}",
    )


def at_concurrency(requests: int, published: int, best: int | None) -> AtConcurrency:
    return AtConcurrency(
        requests=requests,
        published=published,
        published_limit="sliding pool",
        best=best,
        best_limit=None if best is None else "context",
        best_split=None if best is None else BEST,
        command=None,
    )


LEVERS = (
    Lever(
        name="published",
        title="published values",
        gpus=1,
        requests=2,
        full_layer_tokens=85_406,
        gain=1.0,
        note="page and SGLang defaults",
        command="gemma4ctl suggest --model 31B --safe",
    ),
    Lever(
        name="load",
        title="split for the load",
        gpus=1,
        requests=15,
        full_layer_tokens=512_439,
        gain=7.5,
        note="ratio 0.05, 4,096-token chunks, 0.85 of the memory",
        command="gemma4ctl suggest --model 31B --optimize",
    ),
    Lever(
        name="unified-memory",
        title="unified memory pool",
        gpus=None,
        requests=None,
        full_layer_tokens=None,
        gain=None,
        note="not usable: until 0.5.23 its sliding pool has the heads of the full layers",
        command=None,
    ),
)


def variant(**changes: Any) -> VariantFit:
    """31B on one H200, which runs."""
    values: dict[str, Any] = {
        "variant": "31B",
        "checkpoint": "bf16",
        "group": "runs",
        "as_asked": True,
        "reason": "on 1 x H200: 85,406 tokens of KV cache in full layers, 68,324 in sliding",
        "command": "gemma4ctl suggest --model 31B --hardware H200 --gpus 1",
        "release": "0.5.16",
        "gpus": 1,
        "tp": 1,
        "min_tp": 1,
        "recommended_tp": 2,
        "usage": USAGE,
        "planned": USUAL,
        "published": USUAL,
        "max_context_tokens": 85_406,
        "longest": at_concurrency(1, 85_406, 262_144),
        "lengths": (at_length(1_024, 65, 67), at_length(32_768, 2, 15), at_length(262_144, 0, 2)),
        "concurrencies": (at_concurrency(16, 5_337, 29_839), at_concurrency(64, 1_051, None)),
        "load": "32,768 tokens",
        "levers": LEVERS,
    }
    return VariantFit(**{**values, **changes})


LESS = variant(
    variant="12B",
    checkpoint="qat-w4a16",
    group="less",
    as_asked=False,
    reason="Gemma 4 12B (bf16) does not fit on 1 x RTX-4090",
    needed="23,808 MiB a GPU for weights, and KV cache for 8,192 tokens",
    found="24,564 of 24,564 MiB free on the fullest GPU, of which SGLang may take 84%",
    remedies=("gemma4ctl suggest --model 12B --checkpoint qat-w4a16", "use 2 GPUs"),
    command="gemma4ctl suggest --model 12B --checkpoint qat-w4a16",
    planned=BEST,
    published=None,
    longest=None,
    lengths=(at_length(1_024, 25, 25), at_length(131_072, 1, 8)),
)
CANNOT = VariantFit(
    variant="26B-A4B",
    checkpoint="bf16",
    group="cannot",
    as_asked=False,
    reason="Gemma 4 26B-A4B (bf16) does not fit on 1 x RTX-4090",
    needed="50,138 MiB a GPU for weights, and KV cache for 8,192 tokens",
    found="24,564 of 24,564 MiB free",
    remedies=("gemma4ctl suggest --model 26B-A4B --hardware RTX-4090 --gpus 4",),
)
HARDWARE = FitHardware(
    platform="H200",
    kind="gpu",
    vendor="nvidia",
    gpu_count=1,
    memory_mib=143_771,
    free_mib=100_000,
    source="nvml",
)


def document(*variants: VariantFit, **changes: Any) -> FitDocument:
    values: dict[str, Any] = {
        "gemma4ctl_version": "0.0.0",
        "profiles_hash": "0" * 64,
        "hardware": HARDWARE,
        "fits": any(one.as_asked for one in variants),
        "variants": variants,
    }
    return FitDocument(**{**values, **changes})
