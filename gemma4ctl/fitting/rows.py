"""The figures of one variant at given lengths and numbers of requests."""

from __future__ import annotations

from typing import Any

from gemma4ctl.capacity.workload import uniform
from gemma4ctl.fitting.document import AtConcurrency, AtLength
from gemma4ctl.fitting.outcome import NO_LOAD, Outcome, Planner, same_tp


def published(planner: Planner, asked: Outcome) -> Outcome | None:
    """The plan with published values, at the TP of ``asked``; None where those do not start."""
    changes = {**NO_LOAD, **same_tp(asked), "safe": True}
    return planner.attempt(asked.request, **changes, context_length=None)


def for_length(planner: Planner, asked: Outcome, tokens: int) -> Outcome | None:
    """The plan whose split is best for requests of ``tokens``.

    They are its context too where ``asked`` names one, for that decides how images are cut.
    """
    changes: dict[str, Any] = {**NO_LOAD, **same_tp(asked), "safe": False}
    if asked.request.context_length is None:
        return planner.attempt(asked.request, **changes | {"request_tokens": str(tokens)})
    return planner.attempt(asked.request, **changes, context_length=tokens)


def at_length(planner: Planner, asked: Outcome, usual: Outcome | None, tokens: int) -> AtLength:
    """Requests of ``tokens`` at once, with ``usual`` values and with the split for this length."""
    best = for_length(planner, asked, tokens)
    load = uniform(tokens)
    before, after = usual and usual.held(load), best and best.held(load)
    return AtLength(
        tokens=tokens,
        published=before.requests if before else None,
        published_limit=usual.limit(before) if usual and before else None,
        best=after.requests if after else None,
        best_limit=best.limit(after) if best and after else None,
        best_split=best.split() if best else None,
        command=planner.command(best.request) if best else None,
    )


def at_concurrency(
    planner: Planner, asked: Outcome, usual: Outcome | None, requests: int
) -> AtConcurrency:
    """The longest ``requests`` at once, with ``usual`` values and with the split for that many."""
    changes = {**NO_LOAD, **same_tp(asked), "safe": False, "concurrency": requests}
    best = planner.attempt(asked.request, **changes, context_length=None)
    most = asked.situation.context
    before = usual.longest(requests, most) if usual and usual.memory else None
    after = best.longest(requests, most) if best and best.memory else None
    return AtConcurrency(
        requests=requests,
        published=before[0] if before else None,
        published_limit=before[1] if before else None,
        best=after[0] if after else None,
        best_limit=after[1] if after else None,
        best_split=best.split() if best else None,
        command=planner.command(best.request) if best else None,
    )
