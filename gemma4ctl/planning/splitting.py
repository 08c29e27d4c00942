"""How one GPU's memory is split at a given share: budget, load, prefill chunk, ratio, pools.

Bytes and tokens of the fullest GPU, unless a name says MiB.
"""

from __future__ import annotations

from gemma4ctl.capacity import stages
from gemma4ctl.capacity.pools import DEFAULT_RATIO, Pools
from gemma4ctl.capacity.solver import longest, sliding_room
from gemma4ctl.capacity.weights import Shards, loaded
from gemma4ctl.capacity.workload import Workload, uniform
from gemma4ctl.planning.chunks import AUTO_CHUNK, Lever, chunks
from gemma4ctl.planning.fraction import Fraction, least_free_mib
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.kv_cache import (
    cost_of,
    drafting_of,
    image_cache_bytes,
    keeping_of,
    request_cap,
    sliding_by_cap,
)
from gemma4ctl.planning.load import load_of
from gemma4ctl.planning.situation import Situation

SHRINKS_SINCE = "0.5.16"  # a prefill chunk, to what the sliding pool has (schedule_policy.py)
CAP_CHARGES_DRAFT_SINCE = "0.5.16"  # the draft's layers, where a cap sizes the sliding pool
CAP_NEEDS_CHUNKS_SINCE = "0.5.22"  # to size it; where prompts are not cut, the ratio does
LEAST_REQUEST = 256  # tokens: no useful request is shorter
ENOUGH = 0.9  # of the requests that the smallest chunk holds: then a larger chunk is preferred


def with_share(s: Situation, tp: int, mtp: bool, share: Fraction) -> Memory:
    """What one GPU holds when SGLang may take ``share`` of it."""
    drafting = mtp and s.platform.mtp_algorithm == "NEXTN"
    taken = loaded(s.variant, s.checkpoint, Shards(tp, s.pp), draft=drafting)
    before_pools = taken.weights + taken.draft + image_cache_bytes(s)
    totals = [unit.memory_total_mib or 0 for unit in s.selection(tp).units]
    start = stages.before_weights(min(totals), least_free_mib(s, tp) or 0, tp * s.pp)
    cap = request_cap(s, drafting)
    charged = drafting and not (sliding_by_cap(s) and s.release.before(CAP_CHARGES_DRAFT_SINCE))
    found = Memory(
        share=share,
        start=start,
        weights=taken.weights,
        draft=taken.draft,
        budget=max(0, int(start * share.value) - before_pools),
        cost=cost_of(s, tp, draft=charged),
        ratio=Lever(DEFAULT_RATIO, "sglang"),
        chunk=Lever(AUTO_CHUNK, "sglang"),
        pools=Pools(0, 0),
        running=cap or 0,
        cap=cap,
        keeping=keeping_of(s, drafting, AUTO_CHUNK),
        most=int(s.given("max_total_tokens") or 0),
        by_cap=False,
        overlap=not s.given("disable_overlap_schedule"),
        shrinks=not s.release.before(SHRINKS_SINCE),
        drafting=drafting_of(s) if drafting else None,
        servers=s.servers,
        load=load_of(s),
    )
    found = _split(s, tp, _with_load(s, tp, found))
    return found._replace(running=_running(s, found))


def _with_load(s: Situation, tp: int, found: Memory) -> Memory:
    """``found`` with the longest requests that the concurrency asked for allows, if it is alone."""
    count = s.concurrency_of_each
    named = s.request.request_tokens or s.request.context_length
    if count is None or named is not None or s.request.safe or not found.budget:
        return found
    options = chunks(s, tp, found.share.value, load=True)
    lengths = [_longest(_cut(s, found, chunk), count) for chunk in options]
    tokens = next(n for n in lengths if n >= ENOUGH * max(lengths))
    tokens = min(max(tokens, LEAST_REQUEST), s.context, s.variant.max_context)
    return found._replace(load=uniform(tokens, s.request.concurrency or 0))


def _longest(found: Memory, requests: int) -> int:
    chunk = int(found.chunk.value)
    return longest(found.budget, found.cost, requests, found.keeping, chunk=chunk)


def _cut(s: Situation, found: Memory, chunk: Lever) -> Memory:
    """``found`` with prompts cut into such prefill chunks."""
    keeping = keeping_of(s, found.drafting is not None, int(chunk.value))
    return found._replace(chunk=chunk, keeping=keeping)


def _split(s: Situation, tp: int, found: Memory) -> Memory:
    """``found`` with its prefill chunk, its ratio and the pools that follow.

    The first chunk that holds the requests asked for and, where no image is kept uncut by it,
    nearly as many as any holds.
    """
    options = chunks(s, tp, found.share.value, load=found.load is not None)
    splits = [_with_ratio(s, _cut(s, found, chunk)) for chunk in options]
    if found.load is None or len(splits) == 1:
        return splits[0]
    counts = [requests_held(split, found.load) for split in splits]
    asked = max(1.0, found.load.concurrency / found.servers)
    enough = max(asked, ENOUGH * max(counts))
    for split, count in zip(splits, counts, strict=True):
        if count >= min(max(counts), asked if split.chunk.origin == "images" else enough):
            return split
    return splits[-1]


def requests_held(found: Memory, load: Workload) -> float:
    """Requests of ``load`` that the pools of a server hold, without a cap on running ones."""
    needs = found.hold(load)
    return min(found.pools.full / needs.full, sliding_room(found.pools, needs))


def _with_ratio(s: Situation, found: Memory) -> Memory:
    """``found`` with the ratio of its pools, and the pools."""
    cuts = found.chunk.value > 0 or s.release.before(CAP_NEEDS_CHUNKS_SINCE)
    found = found._replace(by_cap=found.cap is not None and cuts and sliding_by_cap(s))
    own, cell = s.given("swa_full_tokens_ratio"), s.cell()
    if own is not None and float(own) > 0:
        return found.split(Lever(float(own), "user"))
    if cell and cell.swa_full_tokens_ratio is not None:
        return found.split(Lever(cell.swa_full_tokens_ratio, "tuned"))
    if found.load is None:
        return found.split(Lever(DEFAULT_RATIO, "sglang"))
    return found.best_split(found.load)


def _running(s: Situation, found: Memory) -> int:
    """The cap on running requests: given, SGLang's own, or what the sliding pool holds of a load.

    SGLang starts more than that, and then takes running ones back again and again: it reserves
    nothing for what their answers will take in sliding layers (schedule_policy.py,
    ``rem_swa_token_offset``). A tuned ratio comes without its load, so it must hold any requests.
    """
    if s.given("max_running_requests") is not None:
        return found.running
    most = max(1, found.pools.full // 2)
    usual = found.cap
    if usual is None:
        usual = int(min(max(found.pools.full / s.context * 512, 2048), 4096, most))
    if sliding_by_cap(s):  # a cap for the load would size its pool
        return usual
    if found.load is None and found.ratio.origin != "tuned":
        return usual
    sliding = found.sliding_holds(found.load, prefill=s.request.request_tokens is not None)
    return min(most, max(s.concurrency_of_each or 0, min(usual, sliding)))
