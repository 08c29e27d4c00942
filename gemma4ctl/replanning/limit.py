"""Which limit of a server binds, from what was seen of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from gemma4ctl.capacity.solver import Held
from gemma4ctl.replanning.observation import Observation

WAITING = 0.5  # mean requests that wait, below which nothing binds
OFTEN_FULL = 0.5  # mean usage of a pool that is full again and again
NEARLY_ALL = 0.95  # of the cap on running requests
FULL = 0.8  # mean usage of a pool that binds: admission keeps room for answers still to come

Name = Literal["none", "running requests", "full pool", "sliding pool", "prefill"]


class Limit(NamedTuple):
    """What binds, in words for the reader; ``predicted``: computed, for want of usage figures."""

    name: Name
    text: str
    predicted: bool = False


def find(seen: Observation, held: Held | None) -> Limit:
    """The limit that binds.

    Args:
        seen: what was observed.
        held: what the predicted pools of the present settings hold of the load; None: unknown.
    """
    usage = _usage(seen)
    if not _waits(seen, held):
        return Limit("none", "nothing binds: no request waits" + (f" ({usage})" if usage else ""))
    if _capped(seen):
        return Limit(
            "running requests",
            f"running requests: {seen.running:,.0f} of at most {seen.most_running:,} ({usage})",
        )
    waits_for = f"requests wait though the pools have room: prefill ({usage})"
    return _pool(seen, held, usage) or Limit("prefill", waits_for)


def _pool(seen: Observation, held: Held | None, usage: str) -> Limit | None:
    """The KV pool that is full: as seen, else as predicted.

    Requests of one length that came together leave together: the mean usage of a pool that they
    fill again and again is well below its largest.
    """
    sliding, full = seen.sliding_usage or 0.0, seen.full_usage or 0.0
    if max(sliding, full) >= FULL:
        return Limit("sliding pool" if sliding >= full else "full pool", usage)
    unseen = seen.full_usage is None and seen.sliding_usage is None
    if held is None or (seen.in_flight or 0.0) <= held.requests:
        return None
    crowded = bool(seen.retracted) or (seen.running or 0.0) >= NEARLY_ALL * held.requests
    if unseen or (crowded and max(sliding, full) >= OFTEN_FULL):
        count = f"{held.requests:,} requests of this load"
        text = f"{held.limit}: the present settings hold {count}"
        return Limit(held.limit, text if unseen else f"{text} ({usage})", predicted=True)
    return None


def _waits(seen: Observation, held: Held | None) -> bool:
    if seen.waiting is not None:
        return seen.waiting >= WAITING or bool(seen.retracted)
    return held is not None and (seen.in_flight or 0.0) > held.requests


def _capped(seen: Observation) -> bool:
    if seen.most_running is None or seen.running is None:
        return False
    return seen.running >= NEARLY_ALL * seen.most_running


def _usage(seen: Observation) -> str:
    """The pools and the queue, as far as they were seen."""
    parts = []
    if seen.sliding_usage is not None:
        parts.append(f"sliding pool {seen.sliding_usage:.0%}")
    if seen.full_usage is not None:
        parts.append(f"full pool {seen.full_usage:.0%}")
    if seen.running is not None:
        parts.append(f"{seen.running:,.1f} running")
    if seen.waiting is not None:
        parts.append(f"{seen.waiting:,.1f} waiting")
    if seen.retracted:
        parts.append(f"{seen.retracted:,} retracted")
    return ", ".join(parts)
