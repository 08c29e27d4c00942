"""Plans made by hand for the rendering tests: every kind of hardware and of awkward value.

The numbers are plausible, not computed: rendering must not depend on them.
"""

from __future__ import annotations

from gemma4ctl.hardware.inventory import Health, Source, Unit, Vendor
from gemma4ctl.planning.plan import (
    DEFAULT_SPLIT,
    LOAD_SPLIT,
    THIS_PLAN,
    Capacity,
    Decision,
    HardwareSummary,
    ImageChoice,
    MemoryStages,
    Plan,
    PlanWarning,
    Split,
    Value,
    VariantSummary,
)
from gemma4ctl.planning.request import Request
from gemma4ctl.rendering.container import HostContext

HOST = HostContext(hf_home="/home/user/.cache/huggingface", device_groups=("44", "109"))
AWKWARD_PATH = '/data/my models/it\'s "26B" $(touch pwned) `id` $HOME\nsecond line/gemma-4-модель'


def decision(
    name: str, value: Value, flag: str | None = None, env: str | None = None, **fields: str
) -> Decision:
    return Decision(
        name=name,
        value=value,
        flag=flag,
        env=env,
        rule=fields.get("rule", name.replace("_", "-")),
        reason=fields.get("reason", f"why {name} is {value}"),
        source=fields.get("source", "cookbook-2026-06"),
        status=fields.get("status", "verified"),  # type: ignore[arg-type]
        origin=fields.get("origin", "rule"),
    )


def units(
    ids: list[str], platform: str, vendor: Vendor, architecture: str, memory: int, **kind: str
):
    return tuple(
        Unit(
            id=unit_id,
            index=index,
            kind=kind.get("kind", "gpu"),  # type: ignore[arg-type]
            name=f"{vendor} {platform}",
            platform=platform,
            vendor=vendor,
            architecture=architecture,
            memory_total_mib=memory,
            memory_free_mib=memory - 512,
            health=Health(),
        )
        for index, unit_id in enumerate(ids)
    )


STAGES = MemoryStages(
    total=143771,
    others=617,
    runtime=1633,
    weights=25610,
    draft=800,
    full_kv=17424,
    sliding_kv=69694,
    tables=2200,
    graphs=1340,
    free=24453,
)


def splits(tuned: bool) -> tuple[Split, Split]:
    """The plan's split and the other one: SGLang's default for a plan that is tuned to a load."""
    usual = Split(
        title=DEFAULT_SPLIT if tuned else THIS_PLAN,
        swa_full_tokens_ratio=0.8,
        full_layer_tokens=991232,
        swa_layer_tokens=792985,
        requests=30,
        limit="full pool",
    )
    best = Split(
        title=THIS_PLAN if tuned else LOAD_SPLIT,
        swa_full_tokens_ratio=0.05,
        full_layer_tokens=4120000,
        swa_layer_tokens=206000,
        requests=120,
        limit="sliding pool",
    )
    return (best, usual) if tuned else (usual, best)


def make(
    *,
    variant: str = "26B-A4B",
    model_path: str | None = None,
    local: bool = False,
    draft: str | None = None,
    draft_local: bool = False,
    platform: str = "H200",
    vendor: Vendor = "nvidia",
    architecture: str = "sm_90",
    memory: int | None = 143771,
    ids: list[str] | None = None,
    kind: str = "gpu",
    gpu_count: int = 1,
    host_gpu_count: int = 8,
    source: Source = "nvml",
    image: str | None = "lmsysorg/sglang:v0.5.16-cu130",
    image_status: str = "verified",
    extra: tuple[str, ...] = (),
    flags: tuple[Decision, ...] = (),
    host: str = "127.0.0.1",
    port: int = 30000,
    api_key_config: str | None = None,
    warnings: tuple[PlanWarning, ...] = (),
    capacity: bool = True,
    tuned: bool = False,
    safe: bool = False,
) -> Plan:
    path = model_path or f"google/gemma-4-{variant}-it"
    decisions = [decision("model_path", path, "--model-path", reason="the checkpoint asked for")]
    if gpu_count > 1:
        decisions.append(decision("tensor_parallel_size", gpu_count, "--tp-size"))
    decisions += [
        decision("reasoning_parser", "gemma4", "--reasoning-parser"),
        decision("tool_call_parser", "gemma4", "--tool-call-parser"),
    ]
    if draft:
        decisions += [
            decision("speculative_algorithm", "NEXTN", "--speculative-algorithm"),
            decision("draft_path", draft, "--speculative-draft-model-path"),
            decision("speculative_num_steps", 5, "--speculative-num-steps"),
            decision("speculative_num_draft_tokens", 6, "--speculative-num-draft-tokens"),
            decision("speculative_eagle_topk", 1, "--speculative-eagle-topk"),
        ]
    decisions += [
        *flags,
        decision("mem_fraction_static", 0.85, "--mem-fraction-static"),
        decision("model_type", "llm", "--model-type", status="verified"),
    ]
    if variant in ("31B", "26B-A4B"):
        limit = '{"audio": 0}'
        decisions.append(
            decision("limit_mm_data_per_request", limit, "--limit-mm-data-per-request")
        )
    if api_key_config:
        decisions.append(decision("api_key_config", api_key_config, "--config"))
    decisions += [
        decision("host", host, "--host", origin="flag --host" if host != "127.0.0.1" else "rule"),
        decision("port", port, "--port"),
        decision("radix_cache", False, "--disable-radix-cache", status="estimated"),
        decision("minimum_tp", 1),
    ]
    if ids and vendor == "nvidia":
        decisions.append(decision("devices", ",".join(ids), env="CUDA_VISIBLE_DEVICES"))
    if ids and vendor == "amd":
        decisions.append(decision("devices", ",".join(ids), env="ROCR_VISIBLE_DEVICES"))
    return Plan(
        gemma4ctl_version="0.1.0",
        profiles_hash="ab" * 32,
        request=Request(
            model=variant,
            host=host,
            port=port,
            api_key_config=api_key_config,
            extra_args=extra,
            safe=safe,
        ),
        hardware=HardwareSummary(
            platform=platform,
            vendor=vendor,
            architecture=architecture,
            gpu_count=gpu_count,
            host_gpu_count=host_gpu_count,
            memory_mib=memory,
            free_mib=memory - 512 if memory and ids else None,
            source=source,
            units=units(ids or [], platform, vendor, architecture, memory or 0, kind=kind),
            pinned=bool(ids),
            choice="the emptiest healthy GPUs, joined by NVLink" if ids else "a whole node",
        ),
        variant=VariantSummary(
            name=variant,
            model_path=path,
            checkpoint="bf16",
            local=local,
            draft_path=draft,
            draft_local=draft_local,
        ),
        release="0.5.16",
        image=ImageChoice(
            reference=image,
            status=image_status,  # type: ignore[arg-type]
            reason="the release's own image",
            source="images",
        )
        if image
        else None,
        decisions=tuple(decisions),
        extra_args=extra,
        capacity=Capacity(
            weights_mib_per_gpu=25610,
            draft_mib_per_gpu=800 if draft else 0,
            kv_bytes_per_token=92160,
            full_layer_tokens=991232,
            swa_layer_tokens=792985,
            max_concurrent_requests=48,
            max_context_tokens=262144,
            basis="143259 MiB free, fraction 0.85, weights 25610 MiB",
            load="32,768 tokens, 20 at once" if tuned else "32,768 tokens",
            splits=splits(tuned),
            stages=STAGES,
        )
        if capacity
        else None,
        warnings=warnings,
    )


GUESSED_IMAGE = PlanWarning(
    code="image-guess",
    severity="crash",
    message="The image tag lmsysorg/sglang:v0.5.16-rocm720-mi30x follows a pattern; nobody has "
    "checked that it exists.",
    remedy="--image with a tag that you have pulled",
    rule="image",
)
MTP_CAP = PlanWarning(
    code="mtp-max-running",
    severity="perf",
    message="MTP caps running requests at 48.",
    remedy="--concurrency 96, or --no-mtp for throughput",
    rule="mtp",
)

PLANS: dict[str, Plan] = {
    "h200-26b-mtp-tp2": make(
        draft="google/gemma-4-26B-A4B-it-assistant",
        gpu_count=2,
        ids=[
            "GPU-8f2b7c1e-1111-4a4a-8c8c-000000000003",
            "GPU-8f2b7c1e-2222-4a4a-8c8c-000000000005",
        ],
        warnings=(MTP_CAP,),
    ),
    "mi300x-e2b": make(
        variant="E2B",
        platform="MI300X",
        vendor="amd",
        architecture="gfx942",
        memory=196592,
        ids=["GPU-5a1b2c3d4e5f6071"],
        source="amdsmi",
        image="lmsysorg/sglang:v0.5.16-rocm720-mi30x",
        image_status="guess",
        tuned=True,
        flags=(decision("aiter", "0", env="SGLANG_USE_AITER"),),
        warnings=(GUESSED_IMAGE,),
    ),
    "mi300x-31b-tp2-simulated": make(
        variant="31B",
        platform="MI300X",
        vendor="amd",
        architecture="gfx942",
        memory=196592,
        gpu_count=2,
        source="flag",
        image="lmsysorg/sglang:v0.5.16-rocm720-mi30x",
    ),
    "h200-node-simulated": make(variant="31B", gpu_count=2, source="default"),
    "local-awkward-path": make(
        model_path=AWKWARD_PATH, local=True, ids=["GPU-8f2b7c1e-1111-4a4a-8c8c-000000000003"]
    ),
    "local-model-and-draft": make(
        variant="E4B",
        model_path="/data/a/gemma",
        local=True,
        draft="/data/b/gemma",
        draft_local=True,
        host="0.0.0.0",
        port=8000,
    ),
    "local-snapshot": make(
        variant="12B",
        model_path="/home/user/.cache/huggingface/hub/models--google--gemma-4-12B-it/snapshots/707f0a3b",
        local=True,
    ),
    "b200-extra-args": make(
        variant="12B",
        platform="B200",
        architecture="sm_100",
        memory=183359,
        source="flag",
        extra=(
            "--attention-backend=triton",
            "--chunked-prefill-size",
            "-1",
            "--served-model-name",
            "gemma 4 $HOME",
            "--enable-metrics",
        ),
    ),
    "api-key-file": make(
        variant="E4B", api_key_config="/home/user/.config/gemma4ctl/key $1.yaml", host="::1"
    ),
    "mig-slice": make(
        variant="E2B",
        platform="H100",
        memory=40320,
        ids=["MIG-1c4b5a52-7e4d-5d6e-9a8b-0123456789ab"],
        kind="mig",
    ),
    "gb200-arm64": make(
        variant="31B",
        platform="GB200",
        architecture="sm_100",
        memory=189471,
        host_gpu_count=4,
        source="flag",
    ),
    "xeon": make(
        variant="E2B",
        platform="Xeon",
        vendor="intel",
        architecture="amx",
        memory=None,
        gpu_count=1,
        host_gpu_count=1,
        source="flag",
        image="registry.local/sglang-xeon:0.5.16",
        image_status="user",
        flags=(
            decision("device", "cpu", "--device"),
            decision("overlap", True, "--disable-overlap-schedule"),
        ),
        capacity=False,
    ),
    "arc": make(
        variant="31B",
        platform="Arc-B",
        vendor="intel",
        architecture="xe2",
        memory=24480,
        gpu_count=4,
        source="sysfs",
        image="registry.local/sglang-xpu:0.5.16",
        image_status="user",
        flags=(decision("device", "xpu", "--device"),),
    ),
}
