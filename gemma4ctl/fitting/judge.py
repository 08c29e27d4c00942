"""Whether a request runs, runs with less than was asked, or cannot run; and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.capacity.workload import uniform
from gemma4ctl.errors import Gemma4ctlError, NoPlanError
from gemma4ctl.fitting.document import Group
from gemma4ctl.fitting.outcome import Outcome, Planner, same_tp
from gemma4ctl.planning.engine import nearest
from gemma4ctl.planning.fraction import fraction
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.load import USUAL_REQUEST
from gemma4ctl.planning.nearest import alternatives
from gemma4ctl.planning.plan import PlanWarning
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation

CONTEXT_STEP = 1_024  # tokens between the contexts that are tried


class Judged(NamedTuple):
    """The verdict on a request. ``outcome`` is what runs: as asked, or the nearest that does."""

    group: Group
    outcome: Outcome | None
    reason: str
    needed: str | None = None
    found: str | None = None
    remedies: tuple[str, ...] = ()
    refusal: NoPlanError | None = None  # why it does not run as asked


def judge(planner: Planner, request: Request) -> Judged:
    """The verdict on ``request``.

    Raises:
        UsageError: a name is unknown, or a value makes no sense.
    """
    try:
        outcome = planner.outcome(request)
    except NoPlanError as error:
        return _refused(planner, request, error)
    short, raised = _short(planner, outcome), _raised(planner, outcome)
    if short is not None and raised is not None:
        return short._replace(reason=f"{short.reason}; {raised.reason}")
    return short or raised or Judged("runs", outcome, _reason(outcome))


def _refused(planner: Planner, request: Request, error: NoPlanError) -> Judged:
    """The nearest request that runs on the same hardware, else why nothing does."""
    near = _nearest_here(planner, request)
    if near is not None:
        remedies = tuple(dict.fromkeys((*error.remedies, planner.command(near.request))))
        group: Group = "less"
    else:
        here = (planner.inventory, planner.profiles, planner.given)
        remedies = (*error.remedies, *nearest(request, *here))
        group = "cannot"
    return Judged(group, near, error.message, error.needed, error.found, remedies, error)


def _nearest_here(planner: Planner, request: Request) -> Outcome | None:
    """The nearest plan of the same variant on the same hardware.

    With the longest context, or the most requests at once, that have one; else with the first
    other settings that do.
    """
    most = planner.profiles.variants[request.model].max_context
    shorter = min(request.context_length or 0, most)
    found = _largest(planner, request, "context_length", shorter, CONTEXT_STEP)
    found = found or _largest(planner, request, "concurrency", request.concurrency or 0, 1)
    if found is not None:
        return found
    for candidate in alternatives(request, planner.profiles):
        same_host = candidate.hardware == request.hardware
        same_count = candidate.gpus == request.gpus or request.hardware is None
        if candidate.model != request.model or not same_host or not same_count:
            continue
        try:
            return planner.outcome(candidate)
        except Gemma4ctlError:
            continue
    return None


def _largest(
    planner: Planner, request: Request, field: str, most: int, step: int
) -> Outcome | None:
    """The outcome with the largest multiple of ``step``, at most ``most``, that has a plan."""
    found, low, high = None, 0, most // step
    while low < high:
        middle = (low + high + 1) // 2
        attempt = planner.attempt(request, **{field: middle * step})
        found, low, high = (attempt, middle, high) if attempt else (found, low, middle - 1)
    return found


def _raised(planner: Planner, outcome: Outcome) -> Judged | None:
    """Where only a larger share of the memory than usual holds enough."""
    s, m, r = outcome.situation, outcome.memory, outcome.request
    usual = fraction(s, s.tp, s.mtp) if m else None
    if m is None or usual is None or m.share.value <= usual.value:
        return None
    other = planner.attempt(r, **same_tp(outcome), mem_fraction=usual.value)
    if other and other.memory and not _short(planner, other):
        return None
    held = f"{other.memory.full_tokens:,} tokens" if other and other.memory else "too little"
    wanted = m.load.text() if m.load else f"{_least(outcome):,} tokens"
    if r.concurrency and not (r.request_tokens or r.context_length):
        wanted = f"{r.concurrency} requests at once"
    return Judged(
        "less",
        outcome,
        f"SGLang gets {m.share.value:g} of the free memory instead of the usual {usual.value:g}",
        needed=f"KV cache for {wanted}",
        found=f"{held} at {usual.value:g}, {m.full_tokens:,} tokens at {m.share.value:g}",
        remedies=("more GPUs, or a smaller checkpoint, leave more room",),
    )


def _least(outcome: Outcome) -> int:
    """Tokens that the full pool should hold: of the context, the load, or a usual request."""
    s, m = outcome.situation, outcome.memory
    usual = m.load.longest if m and m.load else USUAL_REQUEST
    return s.context if s.context_asked is not None else min(s.context, usual)


def _short(planner: Planner, outcome: Outcome) -> Judged | None:
    """Where the KV cache holds less than the load, the context, or a usual request."""
    warnings = {warning.code: warning for warning in outcome.warnings}
    if "concurrency-exceeds-kv" in warnings:
        return _too_many(planner, outcome, warnings["concurrency-exceeds-kv"])
    m, warning, least = outcome.memory, warnings.get("context-beyond-pool"), _least(outcome)
    if m is None or warning is None or m.full_tokens >= least:
        return None
    need, found = f"KV cache for {least:,} tokens", f"{m.full_tokens:,} tokens"
    remedies = (*_other_split(planner, outcome, least), warning.remedy)
    return Judged("less", outcome, warning.message, need, found, remedies)


def _other_split(planner: Planner, outcome: Outcome, least: int) -> Iterator[str]:
    """The plan for requests of ``least`` tokens, where its split holds one."""
    if outcome.request.safe or (outcome.memory and outcome.memory.load):
        return
    other = planner.attempt(outcome.request, request_tokens=str(least))
    if other and other.memory and other.memory.full_tokens >= least:
        yield f"--request-tokens {least}: its split holds {other.memory.full_tokens:,} tokens"


def _too_many(planner: Planner, outcome: Outcome, warning: PlanWarning) -> Judged:
    """Where fewer requests than asked for run at once; how long as many could be."""
    s, m = outcome.situation, outcome.memory
    wanted = s.request.concurrency or 0
    load = m.load if m and m.load else uniform(s.context)
    other = planner.attempt(s.request, context_length=None, request_tokens=None, safe=False)
    longest = other.longest(wanted, s.context)[0] if other else 0
    return Judged(
        "less",
        outcome,
        warning.message,
        f"{wanted} requests of {load.lengths()} at once",
        f"{longest:,} tokens are the longest of which {wanted} run at once" if longest else None,
        (f"--concurrency {wanted} without lengths", warning.remedy)
        if longest
        else (warning.remedy,),
    )


def _reason(outcome: Outcome) -> str:
    s, m = outcome.situation, outcome.memory
    if m is None:
        return f"{_where(s)}; its memory is not modelled, so that it fits was not computed"
    return f"{_where(s)}: {_pools(m)}"


def _where(s: Situation) -> str:
    count = s.tp * s.groups
    return f"on {count} x {s.platform_name}"


def _pools(m: Memory) -> str:
    return f"{m.pools.full:,} tokens of KV cache in full layers, {m.pools.sliding:,} in sliding"
