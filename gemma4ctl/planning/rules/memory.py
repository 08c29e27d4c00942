"""Rules about memory: fraction, context length, prefill chunks, concurrency."""

from __future__ import annotations

from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.memory import MIB, fraction, pools
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation

ACTIVATION_MIB_PER_TOKEN = 1.5  # what SGLang reserves for a token of a prefill chunk
MASK_COPIES = 2  # the dense image mask and the copy made of it
CHUNK_STEP = 1024


@rule("memory-fraction", source="wheels", severity="oom")
def memory_fraction(s: Situation) -> Outcomes:
    """The published share of GPU memory for weights and KV cache, else a derived one."""
    chosen = fraction(s, s.tp, s.mtp)
    yield Choose(
        "mem_fraction_static",
        chosen.value,
        chosen.reason,
        flag="--mem-fraction-static" if chosen.emitted else None,
        status=chosen.status,
        source=chosen.source,
        origin=chosen.origin,
    )


@rule("context-limit", source="config", severity="oom")
def context_limit(s: Situation) -> Outcomes:
    """Refuse a context that the model does not have."""
    if s.context > s.variant.max_context:
        raise NoPlanError(
            f"a context of {s.context:,} tokens is beyond Gemma 4 {s.variant_name}",
            needed=f"at most {s.variant.max_context:,} tokens",
            found=f"{s.context:,}",
            remedies=[f"--context-length {s.variant.max_context}"],
            code="context-too-long",
        )
    yield from ()


@rule("context-length", source="config", severity="oom")
def context_length(s: Situation) -> Outcomes:
    """The context asked for."""
    if s.request.context_length is not None:
        yield Choose(
            "context_length",
            s.request.context_length,
            "asked for",
            flag="--context-length",
            source=s.variant.source,
            origin=s.request.origins.get("context_length", "flag"),
        )


@rule("image-chunks", source="wheels", severity="silent")
def image_chunks(s: Situation) -> Outcomes:
    """An image cut by chunked prefill is silently causal; an unchunked one needs a dense mask."""
    bidirectional = s.images and s.variant.bidirectional_images
    size, total = s.auto_size, s.unit_mib
    masks = s.value("attention_backend") == "triton"
    if not (bidirectional and masks and size and total) or s.given("chunked_prefill_size"):
        return
    largest = safe_chunk(s, total, size.graph_max_bs)
    if s.request.context_length is not None and largest >= s.context:
        yield Choose(
            "chunked_prefill_size",
            -1,
            f"no image is cut: mask and activations of {s.context:,} tokens fit",
            flag="--chunked-prefill-size",
        )
        return
    chunk = size.chunked_prefill
    if s.request.context_length is not None and CHUNK_STEP <= largest != chunk:
        chunk = largest
        yield Choose(
            "chunked_prefill_size",
            chunk,
            f"the largest chunk whose mask and activations fit at {s.context:,} tokens",
            flag="--chunked-prefill-size",
        )
    yield Warn(
        "images-cut",
        f"an image that falls on the border of a {chunk:,}-token prefill chunk is treated causally",
        f"--context-length {max(CHUNK_STEP, largest)} or less lets the plan switch chunking off",
    )


def safe_chunk(s: Situation, total_mib: int, graph_batch: int) -> int:
    """Tokens of the largest prefill chunk whose activations and image mask fit beside the pools.

    The mask of a request has chunk x context entries of one byte. A multiple of 1,024, at least 0.
    """
    left = total_mib * (1 - fraction(s, s.tp, s.mtp).value) - 512 - 2 * graph_batch
    per_token = ACTIVATION_MIB_PER_TOKEN + MASK_COPIES * s.context / MIB
    return max(0, int(left / per_token) // CHUNK_STEP * CHUNK_STEP)


@rule("concurrency", source="wheels", severity="perf")
def concurrency(s: Situation) -> Outcomes:
    """Say when the KV cache cannot hold the load asked for."""
    wanted = s.request.concurrency
    found = pools(s, s.tp, s.mtp)
    if wanted is None or found is None:
        return
    held = found.requests(s.context)
    if held < wanted:
        yield Warn(
            "concurrency-exceeds-kv",
            f"the KV cache holds {held} requests of {s.context:,} tokens, not {wanted}; "
            "the rest wait or are retracted",
            "lower --context-length or --concurrency, or use more GPUs",
        )


@rule("radix-crash", source="wheels", severity="crash")
def radix_crash(s: Situation) -> Outcomes:
    """SGLang 0.5.16 miscounts its sliding pool without radix cache, with a cap and no chunks."""
    chunk = s.given("chunked_prefill_size") or s.value("chunked_prefill_size")
    capped = s.given("max_running_requests") or (
        s.made.get("max_running_requests") and s.made["max_running_requests"].flag
    )
    if s.given("disable_radix_cache") and capped and chunk is not None and int(str(chunk)) < 0:
        yield Warn(
            "radix-cap-chunk",
            "--disable-radix-cache with a request cap and unchunked prefill makes SGLang 0.5.16's "
            "sliding-window pool too small for any long prompt",
            "keep the radix cache, or set --chunked-prefill-size to a positive number",
        )
