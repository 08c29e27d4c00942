"""Rules about the load: the split of the KV cache, how many requests run, what does not fit."""

from __future__ import annotations

from gemma4ctl.capacity.pools import DEFAULT_RATIO
from gemma4ctl.capacity.solver import Held
from gemma4ctl.capacity.workload import Workload, uniform
from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.kv_cache import sliding_by_cap
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation
from gemma4ctl.planning.splitting import LEAST_REQUEST
from gemma4ctl.planning.staged import graph_batch

SHORT, LONG = 1_024, 32_768  # tokens of the requests that warnings compare with
UNNAMED = "; less where --request-tokens names the answer, as 8k+512"
POOR = 0.7  # a load of which less than this share of the default's requests fits is named


@rule("kv-split", source="wheels", severity="perf")
def kv_split(s: Situation) -> Outcomes:
    """Split the KV cache between full and sliding layers so that it holds most of the load."""
    found = memory(s, s.tp, s.mtp)
    if found is None or found.ratio.origin not in ("load", "tuned"):
        return
    cell = s.cell()
    if found.ratio.origin == "tuned" and cell is not None:
        reason = f"measured best for {cell.load or 'a load of yours'}"
        yield _ratio(found, reason, source=cell.source)
    elif found.load is not None:
        count = found.held(found.load).requests
        yield _ratio(found, f"holds the most requests of {found.load.text()}: {count}")


def _ratio(found: Memory, reason: str, source: str | None = None) -> Choose:
    return Choose(
        "swa_full_tokens_ratio",
        found.ratio.value,
        reason,
        flag="--swa-full-tokens-ratio",
        source=source,
    )


@rule("tuned-settings", source="wheels", severity="perf")
def tuned_settings(s: Situation) -> Outcomes:
    """Settings that `gemma4ctl tune` measured on this platform."""
    cell = s.cell()
    if cell is None or cell.load is None:
        return
    flags = {
        "cuda_graph_max_bs": s.release.row.graph_max_bs_flag,
        "triton_attention_num_kv_splits": "--triton-attention-num-kv-splits",
    }
    for name, flag in flags.items():
        value = getattr(cell, name)
        if value is not None:
            reason = f"measured best for {cell.load}"
            yield Choose(name, value, reason, flag, None, cell.status, cell.source)


@rule("running-requests", source="wheels", severity="perf")
def running_requests(s: Situation) -> Outcomes:
    """No more running requests, and CUDA graphs for no more, than the sliding pool holds."""
    found = memory(s, s.tp, s.mtp)
    if found is None or found.draft or s.given("max_running_requests"):
        return
    if found.load is None and found.ratio.origin != "tuned":
        return
    if sliding_by_cap(s):  # a cap for the load would leave nothing to the full layers
        return
    yield Choose(
        "max_running_requests",
        found.running,
        f"{cap_reason(s, found)}; SGLang would start more, and take them back",
        flag="--max-running-requests",
    )
    batch = graph_batch(s, s.tp, found)
    if s.auto_size is not None and batch == found.running and "cuda_graph_max_bs" not in s.made:
        yield Choose(
            "cuda_graph_max_bs",
            batch,
            "no larger batch can run: saves memory and start-up time",
            flag=s.release.row.graph_max_bs_flag,
        )


def cap_reason(s: Situation, found: Memory) -> str:
    """Why no more requests run than the cap that the plan for a load sets."""
    if found.running == s.concurrency_of_each:
        return "the concurrency asked for"
    return f"what the sliding pool holds of {'the load' if found.load else 'any requests'}"


@rule("sliding-overcommit", source="wheels", severity="perf")
def sliding_overcommit(s: Situation) -> Outcomes:
    """SGLang starts more requests than a small sliding pool holds, and takes them back."""
    found = memory(s, s.tp, s.mtp)
    if found is None or sliding_by_cap(s) or not _overcommits(s, found):
        return
    held = found.sliding_holds(found.load)
    if found.running > held:
        what = found.load.lengths() if found.load else "any length"
        yield Warn(
            "sliding-overcommit",
            f"the sliding pool holds {held:,} requests of {what}, but {found.running:,} may run: "
            "SGLang takes running ones back again and again",
            f"`-- --max-running-requests {held}`, or a larger --swa-full-tokens-ratio",
        )


def _overcommits(s: Situation, found: Memory) -> bool:
    """Whether the user's flags, and not the plan, decide between the sliding pool and the cap."""
    own = s.given("max_running_requests") is not None
    if found.load is not None:
        return own
    drafts = s.given("speculative_algorithm") is not None  # SGLang's cap is low with these
    small = found.ratio.origin == "user" and found.ratio.value < DEFAULT_RATIO
    return small and not own and not drafts and found.cap is None


@rule("load-fits", source="wheels", severity="oom")
def load_fits(s: Situation) -> Outcomes:
    """Refuse a load that can never run at once."""
    found = memory(s, s.tp, s.mtp)
    wanted = s.request.concurrency
    if found is None or found.load is None or wanted is None:
        return
    named = s.request.request_tokens is not None
    least = found.load if named else uniform(LEAST_REQUEST)
    if _held(found, least).requests < wanted:
        unnamed = named and any(part.answer is None for part in least.mix)
        gib = needed_bytes(found, least, wanted / s.servers) / 2**30
        nearest = _nearest(s, found, least)
        held, limit = _held(nearest, least)
        raise NoPlanError(
            f"{wanted} requests of {'' if named else 'even '}{least.lengths()} cannot run at once "
            f"on {s.tp * s.groups} x {s.platform_name}",
            needed=f"{gib:,.1f} GiB of KV cache a GPU" + (UNNAMED if unnamed else ""),
            found=f"{nearest.budget / 2**30:,.1f} GiB, which hold {held} ({limit})",
            remedies=[f"--concurrency {held}"] if held else [],
            code="load-does-not-fit",
        )
    yield from ()


def _held(found: Memory, load: Workload) -> Held:
    """How many requests of ``load`` the memory holds, where it may be split for them."""
    return (found.best_split(load) if found.ratio.origin == "load" else found).held(load)


def _nearest(s: Situation, found: Memory, load: Workload) -> Memory:
    """The memory of a plan for as many requests of ``load`` as can run at once.

    Fewer requests than were asked for need smaller tables and CUDA graphs, which leaves more for
    the pools.
    """
    most, step = _held(found, load).requests, 1
    while most and step:
        fewer = _planned_for(s, most + step)
        if fewer is not None and _held(fewer, load).requests >= most + step:
            found, most, step = fewer, most + step, 2 * step
        else:
            step //= 2
    return found


def _planned_for(s: Situation, requests: int) -> Memory | None:
    """The memory of the same plan for another number of requests at once."""
    return memory(s.asked_for(concurrency=requests), s.tp, s.mtp)


def needed_bytes(found: Memory, load: Workload, requests: float) -> float:
    """Bytes of both pools that so many requests of ``load`` hold, with a prefill in flight."""
    needs = found.hold(load)
    each = needs.full * found.cost.full + needs.sliding * found.cost.sliding
    return requests * each + needs.in_flight * found.cost.sliding


@rule("load-trade", source="wheels", severity="perf")
def load_trade(s: Situation) -> Outcomes:
    """A plan for one load is worse for shorter or longer requests: say for which."""
    found = memory(s, s.tp, s.mtp)
    if found is None or found.ratio.origin != "load" or found.load is None:
        return
    usual = found.default_split()
    shortest = min(part.tokens for part in found.load.mix)
    for tokens in (SHORT, LONG):
        if shortest <= tokens <= found.load.longest:
            continue
        load = uniform(min(tokens, s.variant.max_context))
        now, before = found.held(load).requests, usual.held(load).requests
        if now < POOR * before:
            yield Warn(
                "load-trade",
                f"this split is for {found.load.text()}: it runs {now} requests of {tokens:,} "
                f"tokens at once, the default split {before}",
                "name the lengths you expect: --request-tokens 1k:9,32k:1, or --safe for the "
                "published values",
            )


@rule("concurrency", source="wheels", severity="perf")
def concurrency(s: Situation) -> Outcomes:
    """Say when the KV cache cannot hold the load asked for."""
    wanted = s.request.concurrency
    found = memory(s, s.tp, s.mtp)
    if wanted is None or found is None:
        return
    load = found.load or uniform(s.context)
    count = found.held(load)
    if count.requests < wanted:
        yield Warn(
            "concurrency-exceeds-kv",
            f"the KV cache holds {count.requests or 'no'} requests of {load.lengths()}, not "
            f"{wanted} ({count.limit}); the rest wait or are retracted",
            "lower --context-length or --concurrency, or use more GPUs",
        )


@rule("context-beyond-pool", source="wheels", severity="silent")
def context_beyond_pool(s: Situation) -> Outcomes:
    """Say when the KV cache is smaller than the context that the server advertises."""
    found = memory(s, s.tp, s.mtp)
    if found is not None and found.full_tokens < s.context:
        yield Warn(
            "context-beyond-pool",
            f"the KV cache holds {found.full_tokens:,} tokens: longer requests are refused, though "
            f"the server names a context of {s.context:,}",
            f"--context-length {found.full_tokens // 1024 * 1024}, or more GPUs",
        )
    elif found is not None and found.longest_alone < s.context:
        yield Warn(
            "prefill-beyond-pool",
            f"requests of more than {found.longest_alone:,} tokens wait for ever: their prefill "
            f"needs more than the {found.pools.sliding:,} tokens of the sliding pool at once",
            "a smaller --chunked-prefill-size, or a larger --swa-full-tokens-ratio",
        )
