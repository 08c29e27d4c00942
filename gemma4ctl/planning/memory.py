"""How much the GPUs of a plan hold: the memory model of :mod:`gemma4ctl.capacity`, for a situation.

Bytes and tokens of the fullest GPU, unless a name says MiB.
"""

from __future__ import annotations

from collections.abc import Callable

from gemma4ctl.capacity import stages, workload
from gemma4ctl.capacity.pools import BF16, DEFAULT_RATIO, Cost, Drafting, Pools, cost, works
from gemma4ctl.capacity.solver import longest, sliding_room
from gemma4ctl.capacity.stages import MIB, Stages
from gemma4ctl.capacity.weights import Shards, file_bytes, loaded
from gemma4ctl.capacity.workload import (
    EVICTION_INTERVAL,
    Keeping,
    Workload,
    cut_prompts,
    uniform,
)
from gemma4ctl.planning.chunks import AUTO_CHUNK, Lever, chunks
from gemma4ctl.planning.fraction import (
    TP_OF_LARGE_GRAPHS,
    Fraction,
    fraction,
    least_free_mib,
    rounded_down,
)
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.situation import Situation
from gemma4ctl.sglang_model.switches import PREFILL_GRAPHS_VARIABLE, prefill_graph_sizes

USUAL_REQUEST = 32_768  # tokens of a request when a plan is to be tuned and no load is named
MEASURED_ON = "sm_90"  # the architecture whose memory beside the pools was measured
SHRINKS_SINCE = "0.5.16"  # a prefill chunk, to what the sliding pool has (schedule_policy.py)
IMAGE_CACHE_SINCE = "0.5.18"  # the cache of image embeddings comes out of the KV budget
LOCKS_A_WINDOW_SINCE = "0.5.16"  # of a prompt, not whole prefill chunks (registry.py)
EVICTS_OFTEN_SINCE = "0.5.14"  # before, once a window (schedule_batch.py)
EVICTS_BY_TOKENS_SINCE = "0.5.18"  # before, by decode steps, each of a draft's tokens at most
SLIDING_BY_CAP_SINCE = "0.5.14"  # without radix cache (pool_configurator.py)
CAP_CHARGES_DRAFT_SINCE = "0.5.16"  # the draft's layers in such pools
CAP_NEEDS_CHUNKS_SINCE = "0.5.22"  # and a ratio decides where prompts are not cut
IMAGE_CACHE_MIB = 100  # SGLANG_VLM_CACHE_SIZE_MB when unset
LARGE_PAGE = 64  # tokens of a KV page of trtllm_mha; Triton's have 1
LEAST_TOKENS = 8_192  # of KV cache, for a plan that works at all
LEAST_REQUEST = 256  # tokens: no useful request is shorter
ENOUGH = 0.9  # of the requests that the smallest chunk holds: then a larger chunk is preferred
LEAST_RUNNING = 64  # requests that tables and graphs have room for, at least


def load_of(s: Situation) -> Workload | None:
    """The load that the plan is to be tuned to; None: published values stand."""
    return None if s.request.safe else _named(s)


def _named(s: Situation) -> Workload | None:
    """The load that the user named."""
    r = s.request
    if r.request_tokens is not None:
        return workload.parse_mix(r.request_tokens, r.concurrency or 0)
    if r.context_length is not None:
        return uniform(min(s.context, s.variant.max_context), r.concurrency or 0)
    if r.concurrency is None and r.optimize:
        return uniform(min(USUAL_REQUEST, s.context, s.variant.max_context))
    return None


def optimized(s: Situation, tp: int, mtp: bool) -> Memory | None:
    """What the unit would hold with --optimize and without --safe; None where that is no plan."""
    request = s.request.model_copy(update={"safe": False, "optimize": True})
    return memory(s.model_copy(update={"request": request, "memories": {}}), tp, mtp)


def memory(s: Situation, tp: int, mtp: bool) -> Memory | None:
    """What the fullest chosen unit holds; None when memory is unknown or nothing is left."""
    return _once(_memory, s, tp, mtp)


def at_usual_share(s: Situation, tp: int, mtp: bool) -> Memory | None:
    """What the fullest chosen unit would hold if no load and no lack of room raised the share."""
    return _once(_at_usual_share, s, tp, mtp)


def _once(
    compute: Callable[[Situation, int, bool], Memory | None], s: Situation, tp: int, mtp: bool
) -> Memory | None:
    """What ``compute`` finds, once for all that it depends on while the rules run."""
    key = (compute, tp, mtp, s.value("attention_backend"))
    if key not in s.memories:
        s.memories[key] = compute(s, tp, mtp)
    return s.memories[key]


def _memory(s: Situation, tp: int, mtp: bool) -> Memory | None:
    found = at_usual_share(s, tp, mtp)
    if found is not None and _may_rise(s, found.share):
        found = _risen(s, tp, mtp, found)
    return found if found is not None and _starts(found) else None


def _at_usual_share(s: Situation, tp: int, mtp: bool) -> Memory | None:
    share, free = fraction(s, tp, mtp), least_free_mib(s, tp)
    if not s.modelled or share is None or free is None:
        return None
    return _with_share(s, tp, mtp, share)


def _risen(s: Situation, tp: int, mtp: bool, found: Memory) -> Memory:
    """``found``, with a larger share where too little fits in the usual one.

    A published share stands while the load fits in it, and so does what SGLang's heuristic leaves
    where no load is named or where more would cut images. Else the share rises as far as needed.
    """
    largest = _with_share(s, tp, mtp, raised(s, tp, found))
    if largest.chunk.value > found.chunk.value > 0:
        largest = _with_share(s, tp, mtp, raised(s, tp, largest))
    cell = s.cell(mtp)
    published = cell.mem_fraction if cell and found.share.source != "wheels" else None
    if largest.share.value <= found.share.value:
        return found
    if found.load is not None and published is None and found.chunk.origin != "images":
        return largest
    if found.load is not None and published is not None and found.share.value < published:
        share = largest.share._replace(value=min(published, largest.share.value))
        found = _with_share(s, tp, mtp, share)  # others hold memory
    return found if _suffices(found) else _least(s, tp, mtp, found, largest)


def _least(s: Situation, tp: int, mtp: bool, found: Memory, largest: Memory) -> Memory:
    """What suffices with the smallest share above that of ``found``, else ``largest``."""
    reason = f"more than the usual {found.share.value:g}, at which too little fits; it "
    share = largest.share._replace(reason=reason + largest.share.reason)
    low, high = int(found.share.value * 1000 + 1e-9), int(largest.share.value * 1000 + 1e-9)
    best = _with_share(s, tp, mtp, share)
    while high - low > 1:
        middle = _with_share(s, tp, mtp, share._replace(value=(low + high) // 2 / 1000))
        if _suffices(middle):
            best, high = middle, (low + high) // 2
        else:
            low = (low + high) // 2
    return best


def _suffices(found: Memory) -> bool:
    """Whether the pools hold the load, or enough for useful requests where none is named."""
    if not _starts(found) or found.pools.full < LEAST_TOKENS:
        return False
    if found.load is None:
        return found.pools.full >= USUAL_REQUEST
    return _requests(found, found.load) * found.servers >= max(1, found.load.concurrency)


def _starts(found: Memory) -> bool:
    return found.pools.full > 0 and works(found.pools, found.window, found.page)


def _with_share(s: Situation, tp: int, mtp: bool, share: Fraction) -> Memory:
    """What one GPU holds when SGLang may take ``share`` of it."""
    drafting = mtp and s.platform.mtp_algorithm == "NEXTN"
    taken = loaded(s.variant, s.checkpoint, Shards(tp, s.pp), draft=drafting)
    totals = [unit.memory_total_mib or 0 for unit in s.selection(tp).units]
    start = stages.before_weights(min(totals), least_free_mib(s, tp) or 0, tp * s.pp)
    cap = request_cap(s, drafting)
    charged = drafting and not (sliding_by_cap(s) and s.release.before(CAP_CHARGES_DRAFT_SINCE))
    found = Memory(
        share=share,
        start=start,
        weights=taken.weights,
        draft=taken.draft,
        budget=max(0, int(start * share.value) - taken.weights - taken.draft - _image_cache(s)),
        cost=_cost(s, tp, draft=charged),
        ratio=Lever(DEFAULT_RATIO, "sglang"),
        chunk=Lever(AUTO_CHUNK, "sglang"),
        pools=Pools(0, 0),
        running=cap or 0,
        cap=cap,
        keeping=_keeping(s, drafting, AUTO_CHUNK),
        most=int(s.given("max_total_tokens") or 0),
        by_cap=False,
        overlap=not s.given("disable_overlap_schedule"),
        shrinks=not s.release.before(SHRINKS_SINCE),
        drafting=_drafting(s) if drafting else None,
        servers=s.servers,
        load=load_of(s),
    )
    found = _split(s, tp, _with_load(s, tp, found))
    return found._replace(running=_running(s, found))


def _keeping(s: Situation, drafting: bool, chunk: int) -> Keeping:
    """How long the release keeps the KV of sliding layers, with prefill chunks of ``chunk``."""
    window, page = s.variant.sliding_window, _page(s)
    locked = -(-window // page) * page
    if not s.release.before(LOCKS_A_WINDOW_SINCE):
        locked += cut_prompts(window, chunk)
    else:  # the chunk that a short last one follows
        locked += chunk if chunk > 0 else s.context
    if s.given("disable_radix_cache"):
        locked = 0
    return Keeping(window, locked, _interval(s, _drafting(s).tokens if drafting else 1), page)


def _interval(s: Situation, step: int) -> int:
    """Tokens decoded between two evictions, at most; ``step``: in one step."""
    if s.release.before(EVICTS_OFTEN_SINCE):
        return s.variant.sliding_window * step
    if s.release.before(EVICTS_BY_TOKENS_SINCE):
        return EVICTION_INTERVAL * step
    return EVICTION_INTERVAL + step - 1


def _drafting(s: Situation) -> Drafting:
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


def _image_cache(s: Situation) -> int:
    return 0 if s.release.before(IMAGE_CACHE_SINCE) else IMAGE_CACHE_MIB * MIB


def _page(s: Situation) -> int:
    usual = LARGE_PAGE if s.value("attention_backend") == "trtllm_mha" else 1
    return int(s.given("page_size") or usual)


def _may_rise(s: Situation, share: Fraction) -> bool:
    """Whether the memory model is measured on this hardware, and nobody named the share."""
    kept = s.request.safe and share.status == "verified"
    return share.origin == "rule" and s.platform.architecture == MEASURED_ON and not kept


def raised(s: Situation, tp: int, found: Memory) -> Fraction:
    """The largest share that leaves what graphs, tables, activations and images take."""
    chunk = int(found.chunk.value) if found.chunk.value > 0 else s.context
    working = stages.activations(s.variant, chunk, tp) + stages.SPARE
    running = max(LEAST_RUNNING, found.running)
    table = stages.request_table(running, s.context, found.draft_tokens)
    graphs = _graphs(s, tp, found._replace(running=running))
    value = rounded_down(1 - (working + table + graphs) / max(1, found.start))
    reason = "leaves what CUDA graphs, tables and activations take"
    return Fraction(max(0.01, value), True, "estimated", reason, "measured")


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
    keeping = _keeping(s, found.drafting is not None, int(chunk.value))
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
    counts = [_requests(split, found.load) for split in splits]
    asked = max(1.0, found.load.concurrency / found.servers)
    enough = max(asked, ENOUGH * max(counts))
    for split, count in zip(splits, counts, strict=True):
        if count >= min(max(counts), asked if split.chunk.origin == "images" else enough):
            return split
    return splits[-1]


def _requests(found: Memory, load: Workload) -> float:
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


def _cost(s: Situation, tp: int, *, draft: bool) -> Cost:
    """What a token of the pools costs; ``draft``: with what SGLang charges for one."""
    kv_bytes = 1 if s.kv_cache_dtype.startswith("fp8") else BF16
    shared = "kv_pools" in s.made
    return cost(s.variant, tp, draft=draft, kv_bytes=kv_bytes, shared=shared)


def staged(s: Situation, tp: int, found: Memory) -> Stages:
    """``found`` as the memory of one GPU from bottom to top."""
    total = min(unit.memory_total_mib or 0 for unit in s.selection(tp).units) * MIB
    free = (least_free_mib(s, tp) or 0) * MIB
    tokens = sum(found.pools)
    table = stages.request_table(found.running, s.context, found.draft_tokens)
    return Stages(
        total=total,
        others=total - min(free, stages.idle_free_mib(total // MIB) * MIB),
        runtime=max(0, min(free, stages.idle_free_mib(total // MIB) * MIB) - found.start),
        weights=found.weights,
        draft=found.draft,
        full_kv=found.pools.full * _cost(s, tp, draft=False).full,
        sliding_kv=found.pools.sliding * found.cost.sliding,
        tables=table + stages.pool_overhead(s.variant, tokens),
        graphs=_graphs(s, tp, found),
    )


def _graphs(s: Situation, tp: int, found: Memory) -> int:
    """Bytes of the CUDA graphs of decode, and of prefill where the plan has some."""
    decode = stages.cuda_graphs(s.variant, graph_batch(s, tp, found))
    if "prefill_graphs" not in s.made:
        return decode
    sizes = prefill_graph_sizes({PREFILL_GRAPHS_VARIABLE: str(s.value("prefill_graphs"))})
    return decode + stages.prefill_graphs(s.variant, sizes, tp)


def graph_batch(s: Situation, tp: int, found: Memory) -> int:
    """The largest decode batch with a CUDA graph: SGLang's own, or no more than may run."""
    size = s.auto_size
    if size is None:
        return found.running
    usual = size.graph_max_bs if tp < TP_OF_LARGE_GRAPHS else size.graph_max_bs_tp4
    return usual if found.load is None else min(usual, found.running)


def checkpoint_bytes(s: Situation) -> int:
    """Bytes of the checkpoint's files; estimated by format where they are not published."""
    return file_bytes(s.variant, s.checkpoint)


def weight_bytes(s: Situation, tp: int) -> int:
    """Bytes of the weights on one rank."""
    return loaded(s.variant, s.checkpoint, Shards(tp, s.pp)).weights
