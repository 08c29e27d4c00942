"""How much the GPUs of a plan hold: the memory model of :mod:`gemma4ctl.capacity`, for a situation.

SGLang gets the usual share of the memory, or more where too little fits in it. Bytes and tokens of
the fullest GPU, unless a name says MiB.
"""

from __future__ import annotations

from collections.abc import Callable

from gemma4ctl.capacity import stages
from gemma4ctl.capacity.pools import works
from gemma4ctl.planning.fraction import Fraction, fraction, least_free_mib, rounded_down
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.load import USUAL_REQUEST
from gemma4ctl.planning.situation import Situation
from gemma4ctl.planning.splitting import requests_held, with_share
from gemma4ctl.planning.staged import graph_bytes

MEASURED_ON = "sm_90"  # the architecture whose memory beside the pools was measured
LEAST_TOKENS = 8_192  # of KV cache, for a plan that works at all
LEAST_RUNNING = 64  # requests that tables and graphs have room for, at least


def memory(s: Situation, tp: int, mtp: bool) -> Memory | None:
    """What the fullest chosen unit holds; None when memory is unknown or nothing is left."""
    return _once(_memory, s, tp, mtp)


def optimized(s: Situation, tp: int, mtp: bool) -> Memory | None:
    """What the unit would hold with --optimize and without --safe; None where that is no plan."""
    return memory(s.asked_for(safe=False, optimize=True), tp, mtp)


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
    return with_share(s, tp, mtp, share)


def _risen(s: Situation, tp: int, mtp: bool, found: Memory) -> Memory:
    """``found``, with a larger share where too little fits in the usual one.

    A published share stands while the load fits in it, and so does what SGLang's heuristic leaves
    where no load is named or where more would cut images. Else the share rises as far as needed.
    """
    largest = with_share(s, tp, mtp, raised(s, tp, found))
    if largest.chunk.value > found.chunk.value > 0:
        largest = with_share(s, tp, mtp, raised(s, tp, largest))
    cell = s.cell(mtp)
    published = cell.mem_fraction if cell and found.share.source != "wheels" else None
    if largest.share.value <= found.share.value:
        return found
    if found.load is not None and published is None and found.chunk.origin != "images":
        return largest
    if found.load is not None and published is not None and found.share.value < published:
        share = largest.share._replace(value=min(published, largest.share.value))
        found = with_share(s, tp, mtp, share)  # others hold memory
    return found if _suffices(found) else _least(s, tp, mtp, found, largest)


def _least(s: Situation, tp: int, mtp: bool, found: Memory, largest: Memory) -> Memory:
    """What suffices with the smallest share above that of ``found``, else ``largest``."""
    reason = f"more than the usual {found.share.value:g}, at which too little fits; it "
    share = largest.share._replace(reason=reason + largest.share.reason)
    low, high = int(found.share.value * 1000 + 1e-9), int(largest.share.value * 1000 + 1e-9)
    best = with_share(s, tp, mtp, share)
    while high - low > 1:
        middle = with_share(s, tp, mtp, share._replace(value=(low + high) // 2 / 1000))
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
    return requests_held(found, found.load) * found.servers >= max(1, found.load.concurrency)


def _starts(found: Memory) -> bool:
    return found.pools.full > 0 and works(found.pools, found.window, found.page)


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
    graphs = graph_bytes(s, tp, found._replace(running=running))
    value = rounded_down(1 - (working + table + graphs) / max(1, found.start))
    reason = "leaves what CUDA graphs, tables and activations take"
    return Fraction(max(0.01, value), True, "estimated", reason, "measured")
