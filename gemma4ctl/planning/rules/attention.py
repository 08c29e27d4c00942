"""Rules about attention: backend, page size, AITER."""

from __future__ import annotations

from gemma4ctl.capacity.stages import MIB
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation
from gemma4ctl.planning.staged import graph_batch

BIDIRECTIONAL = "image tokens attend in both directions, which trtllm_mha does not do"
PAGE_SIZES = {"trtllm_mha": 64}
TRTLLM_PAGES = (16, 32, 64)
NVFP4_MOE_FIXED = "0.5.16"
MULTIPROCESSORS = 132  # of H100 and H200; other data-centre GPUs have about as many
USUAL_SPLITS = 8  # --triton-attention-num-kv-splits when unset, 16 on AMD
LONG_REQUEST = 8_192  # tokens from which a decode step spends a good part of its time in attention
# Variant, GPU, release, requests at once and splits of benchmarks/results/tune, and their tokens.
MEASURED_SPLITS, MEASURED_REQUEST = ("E2B", "H200", "0.5.16", 1, 128), 32_000
SPLIT_BYTES = 1024 * MIB  # for the partial results of the largest decode batch, at most


def default_backend(s: Situation) -> str:
    """What SGLang picks for Gemma 4 on this GPU when no flag is given."""
    table = s.release.row.default_backend
    return table.get(s.platform.architecture, table.get("*", "triton"))


@rule("attention-backend", source="cookbook-2026-06", severity="silent")
def attention_backend(s: Situation) -> Outcomes:
    """SGLang's default, except where it would treat images causally or lose accuracy."""
    chosen = planned_backend(s)
    if chosen is not None:
        yield chosen


def planned_backend(s: Situation) -> Choose | None:
    """The backend that the rules choose; None where SGLang's choice is not known."""
    name, flag = "attention_backend", "--attention-backend"
    default = default_backend(s)
    cell = s.cell() or s.similar_cell()
    if _lossy_nvfp4(s):
        reason = f"NVFP4 experts lost accuracy with trtllm_mha before SGLang {NVFP4_MOE_FIXED}"
        return Choose(name, "triton", reason, flag=flag, source="pull-26791")
    if cell and cell.attention_backend and _applies(s, cell.attention_backend_for):
        published = f"published for {cell.platform}"
        reason = BIDIRECTIONAL if s.variant.bidirectional_images else published
        status = cell.status if cell.platform == s.platform_name else "estimated"
        value, source = cell.attention_backend, cell.source
        return Choose(name, value, reason, flag=flag, status=status, source=source)
    if default == "trtllm_mha" and s.images and s.variant.bidirectional_images:
        return Choose(name, "triton", BIDIRECTIONAL, flag=flag)
    if s.platform.kind == "gpu" and s.platform.vendor != "intel":
        reason = f"SGLang {s.release.row_name}'s own choice on {s.platform.architecture}"
        return Choose(name, default, reason, status="verified", source="wheels")
    return None


def backend_in_use(s: Situation) -> str | None:
    """The backend that SGLang will use: the user's own, else the planned one."""
    planned = planned_backend(s)
    own = s.given("attention_backend")
    return str(own) if own else str(planned.value) if planned else None


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
    prefill = s.given("prefill_attention_backend") or s.value("attention_backend")
    if s.images and s.variant.bidirectional_images and prefill == "trtllm_mha":
        yield Warn(
            "images-causal",
            "trtllm_mha treats image tokens causally; answers about images get worse",
            "use triton, or plan with --modality text if no images are sent",
        )


@rule("small-variant-image-mask", source="wheels", severity="silent")
def small_variant_image_mask(s: Situation) -> Outcomes:
    """E2B and E4B are causal over images, but SGLang's triton path masks them both ways."""
    avoidable = default_backend(s) == "trtllm_mha"
    causal = s.images and not s.variant.bidirectional_images
    if not causal or s.value("attention_backend") != "triton":
        return
    if avoidable or s.request.modalities is not None:
        yield Warn(
            "image-mask-differs",
            f"SGLang's triton backend lets image tokens of {s.variant_name} attend in both "
            "directions; the reference model is causal there",
            "pass `-- --attention-backend trtllm_mha`, which matches the reference"
            if avoidable
            else "compare answers about images; only Blackwell has another backend",
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
            "check accuracy (MMLU), or pass `-- --attention-backend triton`",
        )


@rule("page-size", source="wheels", severity="silent")
def page_size(s: Situation) -> Outcomes:
    """The KV page follows the backend."""
    backend = str(s.value("attention_backend") or "")
    if backend:
        size = PAGE_SIZES.get(backend, 1)
        yield Choose("page_size", size, f"what {backend} uses", status="verified")
    own = s.given("page_size")
    if own is not None and backend == "trtllm_mha" and int(own) not in TRTLLM_PAGES:
        yield Warn(
            "page-size-refused",
            f"trtllm_mha takes no pages of {own} tokens",
            "drop --page-size, or use one of " + ", ".join(map(str, TRTLLM_PAGES)),
            severity="crash",
        )


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
    if s.value("attention_backend") == "aiter" and kv not in ("auto", "bf16", "bfloat16"):
        yield Warn(
            "aiter-kv-dtype",
            f"the aiter backend decodes Gemma 4 wrongly with a {kv} KV cache",
            "use --kv-cache-dtype auto, or the triton backend",
        )


@rule("attention-splits", source="measured", severity="perf")
def attention_splits(s: Situation) -> Outcomes:
    """For few long requests, decode attention in as many parts as occupy the whole GPU."""
    name, flag = "triton_attention_num_kv_splits", "--triton-attention-num-kv-splits"
    found, asked = memory(s, s.tp, s.mtp), s.concurrency_of_each
    if found is None or found.load is None or asked is None or found.load.longest < LONG_REQUEST:
        return
    if not _splits_matter(s) or name in s.made or s.given(name) is not None:
        return
    count, each = occupying_splits(s, asked), split_bytes(s, graph_batch(s, s.tp, found))
    while count * each > SPLIT_BYTES:
        count //= 2
    if count > USUAL_SPLITS:
        reason = f"{asked} at once leave most of the GPU idle with SGLang's {USUAL_SPLITS}"
        here = (s.variant_name, s.platform_name, s.release.name, asked, count)
        seen = here == MEASURED_SPLITS and found.load.longest >= MEASURED_REQUEST
        yield Choose(name, count, reason, flag, status="verified" if seen else "estimated")


def _splits_matter(s: Situation) -> bool:
    """Whether SGLang's Triton kernel decodes, one token a step, on a GPU of known size."""
    drafts_or_ours = s.mtp or s.value("kernels") == "fused"
    return not drafts_or_ours and s.platform.vendor == "nvidia" and backend_in_use(s) == "triton"


def occupying_splits(s: Situation, requests: int) -> int:
    """Parts of a request's KV with which decode attention has a block for every multiprocessor.

    SGLang's Triton kernel gives each request and KV head as many blocks as there are parts.
    """
    blocks = requests * max(1, s.variant.kv_heads.full // s.tp)
    return 1 << max(0, (MULTIPROCESSORS // blocks).bit_length() - 1)


def split_bytes(s: Situation, batch: int) -> int:
    """Bytes of the partial results of one part, for ``batch`` requests (triton_backend.py)."""
    heads = max(1, s.variant.attention_heads // s.tp)
    values = s.variant.head_dim.full + s.variant.head_dim.sliding + 1  # float32
    return batch * heads * values * 4
