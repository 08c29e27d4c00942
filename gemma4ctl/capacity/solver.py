"""Which split of the KV memory holds the most of a load, and which limit stops it.

With n requests at once the full pool needs n x full tokens and the sliding pool n x sliding tokens
plus the prefill in flight (:class:`~gemma4ctl.capacity.workload.Hold`). Both pools are bought from
one budget, so the best split fills both at the same n, which has a closed form.
"""

from __future__ import annotations

from math import ceil
from typing import Literal, NamedTuple

from gemma4ctl.capacity.pools import Cost, Pools, pools
from gemma4ctl.capacity.workload import CHUNKS_IN_FLIGHT, EVICTION_INTERVAL, Hold

DECIMALS = 6  # of a ratio, at most
LARGEST_RATIO = 1.0  # SGLang refuses more

Limit = Literal["full pool", "sliding pool", "running requests"]


class Held(NamedTuple):
    """Requests of a load that run at once, and what stops more."""

    requests: int
    limit: Limit


def held(found: Pools, hold: Hold, most: int) -> Held:
    """How many requests ``found`` runs at once; ``most`` is SGLang's cap on running requests."""
    by_full = int(found.full / hold.full + 1e-9)
    by_sliding = int(max(0.0, found.sliding - hold.in_flight) / hold.sliding + 1e-9)
    count = min(by_full, by_sliding, most)
    if count == by_full:
        return Held(max(0, count), "full pool")
    return Held(max(0, count), "sliding pool" if count == by_sliding else "running requests")


def best_ratio(budget: float, cost: Cost, hold: Hold, *, window: int, page: int = 1) -> float:
    """The ratio of sliding to full tokens that holds the most requests of the load.

    In (0, 1], with as few decimals as hold that many. Where not even one request fits, the ratio
    at which the most of it does.
    """
    spare = budget - cost.sliding * hold.in_flight
    requests = max(1, int(spare / (cost.full * hold.full + cost.sliding * hold.sliding)))
    sliding = max(requests * hold.sliding + hold.in_flight, window + page + 1.0)
    least = _buying(budget, cost, sliding + page)  # pools are whole pages
    most = (budget / (requests * hold.full + page) - cost.full) / cost.sliding
    return _between(min(least, LARGEST_RATIO), min(most, LARGEST_RATIO))


def _buying(budget: float, cost: Cost, sliding: float) -> float:
    """The ratio at which the sliding pool holds ``sliding`` tokens."""
    rest = budget - cost.sliding * sliding
    return sliding * cost.full / rest if rest > 0 else LARGEST_RATIO


def _between(least: float, most: float) -> float:
    """The number of fewest decimals from ``least`` to ``most``; ``least`` rounded up if none."""
    rounded = LARGEST_RATIO
    for scale in (10.0**decimals for decimals in range(2, DECIMALS + 1)):
        rounded = ceil(least * scale - 1e-9) / scale
        if rounded <= most:
            break
    return min(LARGEST_RATIO, rounded)


def longest(
    budget: float, cost: Cost, requests: int, window: int, *, chunk: int, page: int = 1
) -> int:
    """Tokens of the longest requests of which ``requests`` run at once; at least 0."""
    kept = window + EVICTION_INTERVAL + page
    in_flight = cost.sliding * CHUNKS_IN_FLIGHT * max(0, chunk)
    windows = budget - in_flight - requests * kept * cost.sliding
    tokens = int(windows / (requests * cost.full))
    if tokens >= kept:
        return tokens
    return max(0, int((budget - in_flight) / (requests * (cost.full + cost.sliding))))


def solve(
    budget: float, cost: Cost, hold: Hold, *, window: int, most: int, page: int = 1
) -> tuple[float, Pools, Held]:
    """The best ratio, its pools and what they hold."""
    ratio = best_ratio(budget, cost, hold, window=window, page=page)
    found = pools(budget, cost, ratio, page=page)
    return ratio, found, held(found, hold, most)
