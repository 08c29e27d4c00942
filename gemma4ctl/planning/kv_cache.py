"""How a release of SGLang keeps the KV cache: what it costs, for how long, for how many requests.

Bytes and tokens.
"""

from __future__ import annotations

from gemma4ctl.capacity.pools import BF16, Cost, Drafting, cost
from gemma4ctl.capacity.stages import MIB
from gemma4ctl.capacity.workload import EVICTION_INTERVAL, Keeping, cut_prompts
from gemma4ctl.planning.situation import Situation

IMAGE_CACHE_SINCE = "0.5.18"  # the cache of image embeddings comes out of the KV budget
LOCKS_A_WINDOW_SINCE = "0.5.16"  # of a prompt, not whole prefill chunks (registry.py)
EVICTS_OFTEN_SINCE = "0.5.14"  # before, once a window (schedule_batch.py)
EVICTS_BY_TOKENS_SINCE = "0.5.18"  # before, by decode steps, each of a draft's tokens at most
SLIDING_BY_CAP_SINCE = "0.5.14"  # without radix cache (pool_configurator.py)
IMAGE_CACHE_MIB = 100  # SGLANG_VLM_CACHE_SIZE_MB when unset
LARGE_PAGE = 64  # tokens of a KV page of trtllm_mha; Triton's have 1


def cost_of(s: Situation, tp: int, *, draft: bool) -> Cost:
    """What a token of the pools costs; ``draft``: with what SGLang charges for one."""
    kv_bytes = 1 if s.kv_cache_dtype.startswith("fp8") else BF16
    shared = "kv_pools" in s.made
    return cost(s.variant, tp, draft=draft, kv_bytes=kv_bytes, shared=shared)


def image_cache_bytes(s: Situation) -> int:
    """What the cache of image embeddings takes of the KV budget."""
    return 0 if s.release.before(IMAGE_CACHE_SINCE) else IMAGE_CACHE_MIB * MIB


def page_of(s: Situation) -> int:
    """Tokens of a KV page."""
    usual = LARGE_PAGE if s.value("attention_backend") == "trtllm_mha" else 1
    return int(s.given("page_size") or usual)


def keeping_of(s: Situation, drafting: bool, chunk: int) -> Keeping:
    """How long the release keeps the KV of sliding layers, with prefill chunks of ``chunk``."""
    window, page = s.variant.sliding_window, page_of(s)
    locked = -(-window // page) * page
    if not s.release.before(LOCKS_A_WINDOW_SINCE):
        locked += cut_prompts(window, chunk)
    else:  # the chunk that a short last one follows
        locked += chunk if chunk > 0 else s.context
    if s.given("disable_radix_cache"):
        locked = 0
    return Keeping(window, locked, _interval(s, drafting_of(s).tokens if drafting else 1), page)


def _interval(s: Situation, step: int) -> int:
    """Tokens decoded between two evictions, at most; ``step``: in one step."""
    if s.release.before(EVICTS_OFTEN_SINCE):
        return s.variant.sliding_window * step
    if s.release.before(EVICTS_BY_TOKENS_SINCE):
        return EVICTION_INTERVAL * step
    return EVICTION_INTERVAL + step - 1


def drafting_of(s: Situation) -> Drafting:
    """How drafts are made where they are: as the user says, else as is usual."""
    usual = s.profiles.mtp
    return Drafting(
        int(s.given("speculative_num_steps") or usual.steps),
        int(s.given("speculative_eagle_topk") or usual.topk),
        int(s.given("speculative_num_draft_tokens") or usual.draft_tokens),
    )


def request_cap(s: Situation, drafting: bool) -> int | None:
    """The cap on running requests that SGLang is given or sets for drafts; None: neither."""
    user = s.given("max_running_requests")
    if user is not None:
        return int(user)
    if drafting:
        return max(s.concurrency_of_each or 0, s.profiles.mtp.max_running_requests)
    return None


def sliding_by_cap(s: Situation) -> bool:
    """Whether the cap on running requests, where there is one, sizes the sliding pool."""
    return bool(s.given("disable_radix_cache")) and not s.release.before(SLIDING_BY_CAP_SINCE)
