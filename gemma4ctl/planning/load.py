"""The load that a plan is tuned to: the requests that the user named, or usual ones."""

from __future__ import annotations

from gemma4ctl.capacity import workload
from gemma4ctl.capacity.workload import Workload, uniform
from gemma4ctl.planning.situation import Situation

USUAL_REQUEST = 32_768  # tokens of a request when a plan is to be tuned and no load is named


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
