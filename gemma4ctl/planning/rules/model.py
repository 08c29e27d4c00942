"""Rules about the weights: which checkpoint, where from, and whether it can load."""

from __future__ import annotations

from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import FP8_KV, Situation, is_folder

OLDEST_CAPABILITY = 80  # Ampere
ROUTER_SCALE_FOLDED = "0.5.13"  # into a norm without a weight of its own (gemma4_causal.py)
NO_ROCM_QUANTIZATION = ("modelopt_fp4", "modelopt_fp8", "gptq_marlin", "awq_marlin", "gguf")


@rule("checkpoint-loads", source="page-config", severity="crash")
def checkpoint_loads(s: Situation) -> Outcomes:
    """Refuse a checkpoint that is known not to load; name one that nobody has measured."""
    checkpoint = s.checkpoint
    broken = checkpoint.status == "broken" and (
        not checkpoint.broken_in or s.release.row_name in checkpoint.broken_in
    )
    if broken:
        raise NoPlanError(
            f"{checkpoint.id} does not load in SGLang {s.release.name}",
            needed="a checkpoint that SGLang can load",
            found=checkpoint.note,
            remedies=[checkpoint.remedy] if checkpoint.remedy else [],
            code="checkpoint-broken",
        )
    if checkpoint.status == "estimated":
        yield Warn(
            "checkpoint-unmeasured",
            f"{checkpoint.id}: {(checkpoint.note or 'no measurement is known').rstrip('.')}",
            "check answers and memory on your machine before you rely on it",
            severity="silent",
        )


@rule("checkpoint-hardware", source="page-config", severity="crash")
def checkpoint_hardware(s: Situation) -> Outcomes:
    """Refuse a format that the GPU has no kernels for."""
    checkpoint, platform = s.checkpoint, s.platform
    needed = ", ".join(checkpoint.architectures or checkpoint.vendors)
    if platform.vendor not in checkpoint.vendors or (
        checkpoint.architectures and platform.architecture not in checkpoint.architectures
    ):
        raise NoPlanError(
            f"{checkpoint.format} weights of {s.variant_name} do not run on {platform.title}",
            needed=f"a GPU of {needed}",
            found=f"{platform.title} ({platform.architecture})",
            code="checkpoint-hardware",
        )
    yield from ()


@rule("gpu-architecture", source="shared-memory", severity="crash")
def gpu_architecture(s: Situation) -> Outcomes:
    """Refuse GPUs whose shared memory cannot hold the tiles of a 512-wide attention head."""
    capability = s.platform.architecture.removeprefix("sm_")
    if capability.isdecimal() and int(capability) < OLDEST_CAPABILITY:
        raise NoPlanError(
            f"{s.platform.title} cannot run Gemma 4's attention",
            needed="Ampere (sm_80) or newer, with the shared memory that heads 512 wide need",
            found=f"{s.platform.title} ({s.platform.architecture})",
            code="gpu-too-old",
        )
    yield from ()


@rule("quantization", source="wheels", severity="crash")
def quantization(s: Situation) -> Outcomes:
    """SGLang reads the format from the checkpoint, so no flag is needed."""
    own = s.given("quantization")
    plain = s.checkpoint.format == "bf16"
    reason = "the weights are not quantized" if plain else "SGLang reads it from the checkpoint"
    yield Choose("quantization", s.checkpoint.format, reason, status=s.checkpoint.status)
    if s.platform.vendor == "amd" and own in NO_ROCM_QUANTIZATION:
        yield Warn(
            "quantization-rocm",
            f"--quantization {own} does not run on AMD GPUs",
            "use --quantization fp8, or a bf16 checkpoint",
        )


@rule("router-scale", source="pull-32131", severity="silent")
def router_scale(s: Situation) -> Outcomes:
    """The norm of AMD GPUs and CPUs ignores the scale that SGLang folds into it for the router."""
    elsewhere = s.platform.vendor == "amd" or s.platform.kind == "cpu"
    if s.variant.experts is None or not elsewhere or s.release.before(ROUTER_SCALE_FOLDED):
        return
    yield Warn(
        "router-scale",
        f"on {s.platform.title} SGLang {s.release.name} routes {s.variant_name} without the "
        "router's own scale: experts are chosen and weighed wrongly",
        "check answers with gemma4ctl eval before use, or serve 31B",
    )


@rule("kv-cache", source="wheels", severity="perf")
def kv_cache(s: Situation) -> Outcomes:
    """A quantized checkpoint may declare an FP8 KV cache, which SGLang follows without a flag."""
    checkpoint = s.checkpoint
    quantized = checkpoint.format != "bf16" and s.follows_declared_kv
    if not quantized or s.given("kv_cache_dtype") not in (None, "auto"):
        return
    if checkpoint.kv_cache is None:
        yield Warn(
            "kv-cache-unknown",
            f"SGLang {s.release.name} takes the type of the KV cache from {checkpoint.id}, and it "
            "is not known here: the pools are computed for bf16; with FP8 they hold twice as much",
            "settle it: -- --kv-cache-dtype bf16, or fp8_e4m3",
        )
    elif s.kv_cache_dtype == FP8_KV:
        reason = f"{checkpoint.id} declares an FP8 KV cache, and SGLang follows"
        yield Choose("kv_cache_dtype", FP8_KV, reason)


@rule("modalities", source="cookbook-2026-06", severity="crash")
def modalities(s: Situation) -> Outcomes:
    """Refuse an input that the variant has no encoder for."""
    missing = [name for name in s.modalities if name not in s.variant.modalities]
    if missing:
        able = [
            name for name, v in s.profiles.variants.items() if set(missing) <= set(v.modalities)
        ]
        raise NoPlanError(
            f"Gemma 4 {s.variant_name} takes no {' or '.join(missing)}",
            needed=f"a variant with {', '.join(missing)}: {', '.join(able)}",
            found=f"{s.variant_name} takes {', '.join(s.variant.modalities)}",
            code="modality-unsupported",
        )
    yield from ()


@rule("model-path", source="page-config", severity="crash")
def model_path(s: Situation) -> Outcomes:
    """The checkpoint's repository, or the path given; never SGLang's probe for diffusion models."""
    path = s.request.model_path
    if path is None:
        reason, origin = f"the published {s.checkpoint.name} checkpoint", "rule"
    else:
        reason, origin = "given", s.request.origins.get("model_path", "flag")
    yield Choose(
        "model_path",
        path or s.checkpoint.id,
        reason,
        flag="--model-path",
        status=s.checkpoint.status,
        source=s.checkpoint.source,
        origin=origin,
    )


@rule("model-type", source="wheels", severity="silent")
def model_type(s: Situation) -> Outcomes:
    """Say that this is a language model, so that `sglang serve` does not ask the hub."""
    yield Choose(
        "model_type",
        "llm",
        "spares the download that `sglang serve` tries to tell diffusion models apart",
        flag="--model-type",
        status="verified",
    )


@rule("host-ram", source="host-ram", severity="crash")
def host_ram(s: Situation) -> Outcomes:
    """The largest weight file is mapped as a whole while loading."""
    host, largest = s.inventory.host, s.checkpoint.largest_shard_bytes
    local = is_folder(str(s.value("model_path")))  # its files may be split otherwise
    if host.ram_total_mib is None or largest is None or local or s.platform.unified_memory:
        return
    have = host.ram_total_mib + (host.swap_total_mib or 0)
    need = largest >> 20
    if have < need:
        yield Warn(
            "host-ram-small",
            f"loading maps a file of {need:,} MiB, and the host has {have:,} MiB of RAM and swap",
            f"add swap for another {need - have:,} MiB, or use a checkpoint with smaller files",
        )
