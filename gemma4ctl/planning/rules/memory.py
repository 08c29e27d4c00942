"""Rules about memory: fraction, context length, prefill chunks, concurrency."""

from __future__ import annotations

from gemma4ctl.capacity.stages import MIB
from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.planning.chunks import CHUNK_STEP, masks_images, safe_chunk
from gemma4ctl.planning.fraction import fraction
from gemma4ctl.planning.load import load_of
from gemma4ctl.planning.memory import memory, raised
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation
from gemma4ctl.planning.staged import checkpoint_bytes, staged

USEFUL_CONTEXT = 4096  # a shorter context is no remedy


@rule("memory-fraction", source="wheels", severity="oom")
def memory_fraction(s: Situation) -> Outcomes:
    """The published share of GPU memory for weights and KV cache, else a derived one."""
    found = memory(s, s.tp, s.mtp)
    chosen = found.share if found else fraction(s, s.tp, s.mtp)
    if chosen is None:
        return
    if not 0 < chosen.value < 1:
        raise UsageError(
            f"{chosen.value:g} is no share of the GPU memory",
            needed="a number between 0 and 1",
            found=f"{chosen.value:g} ({chosen.reason})",
            remedies=["leave it out, or try 0.85"],
            code="mem-fraction",
        )
    yield Choose(
        "mem_fraction_static",
        chosen.value,
        chosen.reason,
        flag="--mem-fraction-static" if chosen.emitted else None,
        status=chosen.status,
        source=chosen.source,
        origin=chosen.origin,
    )


@rule("memory-left", source="measured", severity="oom")
def memory_left(s: Situation) -> Outcomes:
    """Say when the share that the user chose leaves too little for what is beside the KV cache."""
    found = memory(s, s.tp, s.mtp)
    if found is None or found.share.origin == "rule":
        return
    free, usual = staged(s, s.tp, found).free, raised(s, s.tp, found).value
    if free < 0:
        yield Warn(
            "memory-left",
            f"a share of {found.share.value:g} leaves about {-free / MIB:,.0f} MiB too little for "
            "CUDA graphs and the table of running requests",
            f"--mem-fraction {usual:g} leaves room for them and for activations",
        )


@rule("memory-unknown", source="detected", severity="oom")
def memory_unknown(s: Situation) -> Outcomes:
    """Say so where nobody checked that the model fits, or for what load the plan is."""
    if not s.modelled and (load_of(s) is not None or s.request.concurrency):
        yield Warn(
            "load-not-modelled",
            f"the memory of {s.platform.title} is not modelled: the plan is for no load",
            "try the load on it, and compare with `gemma4ctl bench`",
            severity="perf",
        )
    if s.platform.kind != "gpu":
        return
    if s.unit_mib is None:
        yield Warn(
            "memory-unknown",
            f"the memory of {s.platform.title} is not known: whether {s.variant_name} fits was "
            "not checked",
            "compare with the size of the weights, "
            f"{checkpoint_bytes(s) / 1e9:.0f} GB for all GPUs together",
        )
    elif any(unit.memory_free_mib is None for unit in s.selection(s.tp).units):
        yield Warn(
            "free-memory-unknown",
            "the free memory of a GPU could not be read; the plan takes it for idle",
            "end other processes on it before you serve",
        )


@rule("unified-memory", source="issue-34872", severity="crash")
def unified_memory(s: Situation) -> Outcomes:
    """On GPUs that share the host's RAM, too large a fraction takes the machine down."""
    if s.platform.unified_memory:
        yield Warn(
            "unified-memory",
            f"{s.platform.title} shares its memory with the host: SGLang's share, other programs "
            "and /dev/shm must fit in it together, or the machine stops",
            "watch the free RAM at the first start; --mem-fraction 0.5 leaves more",
        )


@rule("context-limit", source="config", severity="oom")
def context_limit(s: Situation) -> Outcomes:
    """Refuse a context that the model does not have."""
    asked = s.context_asked
    if asked is not None and asked < 1:
        raise UsageError(
            f"a context of {asked:,} tokens is not possible",
            needed=f"1 to {s.variant.max_context:,} tokens",
            found=f"{asked:,}",
            code="context-too-short",
        )
    if s.context > s.variant.max_context:
        raise NoPlanError(
            f"a context of {s.context:,} tokens is beyond Gemma 4 {s.variant_name}",
            needed=f"at most {s.variant.max_context:,} tokens",
            found=f"{s.context:,}",
            remedies=[f"--context-length {s.variant.max_context}"],
            code="context-too-long",
        )
    load = load_of(s)
    if load is not None and load.longest > s.context:
        dashes = "" if s.given("context_length") is None else "-- "
        longer = load.longest <= s.variant.max_context
        raise NoPlanError(
            f"requests of {load.longest:,} tokens are longer than the context",
            needed=f"requests of at most {s.context:,} tokens",
            found=f"--request-tokens {s.request.request_tokens}",
            remedies=[f"{dashes}--context-length {load.longest}"] if longer else [],
            code="request-too-long",
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


@rule("prefill-chunk", source="wheels", severity="silent")
def prefill_chunk(s: Situation) -> Outcomes:
    """An image cut by chunked prefill is silently causal; large chunks take sliding KV cache."""
    found = memory(s, s.tp, s.mtp)
    if found is None or s.auto_size is None:
        return
    chunk, origin = int(found.chunk.value), found.chunk.origin
    if origin in CHUNK_REASONS:
        yield Choose(
            "chunked_prefill_size",
            chunk,
            CHUNK_REASONS[origin] if chunk > 0 else "no image is cut: mask and activations fit",
            flag="--chunked-prefill-size",
        )
    if not masks_images(s):
        return
    largest = safe_chunk(s, s.tp, found.share.value, s.auto_size)
    if origin == "user":
        yield from _judge_chunk(s, chunk, largest)
    elif chunk > 0:
        asked = s.request.request_tokens or s.request.context_length
        named = found.load.longest if found.load and asked else 0
        yield _images_cut(chunk, largest, named, s.context)


CHUNK_REASONS = {
    "images": "the largest chunk whose image mask and activations fit",
    "load": "chunks in flight take sliding KV cache: smaller ones leave room for requests",
    "tuned": "measured",
}


def _judge_chunk(s: Situation, chunk: int, largest: int) -> Outcomes:
    """What to say about a chunk that the user chose."""
    if chunk > 0:
        yield _images_cut(chunk, largest)
    elif largest < s.context:
        yield Warn(
            "image-mask-memory",
            f"unchunked, one request of {s.context:,} tokens with an image needs a mask of "
            f"{s.context**2 / MIB:,.0f} MiB beside its activations",
            f"use --chunked-prefill-size {max(CHUNK_STEP, largest)}, or a shorter --context-length",
            severity="oom",
        )


def _images_cut(chunk: int, largest: int, named: int = 0, context: int = 0) -> Warn:
    """``chunk``: tokens of a prefill chunk; ``largest``: of the largest that is safe.

    ``named``: of the longest request asked for, which needs no longer ``context``.
    """
    remedy = "a lower --mem-fraction leaves memory for larger chunks"
    if largest < named < context:
        remedy = f"--context-length {named} makes image masks smaller, and chunks larger"
    elif largest >= max(USEFUL_CONTEXT, named):
        remedy = f"--context-length {largest} or less lets the plan switch chunking off"
    return Warn(
        "images-cut",
        f"an image that falls on the border of a {chunk:,}-token prefill chunk is treated causally",
        remedy,
    )


@rule("radix-cap-chunk", source="wheels", severity="crash")
def radix_cap_chunk(s: Situation) -> Outcomes:
    """Unchunked prefill makes a capped sliding pool negative in SGLang 0.5.14 to 0.5.21."""
    found = memory(s, s.tp, s.mtp)
    if found is None or not found.by_cap:
        return
    if found.chunk.value <= 0:
        yield Warn(
            "radix-cap-chunk",
            "--disable-radix-cache with a request cap and unchunked prefill makes the "
            f"sliding-window pool of SGLang {s.release.name} too small for any long prompt",
            "keep the radix cache, or pass a positive --chunked-prefill-size after --",
        )
    if s.given("swa_full_tokens_ratio") is not None:
        yield Warn(
            "radix-cap-pool",
            "--swa-full-tokens-ratio has no effect: without the radix cache SGLang sizes the "
            f"sliding-window pool for {found.running} requests",
            "keep the radix cache, or choose --max-running-requests",
            severity="perf",
        )
