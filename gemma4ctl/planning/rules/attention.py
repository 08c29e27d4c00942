"""Rules about attention: backend, page size, AITER."""

from __future__ import annotations

from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation

PAGE_SIZES = {"trtllm_mha": 64}
NVFP4_MOE_FIXED = "0.5.16"


def default_backend(s: Situation) -> str:
    """What SGLang picks for Gemma 4 on this GPU when no flag is given."""
    table = s.release.row.default_backend
    return table.get(s.platform.architecture, table.get("*", "triton"))


@rule("attention-backend", source="cookbook-2026-06", severity="silent")
def attention_backend(s: Situation) -> Outcomes:
    """SGLang's default, except where it would treat images causally or lose accuracy."""
    default = default_backend(s)
    cell = s.cell() or s.similar_cell()
    if _lossy_nvfp4(s):
        yield Choose(
            "attention_backend",
            "triton",
            "NVFP4 experts lost accuracy with trtllm_mha before SGLang " + NVFP4_MOE_FIXED,
            flag="--attention-backend",
            source="pull-26791",
        )
    elif cell and cell.attention_backend and _applies(s, cell.attention_backend_for):
        bidirectional = s.variant.bidirectional_images
        yield Choose(
            "attention_backend",
            cell.attention_backend,
            "image tokens attend in both directions, which trtllm_mha does not do"
            if bidirectional
            else f"published for {cell.platform}",
            flag="--attention-backend",
            status=cell.status if cell.platform == s.platform_name else "estimated",
            source=cell.source,
        )
    elif default == "trtllm_mha" and s.images and s.variant.bidirectional_images:
        yield Choose(
            "attention_backend",
            "triton",
            "image tokens attend in both directions, which trtllm_mha does not do",
            flag="--attention-backend",
        )
    elif s.platform.kind == "gpu" and s.platform.vendor != "intel":
        yield Choose(
            "attention_backend",
            default,
            f"SGLang {s.release.row_name}'s own choice on {s.platform.architecture}",
            status="verified",
            source="wheels",
        )


def _applies(s: Situation, modalities: tuple[str, ...]) -> bool:
    return not modalities or bool(set(modalities) & set(s.modalities))


def _lossy_nvfp4(s: Situation) -> bool:
    return (
        s.checkpoint.format == "nvfp4"
        and s.variant.experts is not None
        and s.blackwell
        and s.release.before(NVFP4_MOE_FIXED)
    )


@rule("attention-backend-allowed", source="wheels", severity="crash")
def attention_backend_allowed(s: Situation) -> Outcomes:
    """SGLang stops at start with a backend that it does not accept for Gemma 4."""
    allowed = s.release.row.attention_backends
    for dest in ("attention_backend", "prefill_attention_backend", "decode_attention_backend"):
        asked = s.given(dest)
        if asked and allowed and asked not in allowed:
            yield Warn(
                "attention-backend-refused",
                f"SGLang {s.release.name} refuses Gemma 4 with the attention backend {asked}",
                "use one of " + ", ".join(allowed),
            )


@rule("image-backend", source="cookbook-2026-06", severity="silent")
def image_backend(s: Situation) -> Outcomes:
    """A causal backend named by the user degrades image input without an error."""
    if s.images and s.variant.bidirectional_images and s.value("attention_backend") == "trtllm_mha":
        yield Warn(
            "images-causal",
            "trtllm_mha treats image tokens causally; answers about images get worse",
            "use triton, or --modality text if no images are sent",
        )


@rule("small-variant-image-mask", source="wheels", severity="silent")
def small_variant_image_mask(s: Situation) -> Outcomes:
    """E2B and E4B are causal over images, but SGLang's triton path masks them both ways."""
    if s.images and not s.variant.bidirectional_images and s.value("attention_backend") == "triton":
        yield Warn(
            "image-mask-differs",
            f"SGLang's triton backend lets image tokens of {s.variant_name} attend in both "
            "directions; the reference model is causal there",
            "on Blackwell, trtllm_mha matches the reference; elsewhere there is no other backend",
        )


@rule("nvfp4-accuracy", source="pull-26791", severity="silent")
def nvfp4_accuracy(s: Situation) -> Outcomes:
    """NVFP4 experts with trtllm_mha were wrong once; ask for a check."""
    if (
        s.checkpoint.format == "nvfp4"
        and s.variant.experts is not None
        and s.value("attention_backend") == "trtllm_mha"
    ):
        yield Warn(
            "nvfp4-accuracy",
            "NVFP4 26B-A4B with trtllm_mha scored 0.037 instead of 0.622 on MMLU in May 2026; "
            "the default was restored later",
            "check accuracy, or pass `-- --attention-backend triton`",
        )


@rule("page-size", source="wheels", severity="silent")
def page_size(s: Situation) -> Outcomes:
    """The KV page follows the backend."""
    backend = str(s.value("attention_backend") or "")
    if backend:
        size = int(s.given("page_size") or PAGE_SIZES.get(backend, 1))
        yield Choose("page_size", size, f"what {backend} uses", status="verified")


@rule("aiter", source="cookbook-2026-04", severity="crash")
def small_variant_aiter(s: Situation) -> Outcomes:
    """The small variants run without AITER's kernels on AMD."""
    if s.platform.vendor == "amd" and s.variant.per_layer_input:
        yield Choose(
            "use_aiter",
            "0",
            f"published for {s.variant_name} on AMD GPUs",
            env="SGLANG_USE_AITER",
            status="verified",
        )


@rule("aiter-kv", source="pull-38758", severity="crash")
def aiter_kv(s: Situation) -> Outcomes:
    """AITER attention of Gemma 4 works with a bf16 KV cache only."""
    kv = str(s.given("kv_cache_dtype") or "auto")
    if s.given("attention_backend") == "aiter" and kv not in ("auto", "bf16", "bfloat16"):
        yield Warn(
            "aiter-kv-dtype",
            f"the aiter backend decodes Gemma 4 wrongly with a {kv} KV cache",
            "use --kv-cache-dtype auto, or the triton backend",
        )
